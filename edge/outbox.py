"""Messages that must not be lost, in SQLite: written before they count as produced, deleted when the broker confirms.

Every message gets its `seq` here, one after the other without gaps, across restarts. What a dropped-in file led to (its
record, its events, the fact that it is done) is one transaction: a kill at any moment leaves all of it or nothing.

The log is written ahead without an fsync a commit (`synchronous=NORMAL`); `checkpoint`, called every two seconds,
makes it last, what has left the outbox too. A killed process loses nothing; a power cut can lose the last two seconds.

While the disk refuses (full, read-only, gone) the same tables in memory take over, up to a limit, and `problem` says
so; what the disk holds is still read, and the last `seq` overwritten in a file of its own. `recover` carries all to the
disk once it is back. A database that cannot be read any more is left at once, and looked at by `recover` as at a start:
one that is damaged is set aside, with what waited in it, and a new one begins.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

from edge.errors import UnavailableError
from edge.outbox_files import LastSeq
from edge.outbox_rows import FileDone, FileKey, Message, Stored, file_done, file_key, stored
from edge.outbox_store import DISK, MEMORY, Store

log = logging.getLogger(__name__)

MEMORY_LIMIT = 10_000
"""Messages that are kept in memory while the disk refuses them; beyond this the oldest are dropped and counted."""

_ASK_LIMIT_S = 0.2

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Entry:
    """What is written in one transaction: messages, and the claimed file that they come from, if any."""

    messages: tuple[Message, ...]
    source: str = ""
    claim: str | None = None


class Outbox:
    """The queue between analysis and broker. Safe to be used by several threads.

    Args:
        path: of the database file. If it cannot be written to, what is in it is read, and everything new kept in memory
            until it can. A damaged file is set aside under a dated name.
        max_messages: the oldest beyond this are dropped and counted.
        max_age_s: what is older is dropped and counted.

    Raises:
        UnavailableError: the file was written by a newer version.
    """

    def __init__(self, path: Path, max_messages: int, max_age_s: float) -> None:
        self._max_messages = max_messages
        self._max_age_s = max_age_s
        self._lock = threading.Lock()
        self._store = Store(path)
        self.problem = self._store.problem
        self._has_disk = True
        self._on_disk = self._store.counter("seq")
        """The last number that the database has."""
        self._last_seq = LastSeq(path.with_name(f"{path.name}-seq"))
        self._seq = max(self._on_disk, self._last_seq.read() or 0)
        self._dropped = self._store.counter("dropped")
        if self.problem is not None:
            log.error("%s", self.problem)
        elif path.exists():  # and is not in memory
            self._last_seq.reserve(self._seq)
        self.taken_up = 0
        """How often a database that had been left was taken up again, with the messages in it."""
        self._pending: tuple[int, float | None] = (0, None)
        self._confirmed: set[int] = set()
        """What the broker has and the disk does not let us delete."""
        self._forgotten: dict[FileKey, int] = {}
        """Files that are done with, likewise, and the last number then: a later file may have been given the name."""

    def add(self, entries: Iterable[Entry], stamp: float | None, lost: int = 0) -> list[Entry]:
        """Writes entries in one transaction and gives each message its `seq`.

        Args:
            entries: in the order in which they are to be published.
            stamp: seconds since 1970, None while the clock cannot be trusted: such messages never count as too old.
            lost: how many messages before these there were and are not any more; their numbers are left out.

        Returns:
            The entries with their messages numbered.
        """
        with self._lock:
            self._seq += lost
            numbered = [self._numbered(entry) for entry in entries]
            try:
                self._need_disk()
                self._insert(DISK, numbered, stamp)
                self._on_disk = self._seq
            except sqlite3.Error as error:
                self._degrade(error)
                self._insert(MEMORY, numbered, stamp)
                self._last_seq.write(self._seq)
            return numbered

    def batch(self, after: int, limit: int, without: str = "") -> list[Stored]:
        """The next messages with a `seq` above `after`, in order; those of one topic can be left out."""
        with self._lock:
            held = sum(seq > after for seq in self._confirmed)
            found = self._ask(lambda: self._store.messages(after, limit + held, without))
            return [message for message in found if message.seq not in self._confirmed][:limit]

    def confirm(self, seqs: Sequence[int]) -> None:
        """The broker has them."""
        with self._lock:
            self._store.delete_messages(MEMORY, seqs)
            with self._degrading():
                self._need_disk()
                self._store.delete_messages(DISK, seqs)
                return
            self._confirmed |= self._ask(lambda: self._store.held(DISK, seqs))

    def drop(self, seq: int) -> None:
        """Gives up a message that the broker will never take, and counts it."""
        with self._lock:
            for where in (MEMORY, DISK):
                with self._degrading():
                    with self._store.transaction():
                        was_there = self._store.give_up(where, seq)
                        if was_there and where == DISK:
                            self._store.set_counter("dropped", self._dropped + 1)
                    self._dropped += was_there

    def files(self, source: str) -> list[FileDone]:
        """Files of a source that are recorded but not yet known to be moved or deleted."""
        return self._files(source, published=False)

    def published_files(self, source: str) -> list[FileDone]:
        """Those of `files` whose record the broker has."""
        return self._files(source, published=True)

    def forget_file(self, source: str, claim: str) -> None:
        """The file has been moved or deleted."""
        key = file_key(source, claim)
        with self._lock:
            done = {key: self._seq}
            self._store.delete_files(MEMORY, done)
            with self._degrading():
                self._need_disk()
                self._store.delete_files(DISK, done)
                return
            if self._ask(lambda: self._store.has_file(DISK, key)):
                self._forgotten |= done

    def trim(self, now: float | None) -> int:
        """Drops what is beyond the limits, the oldest first, and counts it.

        Args:
            now: seconds since 1970, or None while the clock cannot be trusted: then nothing is dropped for its age.

        Returns:
            How many were dropped.
        """
        born_before = -1.0 if now is None else now - self._max_age_s
        with self._lock:
            before = self._dropped
            for where, limit in ((MEMORY, MEMORY_LIMIT), (DISK, self._max_messages)):
                with self._degrading():
                    with self._store.transaction():
                        dropped = self._store.trim(where, limit, born_before)
                        if dropped and where == DISK:
                            self._store.set_counter("dropped", self._dropped + dropped)
                    self._dropped += dropped
            return self._dropped - before

    def pending(self) -> tuple[int, float | None]:
        """How many messages wait, and the stamp of the oldest that has one.

        What it was when last asked, while a slow disk holds the outbox: whoever asks feeds the watchdog too.
        """
        if self._lock.acquire(timeout=_ASK_LIMIT_S):
            try:
                number, oldest = self._ask(self._store.waiting)
                self._pending = max(0, number - len(self._confirmed)), oldest
            finally:
                self._lock.release()
        return self._pending

    def dropped(self) -> int:
        """How many messages the limits have cost, since the outbox was made."""
        return self._dropped

    def checkpoint(self) -> None:
        """Makes everything durable, as far as the disk lets us."""
        with self._lock, self._degrading():
            self._last_seq.sync()
            self._store.checkpoint()

    def recover(self) -> None:
        """While degraded: carries what is in memory to the disk, if the disk takes it again.

        If it holds messages that could not be read before (at the start, that is), this waits for the next start: their
        numbers have been given again.
        """
        with self._lock:
            if self.problem is None or not self._has_disk:
                return
            try:
                if not self._takes_up_file():
                    return
                with self._store.transaction():  # first, for a kill would lose it
                    self._store.move_to_disk()
                    self._store.set_counter("seq", self._seq)
                    self._store.set_counter("dropped", self._dropped)
                self._store.delete_files(DISK, self._forgotten)
                self._forgotten.clear()
                self._store.delete_in_parts(self._confirmed)
            except (sqlite3.Error, UnavailableError):
                return  # it is still so; the problem has been told
            if self._confirmed:
                return  # the rest in the next second
            self.problem = None
            self._on_disk = self._seq
            self._last_seq.reserve(self._seq)
            log.warning("outbox: the disk takes messages again")

    def close(self) -> None:
        with self._lock:
            self._store.close()

    def _takes_up_file(self) -> bool:
        """Whether there is a database to carry things to, and it is the one that we know."""
        if self._store.problem is None:
            return True
        self._store.take_up_file()
        self._has_disk = self._store.counter("seq") <= self._on_disk
        if not self._has_disk:
            self._store.leave_file("outbox: what the database holds could not be read at the start")
            log.error("outbox: the database can be read again; it is taken up with the next start")
        self.taken_up += self._has_disk
        return self._store.problem is None

    def _numbered(self, entry: Entry) -> Entry:
        first = self._seq + 1
        self._seq += len(entry.messages)
        messages = (message.model_copy(update={"seq": seq}) for seq, message in enumerate(entry.messages, first))
        return Entry(tuple(messages), entry.source, entry.claim)

    def _insert(self, where: str, entries: Iterable[Entry], stamp: float | None) -> None:
        with self._store.transaction():
            for entry in entries:
                self._store.insert_messages(where, [stored(message) for message in entry.messages], stamp)
                if entry.claim is not None:
                    self._store.insert_file(where, file_done(entry.source, entry.claim, entry.messages))
            if where == DISK:
                self._store.set_counter("seq", self._seq)

    def _files(self, source: str, *, published: bool) -> list[FileDone]:
        with self._lock:
            files = self._ask(lambda: self._store.files(source, published=published))
            if published and self._confirmed:
                all_files = self._ask(lambda: self._store.files(source, published=False))
                files += [file for file in all_files if file.seq in self._confirmed]
                files.sort(key=attrgetter("seq"))
            return [file for file in files if file.seq > self._forgotten.get(file_key(source, file.claim), 0)]

    def _ask(self, question: Callable[[], _Answer]) -> _Answer:
        """What both databases answer; what memory answers where the disk cannot."""
        try:
            return question()
        except sqlite3.Error as error:
            self._degrade(error)
            self._store.leave_file(str(error))
            return question()

    def _need_disk(self) -> None:
        """Spares a disk that refuses: `recover` tries it once a second with all that has come together."""
        if self.problem is not None:
            raise sqlite3.OperationalError(self.problem)

    @contextmanager
    def _degrading(self) -> Iterator[None]:
        """What the disk refuses in this block is a problem that is told, and not the end."""
        try:
            yield
        except sqlite3.Error as error:
            self._degrade(error)

    def _degrade(self, error: sqlite3.Error) -> None:
        if self.problem is None:
            self.problem = f"outbox: {error}; up to {MEMORY_LIMIT} messages are kept in memory"
            log.error("%s", self.problem)
        if not isinstance(error, sqlite3.OperationalError):
            self._store.leave_file(str(error))  # damaged: what it takes it might not give back
