"""The discovery message on a real broker: when it comes, and how it is taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.daemon.worker import Worker
from edge.mqtt.announcer import Announcer
from edge.mqtt.publisher import Publisher
from edge.mqtt.topics import Topics
from edge.outbox import Outbox
from edge.settings import CameraSource, HomeAssistantSettings, MqttSettings, Settings
from support.broker import Mosquitto, Subscriber, publish, subscribed
from support.components import eventually

TOPIC = "homeassistant/device/lobby-1/config"


def settings(folder: Path, port: int, *doors: str, discovery: bool = True, prefix: str = "homeassistant") -> Settings:
    return Settings(
        device_id="lobby-1",
        state_dir=folder,
        sources=tuple(CameraSource(kind="camera", name=name, url="demo:") for name in doors),
        mqtt=MqttSettings(port=port),
        homeassistant=HomeAssistantSettings(discovery=discovery, prefix=prefix),
    )


@contextmanager
def publishing(chosen: Settings) -> Iterator[Publisher]:
    outbox = Outbox(chosen.state_dir / "outbox.sqlite3", 100, 3600)
    publisher = Publisher(chosen.mqtt, Topics(chosen.mqtt.prefix, chosen.device_id), outbox, Announcer(chosen))
    with Worker("publisher", publisher.run, 6) as worker:
        yield publisher
        worker.ask_to_stop()
        publisher.wake()
    outbox.close()
    assert worker.died_of is None


def remembered(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "homeassistant.json").read_text())
    return found


@pytest.fixture
def listener(tmp_path: Path, broker: Mosquitto) -> Iterator[Subscriber]:
    with subscribed(tmp_path, broker.port, topic="#") as subscriber:
        yield subscriber


def announce_once(chosen: Settings, listener: Subscriber, count: int) -> None:
    """Until the listener has `count` messages of discovery and the device knows that the broker has them."""
    with publishing(chosen):
        listener.wait_for("/config", count)
        keys = set(json.loads(listener.received("/config")[-1].payload)["components"])
        eventually(lambda: set(remembered(chosen.state_dir)["components"]) == keys)  # type: ignore[call-overload]


def test_it_is_retained_and_comes_on_every_connect(tmp_path: Path, broker: Mosquitto) -> None:
    with publishing(settings(tmp_path, broker.port, "door")):
        for _ in range(2):
            with subscribed(tmp_path, broker.port, topic="homeassistant/#") as subscriber:
                subscriber.wait_for("/config")
            with subscribed(tmp_path, broker.port, topic="homeassistant/#") as late:
                message = late.wait_for("/config")[0]
            assert message.topic == TOPIC
            assert message.qos == 1
            assert message.retained
            assert message.json()["availability_topic"] == "maskgate/lobby-1/availability"
            broker.kill()  # and with it all that was retained
            broker.start()


def test_it_comes_again_when_home_assistant_starts_and_for_nothing_else(
    tmp_path: Path, broker: Mosquitto, listener: Subscriber
) -> None:
    with publishing(settings(tmp_path, broker.port, "door")):
        listener.wait_for("/config")
        eventually(lambda: TOPIC in (tmp_path / "homeassistant.json").read_text())
        for payload in ("offline", "ONLINE", "x" * 5000, "online"):
            publish(broker.port, "homeassistant/status", payload)
        first, again = listener.wait_for("/config", 2)

    assert again.payload == first.payload
    assert len(listener.received("/config")) == 2


def test_switched_off_it_is_taken_back_once(tmp_path: Path, broker: Mosquitto, listener: Subscriber) -> None:
    announce_once(settings(tmp_path, broker.port, "door"), listener, 1)
    with publishing(settings(tmp_path, broker.port, "door", discovery=False)):
        assert listener.wait_for("/config", 2)[1].payload == ""
        eventually(lambda: not (tmp_path / "homeassistant.json").exists())
    with publishing(settings(tmp_path, broker.port, "door", discovery=False)) as publisher:
        publisher.set_status("third")
        eventually(lambda: listener.received("/status"))
        publish(broker.port, "homeassistant/status", "online")

    assert len(listener.received("/config")) == 2


def test_a_broker_that_never_had_it_hears_nothing_of_it(
    tmp_path: Path, broker: Mosquitto, listener: Subscriber
) -> None:
    with publishing(settings(tmp_path, broker.port, "door", discovery=False)) as publisher:
        publisher.set_status("there")
        listener.wait_for("/status")

    assert listener.received("/config") == []
    log = (tmp_path / f"mosquitto-{broker.port}.log").read_text()
    assert "homeassistant" not in log


def test_a_source_that_is_gone_is_named_by_its_platform_alone_and_then_left_out(
    tmp_path: Path, broker: Mosquitto, listener: Subscriber
) -> None:
    announce_once(settings(tmp_path, broker.port, "door", "yard"), listener, 1)
    announce_once(settings(tmp_path, broker.port, "door"), listener, 3)
    farewell, after = (message.json()["components"] for message in listener.received("/config")[1:])

    assert farewell["source_yard"] == {"platform": "binary_sensor"}
    assert farewell["rate_yard"] == {"platform": "sensor"}
    assert {key for key in farewell if key not in after} == {"source_yard", "rate_yard"}
    assert "source_door" in after


def test_a_removal_that_the_broker_did_not_confirm_is_tried_again(
    tmp_path: Path, broker: Mosquitto, listener: Subscriber
) -> None:
    announce_once(settings(tmp_path, broker.port, "door", "yard"), listener, 1)
    Announcer(settings(tmp_path, broker.port, "door"))  # made, and killed before it could connect
    announce_once(settings(tmp_path, broker.port, "door"), listener, 3)

    assert "source_yard" in listener.received("/config")[1].json()["components"]


def test_another_prefix_takes_it_back_from_the_old_one(tmp_path: Path, broker: Mosquitto, listener: Subscriber) -> None:
    announce_once(settings(tmp_path, broker.port, "door"), listener, 1)
    announce_once(settings(tmp_path, broker.port, "door", prefix="building/ha"), listener, 3)
    _, removed, moved = listener.received("/config")

    assert (removed.topic, removed.payload) == (TOPIC, "")
    assert moved.topic == "building/ha/device/lobby-1/config"


def test_a_broker_that_forbids_it_is_told_of_and_events_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite maskgate/#\n")
    broker = Mosquitto(tmp_path, f"allow_anonymous true\nacl_file {acl}")
    broker.start()
    try:
        with publishing(settings(tmp_path, broker.port, "door")) as publisher:
            eventually(lambda: f"allow this user to write {TOPIC}" in caplog.text)
            assert publisher.problem is None
    finally:
        broker.stop()

    assert caplog.text.count("refuses Home Assistant discovery") == 1


def test_a_broker_that_takes_no_packet_so_large_keeps_the_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Mosquitto(tmp_path, "allow_anonymous true\nmax_packet_size 1000")
    broker.start()
    try:
        with publishing(settings(tmp_path, broker.port, "door")) as publisher:
            eventually(lambda: "takes no packet as large as Home Assistant discovery" in caplog.text)
            assert publisher.problem is None
    finally:
        broker.stop()


@pytest.mark.parametrize("text", ["", "[]", '{"topic": 3}', "{", "\0"])
def test_a_memory_that_is_damaged_still_takes_it_back(
    tmp_path: Path, broker: Mosquitto, listener: Subscriber, text: str
) -> None:
    (tmp_path / "homeassistant.json").write_text(text)
    with publishing(settings(tmp_path, broker.port, "door", discovery=False)):
        assert listener.wait_for("/config")[0].payload == ""


def test_a_disk_that_refuses_does_not_keep_the_device_from_home_assistant(
    tmp_path: Path, broker: Mosquitto, listener: Subscriber, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "homeassistant.part").mkdir()  # where the file would be written
    with publishing(settings(tmp_path, broker.port, "door")):
        listener.wait_for("/config")

    assert "homeassistant.json cannot be written" in caplog.text
