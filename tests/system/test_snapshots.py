"""The daemon's snapshots on a real broker, and what Home Assistant makes of them."""

from __future__ import annotations

import base64
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from edge.vision.detector import load_detector
from edge.vision.geometry import Image
from edge.vision.image import decode
from support.broker import Mosquitto, subscribed
from support.components import end, eventually, require_program
from support.daemon import running, write_config
from support.home_assistant import home_assistant

DOOR = '[[sources]]\nname = "door"\nkind = "camera"\nurl = "demo:"'


def snapshots(mode: str) -> str:
    return f'[privacy]\nsnapshots = "{mode}"'


def one_picture(port: int, *options: str) -> subprocess.Popen[bytes]:
    program = require_program("mosquitto_sub", "mosquitto-clients")
    command = [program, "-h", "localhost", "-p", str(port), "-V", "mqttv5", "-C", "1", "-W", "40", "-q", "1"]
    return subprocess.Popen([*command, "-t", "maskgate/lobby-1/snapshot/door", *options], stdout=subprocess.PIPE)


@contextmanager
def counting(folder: Path, port: int) -> Iterator[Callable[[], int]]:
    """How many snapshots have come so far; mosquitto_sub prints their lengths."""
    program = require_program("mosquitto_sub", "mosquitto-clients")
    file = folder / "lengths.txt"
    command = ["stdbuf", "-oL", program, "-h", "localhost", "-p", str(port), "-F", "%l", "-t", "maskgate/+/snapshot/+"]
    with file.open("w") as out:
        process = subprocess.Popen(command, stdout=out, text=True)
    try:
        yield lambda: len(file.read_text().splitlines())
    finally:
        end(process)


def faces(image: Image) -> int:
    return len(load_detector("face_detector", 0.5).detect(image))


@pytest.mark.parametrize(("mode", "expected"), [("full", 1), ("blurred", 0)])
def test_each_verdict_shows_its_frame(tmp_path: Path, broker: Mosquitto, mode: str, expected: int) -> None:
    picture, about = one_picture(broker.port, "-N"), one_picture(broker.port, "-F", "%C %E %q %r %l")
    with running(write_config(tmp_path, broker.port, DOOR, snapshots(mode))):
        jpeg, told = (process.communicate(timeout=45)[0] for process in (picture, about))

    kind, expiry, qos, retained, length = told.decode().split()
    assert (kind, qos, retained) == ("image/jpeg", "0", "0")
    assert 290 <= int(expiry) <= 300
    assert 1000 < int(length) < 400_000
    image = decode(jpeg)
    assert max(image.shape) <= 640
    assert faces(image) == expected


def test_there_is_one_for_each_event_and_none_without(tmp_path: Path, broker: Mosquitto) -> None:
    with (
        subscribed(tmp_path, broker.port, topic="maskgate/lobby-1/event") as events,
        counting(tmp_path, broker.port) as pictures,
        running(write_config(tmp_path, broker.port, DOOR, snapshots("blurred"))),
    ):
        events.wait_for("/event", 3, 60)
        eventually(lambda: abs(pictures() - len(events.received("/event"))) <= 1)
        assert pictures() >= 2


def test_switched_off_none_is_made_or_sent(tmp_path: Path, broker: Mosquitto) -> None:
    with (
        subscribed(tmp_path, broker.port) as listener,
        running(write_config(tmp_path, broker.port, DOOR, snapshots("off"))),
    ):
        listener.wait_for("/event", 2, 60)

    assert listener.received("/snapshot/door") == []


def test_those_of_an_outage_are_lost_and_events_are_not(tmp_path: Path, broker: Mosquitto) -> None:
    log = tmp_path / "daemon.log"
    with running(write_config(tmp_path, broker.port, DOOR, snapshots("full"))):
        eventually(lambda: "connected to" in log.read_text(), 30)
        broker.kill()
        said = log.read_text().count("(p_mask ")
        eventually(lambda: log.read_text().count("(p_mask ") >= said + 2, 60)
        broker.start()
        with (
            counting(tmp_path, broker.port) as pictures,
            subscribed(tmp_path, broker.port, topic="maskgate/lobby-1/event") as listener,
        ):
            eventually(lambda: pictures() > 0, 60)
            eventually(lambda: len(listener.received("/event")) - pictures() >= 2, 60)


class SlowLink:
    """The way to a broker that lets so many bytes a second through from a device to it."""

    def __init__(self, port: int, rate: int) -> None:
        self._port, self._rate = port, rate
        self._entrance = socket.socket()
        self._entrance.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._entrance.bind(("127.0.0.1", 0))
        self._entrance.listen()
        self.port = self._entrance.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._entrance.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                device, _ = self._entrance.accept()
                broker = socket.create_connection(("127.0.0.1", self._port))
                for one, other, rate in ((device, broker, self._rate), (broker, device, None)):
                    threading.Thread(target=self._pass_on, args=(one, other, rate), daemon=True).start()

    @staticmethod
    def _pass_on(one: socket.socket, other: socket.socket, rate: int | None) -> None:
        with one, other, suppress(OSError):
            while data := one.recv(4096 if rate is None else rate // 4):
                other.sendall(data)
                time.sleep(0 if rate is None else len(data) / rate)


def test_on_a_slow_link_pictures_do_not_keep_back_events(tmp_path: Path, broker: Mosquitto) -> None:
    log = tmp_path / "daemon.log"
    with (
        SlowLink(broker.port, 2500) as link,
        subscribed(tmp_path, broker.port, topic="maskgate/lobby-1/event") as listener,
        running(write_config(tmp_path, link.port, DOOR, snapshots("full"))),
    ):
        eventually(lambda: log.read_text().count("(p_mask ") >= 16, 150)
        # One picture takes up to 20 s, in which four people come; with one for each of them, half would be here.
        assert len(listener.received("/event")) >= 9


def test_home_assistant_shows_it_as_an_image(tmp_path: Path, broker: Mosquitto) -> None:
    image = "image.maskgate_lobby_1_snapshot_door"
    with (
        home_assistant(tmp_path, broker.port) as home,
        running(write_config(tmp_path, broker.port, DOOR, snapshots("blurred"), "[homeassistant]\ndiscovery = true")),
    ):
        home.wait(image, lambda state: state.startswith("20"), 60)
        shown = home.ask("picture", image)

    assert shown["content_type"] == "image/jpeg"
    assert max(decode(base64.b64decode(shown["content"])).shape) <= 640
    assert np.ptp(decode(base64.b64decode(shown["content"]))) > 0
