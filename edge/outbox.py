"""Messages that must not be lost, in SQLite: written before they count as produced, deleted when the broker confirms.

Every message gets its `seq` here, one after the other without gaps, across restarts. What a dropped-in file led to (its
record, its events, the fact that it is done) is one transaction: a kill at any moment leaves all of it or nothing.

The log is written ahead without an fsync a commit (`synchronous=NORMAL`); `checkpoint`, called every two seconds,
makes it last. A killed process loses nothing; a power cut can lose the last two seconds.

While the disk refuses (full, read-only, gone) the same tables in memory take over, up to a limit, and `problem` says
so; `recover` carries them to the disk once it is back.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.messages import Event, PublishedImage
from edge.outbox_store import DISK, MEMORY, open_store

log = logging.getLogger(__name__)

MEMORY_LIMIT = 10_000
"""Messages that are kept in memory while the disk refuses them; beyond this the oldest are dropped and counted."""

_ASK_LIMIT_S = 0.2

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


@dataclass(frozen=True, slots=True)
class Entry:
    """What is written in one transaction: messages, and the claimed file that they come from, if any."""

    messages: tuple[Message, ...]
    source: str = ""
    claim: str | None = None


class Outbox:
    """The queue between analysis and broker. Safe to be used by several threads.

    Args:
        path: of the database file. If its folder cannot be used, everything is kept in memory from the start. A damaged
            file is set aside under a dated name.
        max_messages: the oldest beyond this are dropped and counted.
        max_age_s: what is older is dropped and counted.

    Raises:
        UnavailableError: the file was written by a newer version.
    """

    def __init__(self, path: Path, max_messages: int, max_age_s: float) -> None:
        self._max_messages = max_messages
        self._max_age_s = max_age_s
        self._lock = threading.Lock()
        self._db, self.problem = open_store(path)
        self._has_disk = self.problem is None
        self._seq = self._counter("seq")
        self._dropped = self._counter("dropped")
        self._pending: tuple[int, float | None] = (0, None)
        self._confirmed: set[int] = set()
        """What the broker has and the disk does not let us delete."""
        self._forgotten: set[tuple[str, bytes]] = set()
        """Files that are done with, likewise."""

    def add(self, entries: Iterable[Entry], stamp: float | None) -> list[Entry]:
        """Writes entries in one transaction and gives each message its `seq`.

        Args:
            entries: in the order in which they are to be published.
            stamp: seconds since 1970, None while the clock cannot be trusted: such messages never count as too old.

        Returns:
            The entries with their messages numbered.
        """
        with self._lock:
            numbered, seq = self._numbered(entries)
            try:
                if self.problem is not None:
                    raise sqlite3.OperationalError(self.problem)
                self._insert(DISK, numbered, stamp, seq)
            except sqlite3.Error as error:
                self._degrade(error)
                self._insert(MEMORY, numbered, stamp, seq)
            self._seq = seq
            return numbered

    def batch(self, after: int, limit: int) -> list[Stored]:
        """The next messages with a `seq` above `after`, in order."""
        with self._lock:
            rows = self._db.execute(
                f"SELECT seq, topic, payload FROM {_BOTH} WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, limit + len(self._confirmed)),
            )
            return [Stored(*row) for row in rows if row[0] not in self._confirmed][:limit]

    def confirm(self, seqs: Sequence[int]) -> None:
        """The broker has them."""
        with self._lock:
            self._confirmed.update(seqs)
            self._delete_confirmed()

    def drop(self, seq: int) -> None:
        """Gives up a message that the broker will never take, and counts it."""
        with self._lock:
            self._dropped += 1
            for store in (MEMORY, DISK):
                try:
                    with self._transaction():
                        self._db.execute(f"UPDATE {store}.file SET dropped = 1 WHERE seq = ?", (seq,))
                        self._db.execute(f"DELETE FROM {store}.message WHERE seq = ?", (seq,))
                        if store == DISK:
                            self._set_counter("dropped", self._dropped)
                except sqlite3.Error as error:
                    self._degrade(error)

    def files(self, source: str) -> list[FileDone]:
        """Files of a source that are recorded but not yet known to be moved or deleted."""
        with self._lock:
            return self._files(source)

    def published_files(self, source: str) -> list[FileDone]:
        """Those of `files` whose record the broker has."""
        with self._lock:
            return self._files(
                source, f"AND NOT EXISTS (SELECT 1 FROM {_BOTH} AS waiting WHERE waiting.seq = file.seq)"
            )

    def forget_file(self, source: str, claim: str) -> None:
        """The file has been moved or deleted."""
        with self._lock:
            self._forgotten.add((source, _claim_bytes(claim)))
            self._delete_forgotten()

    def trim(self, now: float | None) -> int:
        """Drops what is beyond the limits, the oldest first, and counts it.

        Args:
            now: seconds since 1970, or None while the clock cannot be trusted: then nothing is dropped for its age.

        Returns:
            How many were dropped.
        """
        with self._lock:
            limits = {MEMORY: MEMORY_LIMIT, DISK: self._max_messages}
            dropped = 0
            for store, limit in limits.items():
                try:
                    dropped += self._trim(store, limit, now)
                except sqlite3.Error as error:
                    self._degrade(error)
            self._dropped += dropped
            return dropped

    def pending(self) -> tuple[int, float | None]:
        """How many messages wait, and the stamp of the oldest that has one.

        What it was when last asked, while a slow disk holds the outbox: whoever asks feeds the watchdog too.
        """
        if self._lock.acquire(timeout=_ASK_LIMIT_S):
            try:
                number, oldest = self._db.execute(f"SELECT count(*), min(stamp) FROM {_BOTH}").fetchone()
                self._pending = max(0, int(number) - len(self._confirmed)), oldest
            finally:
                self._lock.release()
        return self._pending

    def dropped(self) -> int:
        """How many messages the limits have cost, since the outbox was made."""
        return self._dropped

    def checkpoint(self) -> None:
        """Makes everything durable: the one place that makes the disk work."""
        with self._lock:
            try:
                self._db.execute("PRAGMA main.wal_checkpoint(PASSIVE)")
            except sqlite3.Error as error:
                self._degrade(error)

    def recover(self) -> None:
        """While degraded: carries what is in memory to the disk, if the disk takes it again.

        An outbox that found no disk when it was opened stays in memory until the next start.
        """
        with self._lock:
            if self.problem is None or not self._has_disk:
                return
            try:
                with self._transaction():
                    self._db.execute(f"INSERT INTO {DISK}.message SELECT * FROM {MEMORY}.message")
                    self._db.execute(f"INSERT OR REPLACE INTO {DISK}.file SELECT * FROM {MEMORY}.file")
                    self._set_counter("seq", self._seq)
                    self._db.execute(f"DELETE FROM {MEMORY}.message")
                    self._db.execute(f"DELETE FROM {MEMORY}.file")
            except sqlite3.Error:
                return  # it is still so; the problem has been told
            self.problem = None
            self._delete_confirmed()
            self._delete_forgotten()
            log.warning("outbox: the disk takes messages again")

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _numbered(self, entries: Iterable[Entry]) -> tuple[list[Entry], int]:
        seq = self._seq
        numbered = []
        for entry in entries:
            messages = []
            for message in entry.messages:
                seq += 1
                messages.append(message.model_copy(update={"seq": seq}))
            numbered.append(Entry(tuple(messages), entry.source, entry.claim))
        return numbered, seq

    def _insert(self, store: str, entries: Iterable[Entry], stamp: float | None, seq: int) -> None:
        with self._transaction():
            for entry in entries:
                self._db.executemany(
                    f"INSERT INTO {store}.message VALUES (?, ?, ?, ?)",
                    [(message.seq, _topic(message), message.to_json(), stamp) for message in entry.messages],
                )
                self._remember_file(store, entry)
            if store == DISK:
                self._set_counter("seq", seq)

    def _remember_file(self, store: str, entry: Entry) -> None:
        if entry.claim is None:
            return
        record = next(message for message in entry.messages if isinstance(message, PublishedImage))
        self._db.execute(
            f"INSERT OR REPLACE INTO {store}.file VALUES (?, ?, ?, ?, ?, 0)",
            (entry.source, _claim_bytes(entry.claim), record.seq, record.error is not None, record.to_json()),
        )

    def _delete_confirmed(self) -> None:
        rows = [(seq,) for seq in self._confirmed]
        with self._transaction():
            self._db.executemany(f"DELETE FROM {MEMORY}.message WHERE seq = ?", rows)
        try:
            with self._transaction():
                self._db.executemany(f"DELETE FROM {DISK}.message WHERE seq = ?", rows)
        except sqlite3.Error as error:
            self._degrade(error)
            self._confirmed &= {row[0] for row in self._db.execute(f"SELECT seq FROM {DISK}.message")}
        else:
            self._confirmed.clear()

    def _delete_forgotten(self) -> None:
        delete = "DELETE FROM {}.file WHERE source = ? AND claim = ?"
        with self._transaction():
            self._db.executemany(delete.format(MEMORY), self._forgotten)
        try:
            with self._transaction():
                self._db.executemany(delete.format(DISK), self._forgotten)
        except sqlite3.Error as error:
            self._degrade(error)
        else:
            self._forgotten.clear()

    def _trim(self, store: str, limit: int, now: float | None) -> int:
        first, last = self._db.execute(f"SELECT min(seq), max(seq) FROM {store}.message").fetchone()
        if first is None:
            return 0
        newest_to_go = 0
        if last - first >= limit:  # otherwise there cannot be more, and counting them is dear
            row = self._db.execute(f"SELECT seq FROM {store}.message ORDER BY seq DESC LIMIT 1 OFFSET ?", (limit,))
            newest_to_go = (row.fetchone() or (0,))[0]
        born_before = -1.0 if now is None else now - self._max_age_s
        if not newest_to_go and not self._has_older(store, born_before):
            return 0
        with self._transaction():
            condition, limits = "(seq <= ? OR stamp < ?)", (newest_to_go, born_before)
            old = f"SELECT seq FROM {store}.message WHERE {condition}"
            self._db.execute(f"UPDATE {store}.file SET dropped = 1 WHERE seq IN ({old})", limits)
            dropped = self._db.execute(f"DELETE FROM {store}.message WHERE {condition}", limits).rowcount
            if store == DISK:
                self._set_counter("dropped", self._dropped + dropped)
            return dropped

    def _has_older(self, store: str, born_before: float) -> bool:
        """Whether the oldest message that has a stamp is older; later ones can be only where the clock stepped."""
        oldest = f"SELECT stamp FROM {store}.message WHERE stamp IS NOT NULL ORDER BY seq LIMIT 1"
        found = self._db.execute(oldest).fetchone()
        return found is not None and found[0] < born_before

    def _files(self, source: str, condition: str = "") -> list[FileDone]:
        columns = "source, claim, seq, failed, record, dropped"
        rows = self._db.execute(
            f"SELECT {columns} FROM {DISK}.file AS file WHERE source = :source {condition} "
            f"UNION SELECT {columns} FROM {MEMORY}.file AS file WHERE source = :source {condition} ORDER BY seq",
            {"source": source},
        )
        return [
            FileDone(name, _claim_text(claim), seq, bool(failed), text, bool(dropped))
            for name, claim, seq, failed, text, dropped in rows
            if (name, claim) not in self._forgotten
        ]

    def _degrade(self, error: sqlite3.Error) -> None:
        if self.problem is None:
            self.problem = f"outbox: {error}; up to {MEMORY_LIMIT} messages are kept in memory"
            log.error("%s", self.problem)

    def _counter(self, name: str) -> int:
        return int(self._db.execute(f"SELECT value FROM {DISK}.counter WHERE name = ?", (name,)).fetchone()[0])

    def _set_counter(self, name: str, value: int) -> None:
        self._db.execute(f"UPDATE {DISK}.counter SET value = ? WHERE name = ?", (value, name))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # SQLite itself rolls back when the disk is full
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


_BOTH = f"(SELECT * FROM {DISK}.message UNION ALL SELECT * FROM {MEMORY}.message)"


def _topic(message: Message) -> str:
    return "event" if isinstance(message, Event) else "image"


def _claim_bytes(claim: str) -> bytes:
    """File names need not be UTF-8, which TEXT has to be."""
    return claim.encode("utf-8", "surrogateescape")


def _claim_text(claim: bytes) -> str:
    return claim.decode("utf-8", "surrogateescape")
