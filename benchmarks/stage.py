"""A daemon at work on cameras that show a drawn scene, over HTTP or RTSP, with a broker and a subscriber."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from processes import Broker, CameraServer, accepts, free_port, serve_mjpeg, started, started_daemon, wait_for

from edge.sources.demo import masked, portrait
from edge.vision.geometry import Image

Stream = Literal["MJPEG", "RTSP"]

SHOWN_S, AWAY_S = 2.0, 2.5
"""How long somebody who comes and goes is there and away: longer than `decision.forget_after_s`, so that each is new."""
_WIDTH, _HEIGHT = 640, 480
_DIFFERENT = 60
"""Frames after which a scene that goes on begins anew."""
_ACROSS = {0: 1, 1: 1, 5: 3, 20: 5}
"""People beside each other, by how many there are."""


@dataclass(frozen=True)
class Scene:
    """What a camera shows. `comes_and_goes`: the people are there for a while, and then away."""

    fps: int
    faces: int
    moves: bool = True
    comes_and_goes: bool = False

    @property
    def first(self) -> int | None:
        """The number of the frame that first shows somebody who was away."""
        return round(AWAY_S * self.fps) if self.comes_and_goes else None

    def frames(self) -> Iterator[Image]:
        """What is sent round and round."""
        going_on = _DIFFERENT if self.moves else 1
        total = round((AWAY_S + SHOWN_S) * self.fps) if self.comes_and_goes else going_on
        for number in range(total):
            yield self._frame(number, are_here=number >= (self.first or 0))

    def _frame(self, number: int, *, are_here: bool) -> Image:
        frame: Image = np.full((_HEIGHT, _WIDTH, 3), (150, 160, 165), np.uint8)
        sway = round(10 * np.sin(2 * np.pi * number / _DIFFERENT)) if self.moves else 0
        if self.moves:
            cv2.circle(frame, (320 + 20 * sway, 460), 15, (60, 60, 60), -1)  # the gate opens for nobody, too
        if are_here and self.faces:
            across = _ACROSS[self.faces]
            down = -(-self.faces // across)
            cell = _WIDTH // across, _HEIGHT // down
            for person in range(self.faces):
                _paste(frame, person, (person % across * cell[0], person // across * cell[1]), cell, sway)
        return frame


def _paste(frame: Image, person: int, corner: tuple[int, int], cell: tuple[int, int], sway: int) -> None:
    """Draws somebody into a cell of the frame, bare and masked by turns."""
    picture = masked(portrait()) if person % 2 else portrait()
    height = min(cell[1], 280)
    size = height * picture.shape[1] // picture.shape[0], height
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    left = corner[0] + max(0, (cell[0] - size[0]) // 2 + sway)
    part = frame[corner[1] : corner[1] + height, left : left + size[0]]
    part[:] = small[: part.shape[0], : part.shape[1]]


@dataclass
class Heard:
    """What the broker delivered: events with when they came (monotonic, and as a time of day), and the last status."""

    events: list[tuple[float, float, dict[str, Any]]] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)

    def take(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        came, at = time.monotonic(), time.time()
        if message.topic.endswith("/event"):
            self.events.append((came, at, json.loads(message.payload)))
        elif message.topic.endswith("/status"):
            self.status = json.loads(message.payload)


@dataclass
class Run:
    """A daemon at work on cameras; `pid` and `cameras_pid` are the processes of both."""

    pid: int
    cameras_pid: int
    heard: Heard
    _shown: Path

    def shown(self) -> list[tuple[str, float]]:
        """Each time that somebody came into view: the camera, and when its server sent that frame (monotonic)."""
        lines = self._shown.read_text().splitlines()
        return [(name, float(at)) for name, at in (line.split() for line in lines)]


@contextmanager
def at_work(scene: Scene, cameras: int, stream: Stream = "MJPEG") -> Iterator[Run]:
    """The daemon on so many cameras that show the scene, with a broker and a subscriber."""
    with tempfile.TemporaryDirectory(prefix="maskgate-stage-") as name:
        folder, heard = Path(name), Heard()
        shown = folder / "shown"
        shown.touch()
        serve = _rtsp if stream == "RTSP" else _mjpeg
        with serve(scene, cameras, folder, shown) as (cameras_pid, address):
            broker = Broker(folder, keeps=False)
            client = Client(CallbackAPIVersion.VERSION2)
            client.on_message = heard.take
            try:
                client.connect("127.0.0.1", broker.port)
                client.subscribe("maskgate/stage/#", qos=1)
                client.loop_start()
                urls = [f"{address}{number}" for number in range(cameras)]
                with started_daemon(folder, "stage", broker.port, urls) as daemon:
                    wait_for(lambda: heard.status.get("state") == "running", 30, "the daemon runs")
                    yield Run(daemon.pid, cameras_pid, heard, shown)
                wait_for(lambda: heard.status.get("state") == "stopping", 10, "the daemon says that it stops")
            finally:
                client.loop_stop()
                client.disconnect()
                broker.kill()


@contextmanager
def _mjpeg(scene: Scene, _cameras: int, _folder: Path, shown: Path) -> Iterator[tuple[int, str]]:
    """The process that serves, and the address of its cameras up to their number."""
    server = CameraServer(_send_jpegs, scene, shown)
    try:
        yield server.pid, f"http://127.0.0.1:{server.port}/"
    finally:
        server.kill()


def _send_jpegs(port: int, scene: Scene, shown: Path) -> None:
    frames = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in scene.frames()]
    with shown.open("a", buffering=1) as log:

        def note(path: str, number: int) -> None:
            if number == scene.first:
                log.write(f"camera-{path[1:]} {time.monotonic()}\n")

        serve_mjpeg(port, scene.fps, frames, note)


@contextmanager
def _rtsp(scene: Scene, cameras: int, folder: Path, shown: Path) -> Iterator[tuple[int, str]]:
    """The process that serves, and the address of its cameras up to their number."""
    port, frames = free_port(), folder / "frames.i420"
    with frames.open("wb") as file:
        for frame in scene.frames():
            file.write(cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).tobytes())
    script = Path(__file__).with_name("rtsp_server.py")
    numbers = str(port), str(cameras), str(scene.fps)
    command = ["/usr/bin/python3", str(script), *numbers, str(frames), str(scene.first), str(shown)]
    with started(command, folder / "cameras.log") as server:
        wait_for(lambda: accepts(port), 30, "the cameras start")
        yield server.pid, f"rtsp://127.0.0.1:{port}/"
