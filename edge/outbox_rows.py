"""What the tables of the outbox hold, as plain values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge.messages import Event, PublishedImage

Message = Event | PublishedImage


@dataclass(frozen=True, slots=True)
class Stored:
    """A message that waits for the broker: `topic` is the last part of its topic, `event` or `image`."""

    seq: int
    topic: str
    payload: str


@dataclass(frozen=True, slots=True)
class FileDone:
    """A dropped-in file whose record is in the outbox. `seq` is the record's.

    `dropped` is true where the limits of the outbox have cost the record before the broker had it.
    """

    source: str
    claim: str
    seq: int
    failed: bool
    record: str
    dropped: bool


FileKey = tuple[str, bytes]
"""Source and claim of a file; names of files need not be UTF-8, which TEXT has to be."""


def file_key(source: str, claim: str) -> FileKey:
    return source, claim.encode("utf-8", "surrogateescape")


def stored(message: Message) -> Stored:
    return Stored(message.seq, "event" if isinstance(message, Event) else "image", message.to_json())


def file_done(source: str, claim: str, messages: Iterable[Message]) -> FileDone:
    """Of a file that led to these messages, its record among them."""
    record = next(message for message in messages if isinstance(message, PublishedImage))
    return FileDone(source, claim, record.seq, record.error is not None, record.to_json(), dropped=False)
