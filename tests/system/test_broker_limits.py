"""What a broker allows (versions, sizes, messages at a time, names), and what becomes of the messages at the border."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.daemon.worker import Worker
from edge.mqtt import connection as connection_module
from edge.mqtt import publisher as publisher_module
from edge.mqtt import subscriber as subscriber_module
from edge.mqtt.announcer import Announcer
from edge.mqtt.connection import Connection, Receipt, Will
from edge.mqtt.topics import Topics
from edge.settings import CameraSource, HomeAssistantSettings, MqttSettings, Settings
from support.broker import Mosquitto, publish, subscribed
from support.components import eventually
from support.sender import TOPICS, Sender, have_little_patience
from support.strict_broker import Entrance, StrictBroker


def at(port: int) -> MqttSettings:
    return MqttSettings(host="127.0.0.1", port=port)


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    have_little_patience(monkeypatch)


def versions(broker: Mosquitto, name: str = "maskgate-lobby-1") -> list[str]:
    """In which versions clients whose id begins so have connected, in mosquitto's words: p2 is 3.1.1, p5 is 5."""
    log = (broker.folder / f"mosquitto-{broker.port}.log").read_text()
    return re.findall(rf"New client connected from \S+ as {name}\S* \((p\d)", log)


@pytest.mark.parametrize(
    ("at_first", "later", "silent_s"),
    [(0, 1, 0.0), (1, 0, 0.0), (2, 3, 0.0), (0, 1, 0.4), (1, 0, 0.4)],
    ids=["closes one later", "closes one", "closes some", "ignores one later", "ignores one"],
)
def test_a_broker_that_was_away_for_some_tries_is_spoken_to_in_mqtt_5(
    tmp_path: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch, at_first: int, later: int, silent_s: float
) -> None:
    monkeypatch.setattr(connection_module, "CONNACK_LIMIT_S", 0.2)
    with Entrance(broker.port, silent_s) as entrance:
        sender = Sender(tmp_path / "state", at(entrance.port))
        entrance.away = at_first
        with subscribed(tmp_path, broker.port) as subscriber, sender.working():
            for away in (0, later):
                entrance.away += away
                entrance.drop()
                sender.add(3)
                eventually(lambda: not entrance.away and sender.left == 0)
                time.sleep(0.2)
                assert versions(broker)[-1] == "p5"
            events = subscriber.wait_for("/event", 6)
            assert subscriber.received("/availability")[-1].payload == "online"

    assert [event.json()["seq"] for event in events] == [1, 2, 3, 4, 5, 6]


def test_a_subscriber_speaks_mqtt_5_after_a_broker_was_away(tmp_path: Path, broker: Mosquitto) -> None:
    heard: list[str] = []
    ended = threading.Event()
    with Entrance(broker.port) as entrance:
        entrance.away = 1
        settings = MqttSettings(host="127.0.0.1", port=entrance.port)

        def receive(_stop: threading.Event) -> None:
            subscriber_module.receive(
                settings, ["maskgate/+/event"], lambda topic, _: heard.append(topic), ended.is_set, 10
            )

        with Worker("subscriber", receive, 6) as worker:
            eventually(lambda: versions(broker, "maskgate-listen-")[-1:] == ["p5"])
            before = len(versions(broker, "maskgate-listen-"))
            entrance.away = 1
            entrance.drop()
            eventually(lambda: versions(broker, "maskgate-listen-")[before:][-1:] == ["p5"])
            time.sleep(0.3)
            publish(broker.port, "maskgate/lobby-1/event", "{}")
            eventually(lambda: heard)
            ended.set()
    assert worker.died_of is None
    assert versions(broker, "maskgate-listen-")[-1] == "p5"


def test_a_broker_that_ends_what_is_not_3_1_1_is_reached_at_once(tmp_path: Path) -> None:
    with StrictBroker(version="3.1.1") as broker:
        sender = Sender(tmp_path / "state", at(broker.port))
        sender.add(3)
        began = time.monotonic()
        with sender.working():
            eventually(lambda: sender.left == 0)
            assert time.monotonic() - began < 2
        assert [topic for topic, _ in broker.taken].count("maskgate/lobby-1/event") == 3
        assert broker.connections == 4  # 5 and 3.1.1, and both again: it was not only away for a moment


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Callable[[int], Mosquitto]]:
    """Starts brokers that take packets of so many bytes at most."""
    brokers: list[Mosquitto] = []

    def start(most: int) -> Mosquitto:
        brokers.append(Mosquitto(tmp_path, f"allow_anonymous true\nmax_packet_size {most}"))
        brokers[-1].start()
        return brokers[-1]

    yield start
    for broker in brokers:
        broker.stop()


def test_a_status_that_is_too_large_is_named_once_and_holds_up_nothing(
    tmp_path: Path, narrow: Callable[[int], Mosquitto], caplog: pytest.LogCaptureFixture
) -> None:
    broker = narrow(1500)
    sender = Sender(tmp_path / "state", at(broker.port))
    with subscribed(tmp_path, broker.port) as subscriber, sender.working():
        for number in range(3):
            sender.publisher.set_status(f'{{"number": {number}, "long": "{"x" * 1600}"}}')
            sender.add()
            eventually(lambda: sender.left == 0)
        sender.publisher.set_status('{"number": 3}')
        assert subscriber.wait_for("/status")[0].payload == '{"number": 3}'
        assert len(subscriber.wait_for("/event", 3)) == 3
        assert versions(broker) == ["p5"]
    assert caplog.text.count("no packet as large as maskgate/lobby-1/status: 1") == 1
    assert "it takes 1500" in caplog.text
    assert "the connection was lost" not in caplog.text


class Client:
    """A connection that knows what the broker has confirmed."""

    def __init__(self, port: int) -> None:
        self.confirmed: list[int] = []
        self.connection = Connection(
            MqttSettings(host="127.0.0.1", port=port), "5", "test", Will("t/will", "offline"), self._take
        )

    def _take(self, receipt: Receipt) -> None:
        self.confirmed.append(receipt.number)

    def loses_the_connection(self, number: int | None) -> bool:
        """Whether the message with that number is not confirmed, but the connection lost."""
        deadline = time.monotonic() + 10
        while number not in self.confirmed:
            assert time.monotonic() < deadline
            if not self.connection.poll(0.1):
                return True
        return False


@pytest.mark.parametrize("most", [120, 129, 130, 131, 1500, 16_388, 100_000])
def test_a_message_may_be_as_large_as_the_broker_says(
    narrow: Callable[[int], Mosquitto], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Around the sizes where the length in the header becomes a byte longer, among others."""
    client = Client(narrow(most).port)
    length = most
    while (number := client.connection.publish("t/event", "x" * length, schema="maskgate.event/1")) is None:
        length -= 1
    assert not client.loses_the_connection(number)

    # To the byte it is in test_packets: mosquitto 2.0.11 does not count the length itself, 3 bytes at most here.
    monkeypatch.setattr(connection_module, "publish_size", lambda *_: 0)
    larger = client.connection.publish("t/event", "x" * (length + 4), schema="maskgate.event/1")
    assert client.loses_the_connection(larger)
    client.connection.close()


@pytest.mark.parametrize("most", [1, 2, 10, 20, 50])
def test_no_more_is_on_the_way_than_the_broker_takes_whatever_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, most: int
) -> None:
    settings = Settings(
        device_id="lobby-1",
        state_dir=tmp_path,
        sources=(CameraSource(kind="camera", name="door", url="demo:"),),
        homeassistant=HomeAssistantSettings(discovery=True),
    )
    with StrictBroker(most, 0.02) as broker:
        sender = Sender(tmp_path / "state", at(broker.port), TOPICS, Announcer(settings))
        sender.add(100)
        sender.publisher.set_status('{"number": 0}')
        with sender.working():
            for number in range(1, 20):
                sender.publisher.set_status(f'{{"number": {number}}}')
                time.sleep(0.05)
            eventually(lambda: sender.left == 0)
        topics = [topic for topic, _ in broker.taken]
        seqs = [int(re.findall(rb'"seq":(\d+)', content)[0]) for topic, content in broker.taken if "/event" in topic]

    assert broker.connections == 1, caplog.text
    assert 0 < broker.most_at_once <= min(most, 20)
    assert seqs == list(range(1, 101))
    assert topics[0] == topics[-1] == "maskgate/lobby-1/availability"
    assert "homeassistant/device/lobby-1/config" in topics
    assert b'{"number": 19}' in [content for topic, content in broker.taken if "/status" in topic][-1]
    assert broker.farewells == 1


def test_who_leaves_without_having_said_offline_leaves_the_will_to_the_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "FAREWELL_S", 0.3)
    with StrictBroker(1, None) as broker:
        sender = Sender(tmp_path / "state", at(broker.port))
        sender.add()
        with sender.working():
            eventually(lambda: broker.taken)
        assert [topic for topic, _ in broker.taken] == ["maskgate/lobby-1/availability"]
        assert broker.taken[0][1].endswith(b"online")
        assert broker.farewells == 0


def test_a_prefix_with_a_slash_does_not_make_one_client_of_two(tmp_path: Path, broker: Mosquitto) -> None:
    senders = [
        Sender(tmp_path / "a", at(broker.port), Topics("bldg/floor1", "door")),
        Sender(tmp_path / "b", at(broker.port), Topics("bldg", "floor1-door")),
    ]
    with subscribed(tmp_path, broker.port, topic="bldg/#") as subscriber:
        with senders[0].working(), senders[1].working():
            time.sleep(1)
            for sender in senders:
                sender.add()
            events = subscriber.wait_for("/event", 2)
        log = (tmp_path / f"mosquitto-{broker.port}.log").read_text()

    assert {event.topic for event in events} == {"bldg/floor1/door/event", "bldg/floor1-door/event"}
    assert "already connected" not in log
