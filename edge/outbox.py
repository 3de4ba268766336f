"""Messages that must not be lost, in SQLite: written before they count as produced, deleted when the broker confirms.

Every message gets its `seq` here, one after the other without gaps, across restarts. What a dropped-in file led to (its
record, its events, the fact that it is done) is one transaction: a kill at any moment leaves all of it or nothing.

The log is written ahead without an fsync a commit (`synchronous=NORMAL`); `checkpoint`, called about once a second,
makes it durable. A killed process loses nothing; a power cut can lose the last second.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.errors import UnavailableError
from edge.messages import Event, PublishedImage

_FORMAT = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    seq INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload TEXT NOT NULL, stamp REAL NOT NULL);
CREATE TABLE IF NOT EXISTS file (
    source TEXT NOT NULL, claim BLOB NOT NULL, seq INTEGER NOT NULL, failed INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (source, claim)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO counter VALUES ('seq', 0), ('dropped', 0);
"""

Message = Event | PublishedImage


@dataclass(frozen=True, slots=True)
class Stored:
    """A message that waits for the broker: `topic` is the last part of its topic, `event` or `image`."""

    seq: int
    topic: str
    payload: str


@dataclass(frozen=True, slots=True)
class FileDone:
    """A dropped-in file whose record is in the outbox. `seq` is the record's."""

    source: str
    claim: str
    seq: int
    failed: bool
    record: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What is written in one transaction: messages, and the claimed file that they come from, if any."""

    messages: tuple[Message, ...]
    source: str = ""
    claim: str | None = None


class Outbox:
    """The queue between analysis and broker. Safe to be used by several threads.

    Args:
        path: of the database file, whose folder exists.
        max_messages: the oldest beyond this are dropped and counted.
        max_age_s: what is older is dropped and counted.

    Raises:
        UnavailableError: the file cannot be opened or is no outbox.
    """

    def __init__(self, path: Path, max_messages: int, max_age_s: float) -> None:
        self._max_messages = max_messages
        self._max_age_s = max_age_s
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise UnavailableError(f"{path}: {error}") from error
        try:
            self._prepare(path)
        except sqlite3.Error as error:
            self._db.close()
            raise UnavailableError(f"{path}: {error}") from error
        except UnavailableError:
            self._db.close()
            raise

    def _prepare(self, path: Path) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("PRAGMA wal_autocheckpoint=0")
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, _FORMAT):
            raise UnavailableError(f"{path}: was written by a newer version (format {found})")
        self._db.executescript(_SCHEMA)
        self._db.execute(f"PRAGMA user_version={_FORMAT}")

    def add(self, entries: Iterable[Entry], stamp: float) -> list[Entry]:
        """Writes entries in one transaction and gives each message its `seq`.

        Args:
            entries: in the order in which they are to be published.
            stamp: seconds since 1970.

        Returns:
            The entries with their messages numbered.

        Raises:
            sqlite3.Error: nothing was written.
        """
        with self._lock, self._transaction():
            seq = self._counter("seq")
            numbered = []
            for entry in entries:
                messages = []
                for message in entry.messages:
                    seq += 1
                    messages.append(message.model_copy(update={"seq": seq}))
                    self._db.execute(
                        "INSERT INTO message VALUES (?, ?, ?, ?)",
                        (seq, _topic(message), messages[-1].to_json(), stamp),
                    )
                numbered.append(Entry(tuple(messages), entry.source, entry.claim))
                self._remember_file(numbered[-1])
            self._db.execute("UPDATE counter SET value = ? WHERE name = 'seq'", (seq,))
            return numbered

    def batch(self, after: int, limit: int) -> list[Stored]:
        """The next messages with a `seq` above `after`, in order."""
        with self._lock:
            rows = self._db.execute(
                "SELECT seq, topic, payload FROM message WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
            )
            return [Stored(*row) for row in rows]

    def confirm(self, seqs: Sequence[int]) -> None:
        """The broker has them."""
        with self._lock, self._transaction():
            self._db.executemany("DELETE FROM message WHERE seq = ?", [(seq,) for seq in seqs])

    def files(self, source: str) -> list[FileDone]:
        """Files of a source that are recorded but not yet known to be moved or deleted."""
        with self._lock:
            rows = self._db.execute(
                "SELECT source, claim, seq, failed, record FROM file WHERE source = ? ORDER BY seq", (source,)
            )
            return [
                FileDone(name, _claim_text(claim), seq, bool(failed), text) for name, claim, seq, failed, text in rows
            ]

    def published_files(self, source: str) -> list[FileDone]:
        """Those of `files` whose record the broker has."""
        with self._lock:
            waiting = {row[0] for row in self._db.execute("SELECT seq FROM message WHERE topic = 'image'")}
        return [file for file in self.files(source) if file.seq not in waiting]

    def forget_file(self, source: str, claim: str) -> None:
        """The file has been moved or deleted."""
        with self._lock, self._transaction():
            self._db.execute("DELETE FROM file WHERE source = ? AND claim = ?", (source, _claim_bytes(claim)))

    def trim(self, now: float | None) -> int:
        """Drops what is beyond the limits, the oldest first, and counts it.

        Args:
            now: seconds since 1970, or None while the clock cannot be trusted: then nothing is dropped for its age.

        Returns:
            How many were dropped.
        """
        with self._lock, self._transaction():
            dropped = self._db.execute(
                "DELETE FROM message WHERE seq <= (SELECT seq FROM message ORDER BY seq DESC LIMIT 1 OFFSET ?)",
                (self._max_messages,),
            ).rowcount
            if now is not None:
                dropped += self._db.execute("DELETE FROM message WHERE stamp < ?", (now - self._max_age_s,)).rowcount
            if dropped:
                self._db.execute("UPDATE counter SET value = value + ? WHERE name = 'dropped'", (dropped,))
            return dropped

    def pending(self) -> tuple[int, float | None]:
        """How many messages wait, and the stamp of the oldest."""
        with self._lock:
            row = self._db.execute("SELECT count(*), min(stamp) FROM message").fetchone()
            return int(row[0]), row[1]

    def dropped(self) -> int:
        """How many messages the limits have cost, since the outbox was made."""
        with self._lock:
            return self._counter("dropped")

    def checkpoint(self) -> None:
        """Makes everything durable: the one place that makes the disk work."""
        with self._lock:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _counter(self, name: str) -> int:
        return int(self._db.execute("SELECT value FROM counter WHERE name = ?", (name,)).fetchone()[0])

    def _remember_file(self, entry: Entry) -> None:
        if entry.claim is None:
            return
        record = next(message for message in entry.messages if isinstance(message, PublishedImage))
        self._db.execute(
            "INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?)",
            (entry.source, _claim_bytes(entry.claim), record.seq, record.error is not None, record.to_json()),
        )

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)


class _Transaction:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")


def _topic(message: Message) -> str:
    return "event" if isinstance(message, Event) else "image"


def _claim_bytes(claim: str) -> bytes:
    """File names need not be UTF-8, which TEXT has to be."""
    return claim.encode("utf-8", "surrogateescape")


def _claim_text(claim: bytes) -> str:
    return claim.decode("utf-8", "surrogateescape")
