"""A publisher at work, and the outbox that it empties."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.daemon.worker import Worker
from edge.mqtt import delivery, publisher
from edge.mqtt.announcer import Announcer
from edge.mqtt.publisher import Publisher
from edge.mqtt.topics import Topics
from edge.outbox import Entry, Outbox
from edge.settings import MqttSettings
from support.messages import an_event

TOPICS = Topics("maskgate", "lobby-1")


class Sender:
    """`working` while the block lasts."""

    def __init__(
        self, folder: Path, settings: MqttSettings, topics: Topics = TOPICS, announcer: Announcer | None = None
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.outbox = Outbox(folder / "outbox.sqlite3", 10_000, 3600)
        self.publisher = Publisher(settings, topics, self.outbox, announcer)

    def add(self, number: int = 1) -> None:
        self.outbox.add([Entry((an_event(),)) for _ in range(number)], time.time())
        self.publisher.wake()

    @property
    def left(self) -> int:
        return self.outbox.pending()[0]

    @contextmanager
    def working(self) -> Iterator[None]:
        with Worker("publisher", self.publisher.run, 6) as worker:
            yield
            worker.ask_to_stop()
            self.publisher.wake()
        assert worker.died_of is None
        self.outbox.close()


def have_little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses after an outage."""
    monkeypatch.setattr(publisher, "RETRY_FIRST_S", 0.1)
    monkeypatch.setattr(publisher, "RETRY_CEILING_S", 0.5)
    monkeypatch.setattr(delivery, "REJOIN_PAUSE_S", 0.1)
    monkeypatch.setattr(delivery, "REJOIN_RETRY_S", 0.1)
