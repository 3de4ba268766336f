"""The publisher against real brokers, and the faults that brokers have."""

from __future__ import annotations

import gc
import shutil
import socket
import subprocess
import threading
import time
import warnings
from pathlib import Path

import pytest

from edge.daemon.worker import Worker
from edge.errors import ConfigError, UnavailableError
from edge.mqtt import delivery as delivery_module
from edge.mqtt.connection import Connection, UnsupportedProtocolError
from edge.mqtt.embedded import EmbeddedBroker
from edge.outbox import Entry, Outbox
from edge.settings import MqttSettings
from support.broker import Mosquitto, subscribed
from support.components import eventually, free_port, require_program
from support.daemon import running, write_config
from support.messages import an_image_record
from support.sender import Sender, have_little_patience


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    have_little_patience(monkeypatch)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_messages_arrive_in_order_and_leave_the_outbox_once_confirmed(
    tmp_path: Path, broker: Mosquitto, protocol: str
) -> None:
    sender = Sender(tmp_path, MqttSettings(port=broker.port, protocol=protocol))
    sender.add(30)
    sender.outbox.add([Entry((an_image_record(),), "inbox", "a.jpg")], 0.0)
    with subscribed(tmp_path, broker.port) as subscriber, sender.working():
        sender.publisher.set_status('{"state": "running"}')
        events = subscriber.wait_for("/event", 30)
        subscriber.wait_for("/image")
        status = subscriber.wait_for("/status")[0]
        eventually(lambda: sender.outbox.pending()[0] == 0)

    assert [event.json()["seq"] for event in events] == list(range(1, 31))
    assert {(event.topic, event.retained, event.qos) for event in events} == {("maskgate/lobby-1/event", False, 1)}
    assert status.payload == '{"state": "running"}'


def test_with_mqtt_5_messages_say_what_they_are(tmp_path: Path, broker: Mosquitto) -> None:
    sender = Sender(tmp_path, MqttSettings(port=broker.port))
    program = require_program("mosquitto_sub", "mosquitto-clients")
    command = [program, "-p", str(broker.port), "-V", "mqttv5", "-t", "maskgate/+/event", "-C", "1", "-W", "20"]
    listener = subprocess.Popen([*command, "-F", "%C|%P|%F"], stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    with sender.working():
        sender.add()
        output, _ = listener.communicate(timeout=20)

    assert output.strip() == "application/json|schema:maskgate.event/1|1"


def test_who_comes_later_sees_availability_and_status_but_no_old_event(tmp_path: Path, broker: Mosquitto) -> None:
    sender = Sender(tmp_path, MqttSettings(port=broker.port))
    with sender.working():
        sender.publisher.set_status('{"state": "running"}')
        sender.add()
        eventually(lambda: sender.outbox.pending()[0] == 0)
        with subscribed(tmp_path, broker.port) as late:
            late.wait_for("/status")
            time.sleep(0.3)
            received = [(message.topic.split("/")[-1], message.retained) for message in late.received()]

    assert sorted(received) == [("availability", True), ("status", True)]


def test_a_broker_that_is_absent_at_the_start_gets_everything_when_it_comes(tmp_path: Path, broker: Mosquitto) -> None:
    broker.kill()
    sender = Sender(tmp_path, MqttSettings(port=broker.port))
    with sender.working():
        sender.add(5)
        eventually(lambda: sender.publisher.problem == f"localhost:{broker.port}: Connection refused")
        broker.start()
        with subscribed(tmp_path, broker.port) as subscriber:
            sender.add(5)
            events = subscriber.wait_for("/event", 10)
            eventually(lambda: sender.outbox.pending()[0] == 0)
        assert sender.publisher.problem is None
    assert [event.json()["seq"] for event in events] == list(range(1, 11))


def test_after_an_outage_messages_wait_until_a_subscriber_is_back_too(tmp_path: Path, broker: Mosquitto) -> None:
    sender = Sender(tmp_path, MqttSettings(port=broker.port))
    log = tmp_path / f"mosquitto-{broker.port}.log"
    with sender.working():
        eventually(lambda: sender.publisher.problem is None)
        broker.kill()
        sender.add(30)
        broker.start()
        eventually(lambda: log.read_text().count("/event'") >= 3)  # asked three times, heard by nobody
        assert sender.outbox.pending()[0] == 30
        with subscribed(tmp_path, broker.port) as subscriber:
            events = subscriber.wait_for("/event", 30)
            eventually(lambda: sender.outbox.pending()[0] == 0)

    assert [event.json()["seq"] for event in events] == list(range(1, 31))


def test_where_nobody_subscribes_the_broker_gets_the_messages_all_the_same(
    tmp_path: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "REJOIN_LIMIT_S", 1.0)
    sender = Sender(tmp_path, MqttSettings(port=broker.port))
    broker.kill()
    with sender.working():
        sender.add(30)
        eventually(lambda: sender.publisher.problem is not None)
        broker.start()
        eventually(lambda: sender.outbox.pending()[0] == 0)


def test_nothing_is_lost_when_the_broker_is_killed_under_load(tmp_path: Path, broker: Mosquitto) -> None:
    sender = Sender(tmp_path, MqttSettings(port=broker.port))
    seen: set[int] = set()
    log = tmp_path / f"mosquitto-{broker.port}.log"
    with sender.working():
        for _ in range(4):
            with subscribed(tmp_path, broker.port) as subscriber:
                sender.add(100)
                eventually(lambda: subscriber.received("/event"))
                broker.kill()
            seen |= {message.json()["seq"] for message in subscriber.received("/event")}
            broker.start()
        with subscribed(tmp_path, broker.port) as subscriber:
            sender.add(1)
            eventually(lambda: sender.outbox.pending()[0] == 0, 30)
            eventually(lambda: 401 in {message.json()["seq"] for message in subscriber.received("/event")})
            seen |= {message.json()["seq"] for message in subscriber.received("/event")}

    # A subscriber that is killed with the broker misses what that had taken for it; the broker had them all.
    assert log.read_text().count("Sending PUBACK to maskgate-lobby-1") >= 401
    assert len(seen) >= 321


def test_the_will_is_said_when_the_daemon_dies(tmp_path: Path, broker: Mosquitto) -> None:
    from edge.mqtt.connection import Will

    connection = Connection(
        MqttSettings(port=broker.port), "5", "dying", Will("maskgate/lobby-1/availability", "offline")
    )
    with subscribed(tmp_path, broker.port) as subscriber:
        time.sleep(0.3)
        connection.close()
        assert subscriber.wait_for("/availability")[0].payload == "offline"


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """ca.crt, and server.crt for localhost that it signed; other.crt, that nobody knows; expired.crt."""
    openssl = require_program("openssl", "openssl")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=tmp_path, check=True, capture_output=True, timeout=60)

    for name in ("ca", "other"):
        run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.crt",
            "-days", "2", "-subj", f"/CN={name}")  # fmt: skip
    (tmp_path / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    for name, days in (("server", "2"), ("expired", "-1")):
        run("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", days,
            "-extfile", "names", "-out", f"{name}.crt")  # fmt: skip
    return tmp_path


def tls_broker(folder: Path, certificate: str = "server") -> Mosquitto:
    program = require_program("mosquitto_passwd", "mosquitto")
    subprocess.run([program, "-b", "-c", str(folder / "passwords"), "door", "s3cret"], check=True, capture_output=True)
    options = (
        f"allow_anonymous false\npassword_file {folder / 'passwords'}\ncafile {folder / 'ca.crt'}\n"
        f"certfile {folder / certificate}.crt\nkeyfile {folder / 'server.key'}"
    )
    return Mosquitto(folder, options)


def test_tls_with_a_password(tmp_path: Path, certificates: Path) -> None:
    broker = tls_broker(certificates)
    broker.start()
    settings = MqttSettings(
        port=broker.port, tls=True, ca_file=certificates / "ca.crt", username="door", password="s3cret"
    )
    sender = Sender(tmp_path, settings)
    login = ("--cafile", str(certificates / "ca.crt"), "-u", "door", "-P", "s3cret")
    try:
        with subscribed(tmp_path, broker.port, *login) as subscriber, sender.working():
            sender.add(50)
            assert len(subscriber.wait_for("/event", 50)) == 50
    finally:
        broker.stop()


def test_a_certificate_that_is_away_while_it_is_renewed_is_waited_for(tmp_path: Path, certificates: Path) -> None:
    broker = tls_broker(certificates)
    broker.start()
    ca_file = certificates / "ca.crt"
    sender = Sender(
        tmp_path, MqttSettings(port=broker.port, tls=True, ca_file=ca_file, username="door", password="s3cret")
    )
    ca_file.rename(certificates / "renewed.crt")
    try:
        with sender.working():
            eventually(lambda: "mqtt.ca_file" in str(sender.publisher.problem))
            (certificates / "renewed.crt").rename(ca_file)
            eventually(lambda: sender.publisher.problem is None)
    finally:
        broker.stop()


@pytest.mark.parametrize("meanwhile", ["", None], ids=["half written", "away"])
def test_a_certificate_that_is_renewed_while_the_daemon_starts_is_waited_for(
    tmp_path: Path, certificates: Path, meanwhile: str | None
) -> None:
    broker = tls_broker(certificates)
    broker.start()
    renewed = certificates / "ca.crt"
    ca_file = certificates / "named.crt"
    if meanwhile is not None:
        ca_file.write_text(meanwhile)
    config = write_config(certificates, broker.port, '[[sources]]\nname = "door"\nkind = "camera"\nurl = "demo:"')
    with config.open("a") as file:
        file.write(f'\nhost = "localhost"\ntls = true\nca_file = "{ca_file}"\nusername = "door"\npassword = "s3cret"\n')
    login = ("--cafile", str(renewed), "-u", "door", "-P", "s3cret")
    try:
        with subscribed(tmp_path, broker.port, *login) as subscriber, running(config) as daemon:
            eventually(lambda: "broker: mqtt.ca_file: " in (certificates / "daemon.log").read_text())
            assert daemon.poll() is None
            shutil.copy(renewed, ca_file)
            subscriber.wait_for("/event", 1, 40)
    finally:
        broker.stop()


@pytest.mark.parametrize(
    ("certificate", "overrides", "problem"),
    [
        ("server", {"password": "wrong"}, "refuses the connection: Not authorized"),
        ("server", {"ca_file": None}, "its certificate is not trusted: "),
        ("server", {"ca_file": "other.crt"}, "its certificate is not trusted"),
        ("expired", {}, "its certificate is not trusted: certificate has expired"),
        ("server", {"tls": False, "ca_file": None}, "closes the connection at once; TLS on or off"),
    ],
)
def test_a_refusal_is_told_apart(
    certificates: Path, certificate: str, overrides: dict[str, object], problem: str
) -> None:
    broker = tls_broker(certificates, certificate)
    broker.start()
    values: dict[str, object] = {"tls": True, "ca_file": "ca.crt", "username": "door", "password": "s3cret"} | overrides
    if values["ca_file"]:
        values["ca_file"] = certificates / str(values["ca_file"])
    try:
        with pytest.raises(UnavailableError, match=problem) as caught:
            Connection(MqttSettings.model_validate({"port": broker.port, **values}), "5", "test")
    finally:
        broker.stop()
    # paho leaves the socket of a failed handshake to the garbage collector, which complains.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del caught
        gc.collect()


def test_a_certificate_file_that_is_missing_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mqtt\.ca_file: .*none\.crt: No such file"):
        Connection(MqttSettings(tls=True, ca_file=tmp_path / "none.crt"), "5", "test")


def test_a_broker_that_knows_only_3_1_1_is_spoken_to_in_3_1_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.mqtt.connection.CONNACK_LIMIT_S", 2.0)  # twice: it ignores what is MQTT 5 and has a will
    embedded = EmbeddedBroker(free_port())
    sender = Sender(tmp_path, MqttSettings(host="127.0.0.1", port=embedded.port, protocol="auto"))
    with Worker("broker", embedded.run, 5):
        embedded.wait_until_ready()
        with sender.working():
            sender.add(3)
            eventually(lambda: sender.outbox.pending()[0] == 0, 30)


def test_a_broker_that_refuses_mqtt_5_says_so() -> None:
    """amqtt answers a version that it does not know; it hangs only where a will follows."""
    embedded = EmbeddedBroker(free_port())
    with Worker("broker", embedded.run, 5):
        embedded.wait_until_ready()
        with pytest.raises(UnsupportedProtocolError):
            Connection(MqttSettings(host="127.0.0.1", port=embedded.port), "5", "test")


def test_a_server_that_accepts_and_stays_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.mqtt.connection.CONNACK_LIMIT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = MqttSettings(host="127.0.0.1", port=server.getsockname()[1])
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="accepts the connection and says nothing"):
            Connection(settings, "5", "test")

    assert time.monotonic() - began < 3


def test_a_topic_that_the_broker_forbids_is_told_and_retried_without_haste(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite maskgate/+/availability\ntopic readwrite maskgate/+/status\ntopic read #\n")
    broker = Mosquitto(tmp_path, f"allow_anonymous true\nacl_file {acl}")
    broker.start()
    sender = Sender(tmp_path, MqttSettings(port=broker.port))
    try:
        with sender.working():
            sender.add()
            eventually(lambda: sender.publisher.problem == "the broker refuses our messages: Not authorized")
            time.sleep(1)
    finally:
        broker.stop()

    assert Outbox(tmp_path / "outbox.sqlite3", 10, 3600).pending()[0] == 1
    assert caplog.text.count("refuses our messages") == 1


def test_a_message_that_the_broker_finds_too_large_does_not_hold_up_the_rest(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, "allow_anonymous true\nmax_packet_size 3000")
    broker.start()
    sender = Sender(tmp_path, MqttSettings(port=broker.port))
    try:
        with sender.working():
            sender.outbox.add([Entry((an_image_record("x" * 4000 + ".jpg"),), "inbox", "x")], time.time())
            sender.add()
            eventually(lambda: sender.outbox.pending()[0] == 0)
            assert sender.outbox.dropped() == 1
            assert [file.dropped for file in sender.outbox.files("inbox")] == [True]
    finally:
        broker.stop()


def test_after_an_outage_the_backlog_comes_at_a_bounded_rate(
    tmp_path: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "RATE_PER_S", 50.0)
    sender = Sender(tmp_path, MqttSettings(port=broker.port))
    sender.add(150)
    with subscribed(tmp_path, broker.port) as subscriber, sender.working():
        began = time.monotonic()
        subscriber.wait_for("/event", 150)
        elapsed = time.monotonic() - began

    assert elapsed > 1.5  # 50 at once, 100 more at 50 a second


def test_two_devices_of_one_id_do_not_fight_without_pause(tmp_path: Path, broker: Mosquitto) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    senders = [Sender(folder, MqttSettings(port=broker.port)) for folder in folders]
    with senders[0].working(), senders[1].working():
        threading.Event().wait(3)
        log = (tmp_path / f"mosquitto-{broker.port}.log").read_text()

    assert 2 <= log.count("already connected, closing old connection") <= 30
