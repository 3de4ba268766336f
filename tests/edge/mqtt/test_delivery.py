"""The delivery by itself, with a real outbox, a broker that answers as it is told, and a clock that is turned."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge.mqtt.connection import Receipt
from edge.mqtt.delivery import (
    CONFIRM_LIMIT_S,
    IN_FLIGHT,
    RATE_PER_S,
    REFUSED_PAUSE_S,
    REJOIN_LIMIT_S,
    REJOIN_PAUSE_S,
    REJOIN_RETRY_S,
    Allowance,
    Delivery,
)
from edge.mqtt.topics import Topics
from edge.outbox import Entry, Outbox
from edge.outbox_store import Store
from support.messages import an_event, an_image_record


@dataclass
class Broker:
    """Keeps what it is given; `sent` holds the number of each message that was not answered yet."""

    receive_maximum: int = 65535
    largest: int = 1_000_000
    got: list[str] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def publish(self, topic: str, payload: str, qos: int = 1, *, retain: bool = False, schema: str = "") -> int | None:
        assert topic.endswith("/event")
        assert (qos, retain, schema) == (1, False, "maskgate.event/1")
        if len(payload) > self.largest:
            return None
        self.got.append(payload)
        self.sent.append(next(self.numbers))
        return self.sent[-1]


class Bench:
    """Everything that a delivery needs, and the hands that move it."""

    def __init__(self, tmp_path: Path, broker: Broker, *, after_outage: bool = False) -> None:
        self.broker, self.now, self.problems = broker, 1000.0, [None]
        self.outbox = Outbox(tmp_path / "outbox.sqlite", 100_000, 1e9)
        self.delivery = Delivery(
            broker,
            Topics("maskgate", "door"),
            self.outbox,
            Allowance(lambda: self.now),
            self.problems.append,  # type: ignore[arg-type]
            lambda: self.now,
            after_outage=after_outage,
        )

    def add(self, number: int) -> None:
        self.outbox.add([Entry((an_event(),)) for _ in range(number)], self.now)

    def answer(self, count: int = 1, refusal: str | None = None, *, heard: bool = True) -> None:
        """The broker's word on the oldest messages that it has not answered."""
        for _ in range(count):
            self.delivery.take(Receipt(self.broker.sent.pop(0), refusal, heard))

    def after(self, seconds: float) -> int:
        """Turns once, that much later; returns how many messages went out."""
        self.now += seconds
        before = len(self.broker.got)
        self.delivery.turn()
        return len(self.broker.got) - before

    @property
    def left(self) -> int:
        return self.outbox.pending()[0]


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Each made one has the same outbox file; their outboxes are closed in the end."""
    made: list[Bench] = []

    def make(broker: Broker, *, after_outage: bool = False) -> Bench:
        made.append(Bench(tmp_path, broker, after_outage=after_outage))
        return made[-1]

    yield make
    for each in made:
        each.outbox.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench(Broker())


@pytest.fixture
def rejoining(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench(Broker(), after_outage=True)


def test_what_is_confirmed_leaves_the_outbox_and_what_is_not_stays(bench: Bench) -> None:
    bench.add(3)
    assert bench.after(0) == 3
    assert bench.left == 3
    bench.answer(2)
    assert bench.after(0) == 0
    assert bench.left == 1
    assert bench.delivery.unanswered


@pytest.mark.parametrize(("receive_maximum", "expected"), [(65535, IN_FLIGHT), (3, 3)])
def test_no_more_is_on_the_way_than_the_broker_takes(
    make_bench: Callable[..., Bench], receive_maximum: int, expected: int
) -> None:
    bench = make_bench(Broker(receive_maximum=receive_maximum))
    bench.add(IN_FLIGHT + 5)
    assert bench.after(0) == expected
    assert bench.after(1) == 0
    bench.answer(2)
    assert bench.after(0) == 2


def test_a_backlog_comes_over_at_a_bounded_rate(bench: Bench) -> None:
    bench.add(1000)
    sent = 0
    for _ in range(100):
        sent += bench.after(0.02)
        bench.answer(len(bench.broker.sent))
    assert RATE_PER_S * 2 <= sent <= RATE_PER_S * 3
    assert bench.broker.got == sorted(
        bench.broker.got, key=lambda payload: int(payload.split('"seq":')[1].split(",")[0])
    )


def test_after_a_refusal_the_same_messages_go_out_again_in_order_once_the_pause_is_over(bench: Bench) -> None:
    bench.add(3)
    bench.after(0)
    bench.answer(1)
    bench.answer(2, refusal="Not authorized")
    assert bench.after(0) == 0
    assert bench.problems[-1] == "the broker refuses our messages: Not authorized"
    assert bench.after(REFUSED_PAUSE_S - 0.1) == 0
    assert bench.after(0.2) == 2
    assert bench.broker.got[3:] == bench.broker.got[1:3]
    bench.answer(2)
    bench.after(0)
    assert bench.left == 0
    assert bench.problems[-1] is None


class WithoutImages(Broker):
    """Refuses what is no event; says whose number is whose."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses = True
        self.topics: dict[int, str] = {}

    def publish(self, topic: str, payload: str, qos: int = 1, *, retain: bool = False, schema: str = "") -> int | None:
        assert schema == f"maskgate.{topic.rsplit('/', 1)[1]}/1"
        number = super().publish("maskgate/door/event", payload, qos, retain=retain, schema="maskgate.event/1")
        assert number is not None
        self.topics[number] = topic
        return number


def test_a_topic_that_is_refused_keeps_the_other_one_from_nothing(make_bench: Callable[..., Bench]) -> None:
    broker = WithoutImages()
    bench = make_bench(broker)
    bench.outbox.add([Entry((an_image_record(f"{number}.jpg"),)) for number in range(25)], 1000.0)
    told = []
    for _ in range(20):  # a minute of verdicts
        bench.add(1)
        for _ in range(6):
            bench.after(0.5)
            while broker.sent:
                is_image = broker.topics[broker.sent[0]].endswith("/image")
                bench.answer(refusal="Not authorized" if is_image and broker.refuses else None)
            told.append(bench.problems[-1])
    assert bench.left == 25, "every event has gone out, and no record is lost"
    assert set(told[2:]) == {"the broker refuses our messages: Not authorized"}, "and nothing flaps"

    broker.refuses = False
    for _ in range(20):
        bench.after(0.5)
        bench.answer(len(broker.sent))
    assert (bench.left, bench.problems[-1]) == (0, None)


def test_after_an_outage_subscribers_get_time_to_return(rejoining: Bench) -> None:
    rejoining.add(5)
    assert rejoining.after(REJOIN_PAUSE_S - 0.1) == 0
    assert rejoining.after(0.2) == 1
    rejoining.answer()
    assert rejoining.after(0) == 4


def test_what_nobody_heard_after_an_outage_is_sent_again_until_somebody_does(rejoining: Bench) -> None:
    rejoining.add(5)
    assert rejoining.after(REJOIN_PAUSE_S + 0.1) == 1
    for _ in range(10):
        rejoining.answer(heard=False)
        assert rejoining.after(REJOIN_RETRY_S - 0.1) == 0
        assert rejoining.after(0.2) == 1
        assert rejoining.left == 5
    rejoining.answer()
    assert rejoining.after(0) == 4
    assert len(set(rejoining.broker.got)) == 5


def test_a_broker_that_goes_on_saying_that_nobody_subscribes_is_believed_in_the_end(rejoining: Bench) -> None:
    rejoining.add(2)
    began = rejoining.now
    while rejoining.left:
        assert rejoining.now < began + REJOIN_LIMIT_S + 5
        rejoining.answer(len(rejoining.broker.sent), heard=False)
        rejoining.after(REJOIN_RETRY_S)
    assert rejoining.now > began + REJOIN_LIMIT_S
    assert len(rejoining.broker.got) > REJOIN_LIMIT_S / 3


def test_a_broker_that_confirms_nothing_is_stuck_and_one_that_has_nothing_to_confirm_is_not(bench: Bench) -> None:
    bench.after(10 * CONFIRM_LIMIT_S)
    assert not bench.delivery.stuck
    bench.add(1)
    bench.after(0)
    bench.after(CONFIRM_LIMIT_S - 0.1)
    assert not bench.delivery.stuck
    bench.after(0.2)
    assert bench.delivery.stuck


def test_a_message_larger_than_the_broker_takes_is_dropped_and_the_next_ones_go_on(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(Broker(largest=100))
    bench.add(1)
    assert bench.after(0) == 0
    assert bench.left == 0
    bench.broker.largest = 1_000_000
    bench.add(1)
    assert bench.after(0) == 1


def test_what_a_broken_connection_left_open_is_sent_by_the_next(make_bench: Callable[..., Bench]) -> None:
    first = make_bench(Broker())
    first.add(4)
    first.after(0)
    first.answer(1)
    first.delivery.settle()
    first.outbox.close()
    second = make_bench(Broker())
    assert second.after(0) == 3
    assert second.broker.got == first.broker.got[1:]


def test_what_is_on_a_disk_that_is_back_goes_out_though_later_messages_have(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add(45)
    assert bench.after(0.1) == IN_FLIGHT
    with monkeypatch.context() as patch:

        def fails(*_: object) -> None:
            patch.undo()
            raise sqlite3.OperationalError("disk I/O error")

        patch.setattr(Store, "messages", fails)
        bench.answer(IN_FLIGHT)
        assert bench.after(1) == 0
    bench.add(2)
    assert bench.after(1) == 2
    bench.outbox.recover()
    assert bench.outbox.problem is None
    assert bench.after(1) == 0  # not before the two are answered
    bench.answer(2)
    assert bench.after(1) == IN_FLIGHT
    bench.answer(IN_FLIGHT)
    assert bench.after(1) == 5
    bench.answer(5)
    bench.after(1)
    assert not bench.delivery.unfinished
    assert len(set(bench.broker.got)) == len(bench.broker.got) == 47
