"""Many devices on a real mosquitto, with the rights and passwords that `maskgate fleet acl` makes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from edge.errors import UnavailableError
from edge.mqtt.connection import Connection, Will
from edge.settings import MqttSettings
from support.broker import Mosquitto
from support.components import end, eventually, require_program
from support.daemon import ENVIRONMENT, maskgate, running, write_config
from support.messages import an_event
from support.notify import NotifySocket

DEMO = '[[sources]]\nname = "door"\nkind = "camera"\nurl = "demo:"'


class SmallFleet:
    """lobby-1 and lobby-2, the reader dash, Home Assistant as ha, and their broker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.acl = folder / "acl"
        self.credentials = folder / "credentials"
        self.name("lobby-1", "lobby-2")
        self.broker = Mosquitto(
            folder,
            f"allow_anonymous false\npassword_file {self.credentials / 'mosquitto.passwd'}\nacl_file {self.acl}",
        )

    def name(self, *devices: str) -> None:
        roles = ("--reader", "dash", "--homeassistant", "ha")
        done = maskgate("fleet", "acl", *devices, *roles, "--credentials", self.credentials)
        assert done.returncode == 0, done.stderr
        self.acl.write_text(done.stdout)

    def reload(self) -> None:
        assert self.broker.process is not None
        self.broker.process.send_signal(signal.SIGHUP)
        log = self.folder / f"mosquitto-{self.broker.port}.log"
        eventually(lambda: "Reloading config." in log.read_text())

    def password(self, user: str) -> str:
        return (self.credentials / user / "mqtt__password").read_text()

    def settings(self, user: str) -> MqttSettings:
        return MqttSettings(port=self.broker.port, username=user, password=self.password(user))


class Client:
    """A connection that keeps what the broker says to each message, and what it hears."""

    def __init__(self, settings: MqttSettings, name: str, will: Will | None = None) -> None:
        self.answers: dict[int, str | None] = {}
        self.heard: list[str] = []
        self.connection = Connection(settings, "5", name, will, self.answers.__setitem__, self._hear)

    def _hear(self, topic: str, _payload: bytes) -> None:
        self.heard.append(topic)

    def answer(self, topic: str, payload: str = "{}", *, retain: bool = False) -> str | None:
        """What the broker says to a message: None, or the refusal."""
        number = self.connection.publish(topic, payload, retain=retain)
        self.poll_until(lambda: number in self.answers)
        return self.answers[number]

    def poll_until(self, what: Callable[[], object], limit_s: float = 5) -> None:
        deadline = time.monotonic() + limit_s
        while not what():
            assert time.monotonic() < deadline, "nothing came"
            assert self.connection.poll(0.1), "the connection was lost"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[SmallFleet]:
    fleet = SmallFleet(tmp_path)
    fleet.broker.start()
    yield fleet
    fleet.broker.stop()


@pytest.fixture
def client(fleet: SmallFleet) -> Iterator[Callable[..., Client]]:
    """Makes clients of a user; drops their connections at the end."""
    made: list[Client] = []

    def make(user: str, will: Will | None = None) -> Client:
        made.append(Client(fleet.settings(user), f"{user}-{len(made)}", will))
        return made[-1]

    yield make
    for each in made:
        each.connection.close()


OWN = ["availability", "event", "image", "status", "snapshot/door"]
FOREIGN = [
    *(f"maskgate/lobby-2/{topic}" for topic in OWN),
    "maskgate/lobby-1/other",
    "maskgate/event",
    "homeassistant/device/lobby-2/config",
    "homeassistant/status",
    "other/lobby-1/event",
]


def test_a_device_may_publish_what_is_its_own_and_nothing_else(client: Callable[..., Client]) -> None:
    device = client("lobby-1")

    allowed = [*(f"maskgate/lobby-1/{topic}" for topic in OWN), "homeassistant/device/lobby-1/config"]
    assert {topic: device.answer(topic) for topic in allowed} == dict.fromkeys(allowed)
    assert {topic: device.answer(topic) for topic in FOREIGN} == dict.fromkeys(FOREIGN, "Not authorized")


def test_a_device_hears_no_other_a_reader_hears_all(client: Callable[..., Client]) -> None:
    speaker, nosy, reader, home = client("lobby-1"), client("lobby-2"), client("dash"), client("ha")
    for each in (nosy, reader, home):
        each.connection.subscribe("#")
        each.connection.subscribe("homeassistant/status")
        each.connection.poll(0.5)
    spoken = [f"maskgate/lobby-1/{topic}" for topic in OWN]
    for topic in [*spoken, "homeassistant/device/lobby-1/config"]:
        assert speaker.answer(topic) is None
    assert (
        home.answer("homeassistant/status", "online") is None
    )  # allowed to all but readers: ends the wait of the nosy
    assert reader.answer("maskgate/lobby-1/event") == "Not authorized"

    nosy.poll_until(lambda: "homeassistant/status" in nosy.heard)
    reader.poll_until(lambda: len(reader.heard) >= len(spoken))
    home.poll_until(lambda: "homeassistant/device/lobby-1/config" in home.heard)
    assert set(nosy.heard) == {"homeassistant/status"}
    assert reader.heard == spoken
    assert set(home.heard) >= set(spoken)


def test_the_last_will_is_allowed(fleet: SmallFleet, client: Callable[..., Client]) -> None:
    reader = client("dash")
    reader.connection.subscribe("maskgate/+/availability")
    reader.connection.poll(0.5)
    dying = Connection(fleet.settings("lobby-1"), "5", "dying", Will("maskgate/lobby-1/availability", "offline"))
    dying.close()

    reader.poll_until(lambda: reader.heard)
    assert reader.heard == ["maskgate/lobby-1/availability"]


def test_a_wrong_password_and_no_password_are_refused(fleet: SmallFleet) -> None:
    wrong = fleet.settings("lobby-1").model_copy(update={"password": fleet.settings("lobby-2").password})
    for settings in (wrong, MqttSettings(port=fleet.broker.port)):
        with pytest.raises(UnavailableError, match="refuses the connection: Not authorized"):
            Connection(settings, "5", "test")


def test_a_device_is_added_and_removed_while_the_broker_runs(fleet: SmallFleet, client: Callable[..., Client]) -> None:
    staying = client("lobby-2")
    leaving = client("lobby-1")
    before = fleet.password("lobby-2")

    fleet.name("lobby-2", "lobby-3")
    fleet.reload()

    assert leaving.answer("maskgate/lobby-1/event") == "Not authorized"
    assert staying.answer("maskgate/lobby-2/event") is None
    assert client("lobby-3").answer("maskgate/lobby-3/event") is None
    assert fleet.password("lobby-2") == before


def test_a_thousand_devices_in_one_file_are_taken(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    ids.write_text("".join(f"door-{number}\n" for number in range(1000)))
    done = maskgate("fleet", "acl", "--devices", ids)
    (tmp_path / "acl").write_text(done.stdout)
    broker = Mosquitto(tmp_path, f"allow_anonymous true\nacl_file {tmp_path / 'acl'}")
    broker.start()
    try:
        device = Client(MqttSettings(port=broker.port, username="door-999"), "door-999")
        assert device.answer("maskgate/door-999/event") is None
        assert device.answer("maskgate/door-998/event") == "Not authorized"
        device.connection.close()
    finally:
        broker.stop()


def test_the_daemon_works_with_its_rights(fleet: SmallFleet, client: Callable[..., Client]) -> None:
    reader = client("dash")
    reader.connection.subscribe("maskgate/+/+")
    config = write_config(fleet.folder, fleet.broker.port, DEMO)
    credentials = str(fleet.credentials / "lobby-1")
    with running(config, MASKGATE_MQTT__USERNAME="lobby-1", CREDENTIALS_DIRECTORY=credentials):
        reader.poll_until(lambda: "maskgate/lobby-1/event" in reader.heard, 30)

    log = (fleet.folder / "daemon.log").read_text()
    assert "refuses" not in log
    assert {"maskgate/lobby-1/availability", "maskgate/lobby-1/status"} < set(reader.heard)


@pytest.mark.parametrize(
    ("rights", "user", "refusal"),
    [
        ("", "lobby-1", "the broker refuses our messages: Not authorized"),
        ("topic write maskgate/lobby-1/+\n", "lobby-1", None),
        ("topic write maskgate/lobby-1/availability\n", "lobby-1", "the broker refuses our messages: Not authorized"),
        ("topic write maskgate/lobby-1/+\n", "lobby-2", "refuses the connection: Not authorized"),
    ],
)
def test_a_daemon_says_in_its_status_what_it_may_not(
    fleet: SmallFleet, rights: str, user: str, refusal: str | None
) -> None:
    fleet.acl.write_text(f"user lobby-1\n{rights}")
    fleet.reload()
    config = write_config(fleet.folder, fleet.broker.port, DEMO)
    with NotifySocket(fleet.folder) as systemd:
        variables = {
            "NOTIFY_SOCKET": systemd.address,
            "MASKGATE_MQTT__USERNAME": user,
            "CREDENTIALS_DIRECTORY": str(fleet.credentials / "lobby-1"),
        }
        with running(config, **variables):
            expected = refusal or "STATUS=running"
            eventually(lambda: any(expected in line for line in systemd.received()), 20)


def spoken_by(client: Client, device: str, *numbers: int) -> None:
    """Events of a device with these `seq`, a repeated one being the same message again."""
    for number in numbers:
        event = an_event().model_copy(update={"seq": number, "device": device, "id": UUID(int=number)})
        assert client.answer(f"maskgate/{device}/event", event.to_json()) is None


@pytest.mark.parametrize("as_json", [False, True])
def test_listen_counts_the_doors_of_all_devices(
    fleet: SmallFleet, client: Callable[..., Client], as_json: bool
) -> None:
    output = fleet.folder / "heard.txt"
    command = [sys.executable, "-m", "edge", "listen", "--counts", *(["--json"] if as_json else [])]
    variables = {
        "MASKGATE_MQTT__PORT": str(fleet.broker.port),
        "MASKGATE_MQTT__USERNAME": "dash",
        "CREDENTIALS_DIRECTORY": str(fleet.credentials / "dash"),
    }
    log = fleet.folder / f"mosquitto-{fleet.broker.port}.log"
    with output.open("w") as file:
        listener = subprocess.Popen(command, stdout=file, text=True, env=ENVIRONMENT | variables)
    try:
        eventually(lambda: "maskgate/+/image (QoS 1)" in log.read_text())
        spoken_by(client("lobby-1"), "lobby-1", 1, 2, 2, 4)
        spoken_by(client("lobby-2"), "lobby-2", 7, 8)
        eventually(lambda: log.read_text().count("Received PUBACK from maskgate-listen") == 6)
    finally:
        assert end(listener) == 0

    lines = output.read_text().splitlines()
    if as_json:
        assert [(json.loads(line)["device"], json.loads(line)["lost"]) for line in lines] == [
            ("lobby-1", 1),
            ("lobby-2", 0),
        ]
    else:
        assert [line.split() for line in lines[1:4]] == [
            ["all", "0", "5", "0", "0", "%"],
            ["lobby-1/door", "0", "3", "0", "0", "%"],
            ["lobby-2/door", "0", "2", "0", "0", "%"],
        ]
        assert lines[4:] == ["lobby-1: 1 lost (missing in seq), 1 came twice"]


def test_on_a_terminal_the_counts_are_shown_while_they_change(fleet: SmallFleet, client: Callable[..., Client]) -> None:
    script = require_program("script", "bsdutils")
    output = fleet.folder / "screen.txt"
    variables = {
        "MASKGATE_MQTT__PORT": str(fleet.broker.port),
        "MASKGATE_MQTT__USERNAME": "dash",
        "CREDENTIALS_DIRECTORY": str(fleet.credentials / "dash"),
        "TERM": "xterm",
    }
    command = [script, "-qefc", f"exec {sys.executable} -m edge listen --counts", str(output)]
    terminal = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=ENVIRONMENT | variables)
    try:
        eventually(lambda: output.exists() and "share of mask" in output.read_text(), 20)
        spoken_by(client("lobby-1"), "lobby-1", 1, 2)
        eventually(lambda: re.search(r"lobby-1/door +0 +2 +0 ", output.read_text()))
    finally:
        assert terminal.stdin is not None
        terminal.stdin.write(b"\x03")
        terminal.stdin.close()
        assert terminal.wait(10) == 0
