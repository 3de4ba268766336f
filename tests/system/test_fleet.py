"""Many devices on a real mosquitto, with the rights and passwords that `maskgate fleet acl` makes."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from edge.errors import UnavailableError
from edge.mqtt.connection import Connection, Receipt, Will
from edge.settings import MqttSettings
from support.broker import Mosquitto
from support.components import ROOT, end, eventually, require, require_program
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
        self.connection = Connection(settings, "5", name, will, self._note, self._hear)

    def _note(self, receipt: Receipt) -> None:
        self.answers[receipt.number] = receipt.refusal

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
        log = fleet.broker.folder / f"mosquitto-{fleet.broker.port}.log"
        eventually(lambda: "Sending SUBACK" in log.read_text())
        spoken_by(client("lobby-1"), "lobby-1", 1, 2)
        eventually(lambda: re.search(r"lobby-1/door +0 +2 +0 ", output.read_text()))
    finally:
        assert terminal.stdin is not None
        terminal.stdin.write(b"\x03")
        terminal.stdin.close()
        assert terminal.wait(10) == 0


PAGE = (ROOT / "docs" / "fleet.md").read_text()


def shown(language: str) -> list[str]:
    """The blocks of docs/fleet.md that are marked so, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture
def certified(tmp_path: Path) -> Iterator[Mosquitto]:
    """The page followed from top to bottom; its mosquitto with certificates."""
    require_program("openssl", "openssl")
    variables = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "BROKER": "localhost"}
    for code in shown("sh fleet"):
        command = ["bash", "-eu", "-c", code]
        subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT | variables, check=True, capture_output=True, timeout=60)
    (configuration,) = shown("conf tls")
    options = configuration.replace("/etc/mosquitto/", f"{tmp_path}/").replace("listener 8883\n", "")
    broker = Mosquitto(tmp_path, options)
    broker.start()
    yield broker
    broker.stop()


def with_certificate(broker: Mosquitto, name: str, authority: str = "ca") -> MqttSettings:
    folder = broker.folder
    files = {"cert_file": folder / f"{name}.crt", "key_file": folder / f"{name}.key"} if name else {}
    return MqttSettings(port=broker.port, tls=True, ca_file=folder / f"{authority}.crt", **files)  # type: ignore[arg-type]


def test_the_page_followed_step_by_step_gives_certificates_that_name_devices(certified: Mosquitto) -> None:
    device = Client(with_certificate(certified, "lobby-1"), "device", Will("maskgate/lobby-1/availability", "offline"))
    reader = Client(with_certificate(certified, "dashboard"), "reader")
    reader.connection.subscribe("maskgate/+/+")
    reader.connection.poll(0.5)

    assert device.answer("maskgate/lobby-1/event") is None
    assert device.answer("maskgate/lobby-2/event") == "Not authorized"
    reader.poll_until(lambda: reader.heard)
    device.connection.close()
    reader.poll_until(lambda: len(reader.heard) == 2)
    assert reader.heard == ["maskgate/lobby-1/event", "maskgate/lobby-1/availability"]
    reader.connection.close()


def test_without_a_certificate_of_ours_nobody_is_let_in(certified: Mosquitto) -> None:
    openssl = require_program("openssl", "openssl")
    forged = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=lobby-1"]
    output = ["-keyout", "forged.key", "-out", "forged.crt"]
    subprocess.run([openssl, *forged, *output], cwd=certified.folder, check=True, capture_output=True, timeout=60)

    for name in ("", "forged"):
        with pytest.raises(UnavailableError):
            Connection(with_certificate(certified, name), "5", "test")


def test_the_configuration_of_the_page_is_taken_with_the_key_as_a_credential(certified: Mosquitto) -> None:
    folder = certified.folder
    (settings,) = (block for block in shown("toml") if "cert_file" in block)
    settings = settings.replace('host = "broker.example"\nport = 8883', f"port = {certified.port}")
    settings = settings.replace("/etc/maskgate/client.crt", f"{folder}/lobby-1.crt").replace(
        "/etc/maskgate", str(folder)
    )
    config = folder / "maskgate.toml"
    config.write_text(f'device_id = "lobby-1"\nstate_dir = "{folder / "state"}"\n{settings}')
    credentials = folder / "handed-over"
    credentials.mkdir()
    (folder / "lobby-1.key").rename(credentials / "client.key")

    variables = {"CREDENTIALS_DIRECTORY": str(credentials), "MASKGATE_MQTT__KEY_FILE": str(credentials / "client.key")}
    done = maskgate("check", "--config", config, **variables)

    assert f"ok      broker: localhost:{certified.port} with MQTT 5" in done.stdout, done.stdout + done.stderr


def test_boards_of_one_image_differ_by_their_host_name(fleet: SmallFleet, client: Callable[..., Client]) -> None:
    unshare = require_program("unshare", "util-linux")
    require(os.geteuid() == 0, "needs root to give itself another host name")
    reader = client("dash")
    reader.connection.subscribe("maskgate/+/event")
    start = (
        "import socket, sys; socket.sethostname(sys.argv[1]); from edge.cli import main; sys.argv[1:] = ['run']; main()"
    )
    image = {
        "MASKGATE_MQTT__PORT": str(fleet.broker.port),
        "MASKGATE_SOURCES": '[{"name": "door", "kind": "camera", "url": "demo:"}]',
    }
    boards = []
    try:
        for name in ("lobby-1", "lobby-2"):
            board = {
                "MASKGATE_MQTT__USERNAME": name,
                "MASKGATE_STATE_DIR": str(fleet.folder / f"state-{name}"),
                "CREDENTIALS_DIRECTORY": str(fleet.credentials / name),
            }
            command = [unshare, "--uts", sys.executable, "-c", start, name]
            boards.append(subprocess.Popen(command, text=True, env=ENVIRONMENT | image | board))
        reader.poll_until(lambda: set(reader.heard) == {"maskgate/lobby-1/event", "maskgate/lobby-2/event"}, 40)
    finally:
        for process in boards:
            assert end(process) == 0


class Consumers:
    """The consumer of docs/fleet.md, as often as is wanted."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        (program,) = shown("python fleet")
        (folder / "consumer.py").write_text(program.replace("PORT", str(broker.port)))
        self.folder = folder
        self.log = folder / f"mosquitto-{broker.port}.log"
        self.running: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str) -> None:
        subscribed = self.log.read_text().count(f"{name} 1 $share/archive")
        command = [sys.executable, "consumer.py", name]
        self.running[name] = subprocess.Popen(command, cwd=self.folder, text=True)
        eventually(lambda: self.log.read_text().count(f"{name} 1 $share/archive") > subscribed)

    def send(self, name: str, signal_: signal.Signals) -> None:
        self.running[name].send_signal(signal_)
        if signal_ == signal.SIGKILL:
            self.running[name].wait(5)

    def has(self, name: str) -> set[int]:
        """Numbers of the events that a consumer has written down."""
        with closing(sqlite3.connect(self.folder / f"{name}.sqlite3")) as db:
            return {UUID(row[0]).int for row in db.execute("SELECT id FROM event")}


@pytest.fixture
def consumers(tmp_path: Path, broker: Mosquitto) -> Iterator[Consumers]:
    consumers = Consumers(tmp_path, broker)
    yield consumers
    for process in consumers.running.values():
        process.kill()
        process.wait(5)


def test_consumers_that_share_get_each_event_once_and_lose_none_when_one_is_killed(
    consumers: Consumers, broker: Mosquitto
) -> None:
    device = Client(MqttSettings(port=broker.port), "device")
    for name in ("one", "two"):
        consumers.start(name)

    spoken_by(device, "lobby-1", *range(1, 101))
    eventually(lambda: len(consumers.has("one")) + len(consumers.has("two")) >= 100)
    assert len(consumers.has("one")) == len(consumers.has("two")) == 50  # neither twice, for together they are all
    assert consumers.has("one") | consumers.has("two") == set(range(1, 101))

    consumers.send("one", signal.SIGSTOP)  # so that messages are on their way to it and not confirmed
    spoken_by(device, "lobby-1", *range(101, 201))
    consumers.send("one", signal.SIGKILL)
    spoken_by(device, "lobby-1", *range(201, 301))
    eventually(lambda: len(consumers.has("two")) == 150)
    assert len(consumers.has("one")) == 50  # its part waits for it and goes to nobody else

    consumers.start("one")
    eventually(lambda: len(consumers.has("one")) == 150)
    assert consumers.has("one") | consumers.has("two") == set(range(1, 301))
    device.connection.close()


def test_mosquitto_loses_what_a_consumer_without_a_session_had_not_confirmed(
    consumers: Consumers, broker: Mosquitto
) -> None:
    """A fact of the broker that docs/fleet.md builds on; should it change one day, the page must."""
    program = consumers.folder / "consumer.py"
    program.write_text(program.read_text().replace("clean_start=False, properties=session", "clean_start=True"))
    device = Client(MqttSettings(port=broker.port), "device")
    for name in ("one", "two"):
        consumers.start(name)
    consumers.send("one", signal.SIGSTOP)
    spoken_by(device, "lobby-1", *range(1, 101))
    consumers.send("one", signal.SIGKILL)
    eventually(lambda: "Client one closed its connection" in consumers.log.read_text())
    spoken_by(device, "lobby-1", *range(101, 201))
    consumers.start("one")
    spoken_by(device, "lobby-1", 201, 202)
    eventually(lambda: len(consumers.has("two")) == 151)
    eventually(lambda: len(consumers.has("one")) == 1)
    device.connection.close()
