"""The database under the outbox: opened, or set aside where it is damaged, or made in memory where there is no disk.

One connection holds two databases of the same tables, on disk and in memory; which of them takes what, and what happens
when the disk refuses, is for the outbox to decide. The one in memory is the connection's own and the file is attached
to it, so that a file can be left and taken up again. Nothing here is safe for several threads by itself.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from edge.errors import UnavailableError
from edge.outbox_files import set_aside, uri_to_read
from edge.outbox_rows import FileDone, FileKey, Stored, file_key
from edge.outbox_waiting import Waiting

log = logging.getLogger(__name__)

DISK, MEMORY = "disk", "main"
"""Names of the two databases of a connection; both have the same tables."""
_NO_FILE = ":memory:"
_WAL_LIMIT = 4 * 2**20
"""In bytes. A log that has grown beyond it, while the disk was away say, is cut when it is begun anew. From one
checkpoint to the next a backlog that goes out at full rate fills 3 MB."""
_PART, _PARTS = 200, 20
"""Messages that are deleted at once after the disk has refused (about 100 KB of log), and how often in one call."""
_BOTH = f"(SELECT * FROM {DISK}.message UNION ALL SELECT * FROM {MEMORY}.message)"
_FORMAT = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS {store}.message (
    seq INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload TEXT NOT NULL, stamp REAL);
CREATE TABLE IF NOT EXISTS {store}.file (
    source TEXT NOT NULL, claim BLOB NOT NULL, seq INTEGER NOT NULL, failed INTEGER NOT NULL, record TEXT NOT NULL,
    dropped INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (source, claim)) WITHOUT ROWID;
"""
_COUNTERS = f"""
CREATE TABLE IF NOT EXISTS {DISK}.counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO {DISK}.counter VALUES ('seq', 0), ('dropped', 0);
"""


class Store:
    """The two databases. Every method may raise sqlite3.Error, and then has changed nothing.

    Args:
        path: of the file.

    Attributes:
        problem: why `DISK` takes nothing: it is the file, but only to be read, or nothing but memory. None while it
            takes something.

    Raises:
        UnavailableError: the file was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = sqlite3.connect(_NO_FILE, timeout=5, isolation_level=None, check_same_thread=False, uri=True)
        self._waiting = Waiting(self._db)
        self._has_file = False
        self._durable_changes = -1  # a run that was killed may have left some too
        try:
            self._db.execute("PRAGMA wal_autocheckpoint=0")
            self._make_tables(MEMORY)
            self._waiting.count(MEMORY)
            self.problem = self._open_file()
        except BaseException:
            self._db.close()
            raise

    def leave_file(self, problem: str) -> None:
        """Puts nothing but memory in the place of a file that cannot be used any more."""
        if self._has_file:
            self._db.execute(f"DETACH {DISK}")
            self._attach_memory()
            self.problem = self.problem or problem

    def take_up_file(self) -> None:
        """Looks again for a file that has been left or can only be read, as at the start; see `problem`."""
        if self._has_file and not os.access(self._path, os.W_OK):
            return  # it is still so; finding that out below takes the longer the more there is in the file
        self._db.execute(f"DETACH {DISK}")
        try:
            self.problem = self._open_file()
        except BaseException:
            self._attach_memory()
            raise

    def _open_file(self) -> str | None:
        """Attaches the file, a new one if it is damaged, or what can be had without writing, and says why."""
        try:
            self._attach_to_write()
        except sqlite3.OperationalError as error:  # cannot open, read-only, full
            self._attach_to_read()
            return f"outbox: {self._path}: {error}; messages are kept in memory"
        except sqlite3.DatabaseError as error:
            aside = set_aside(self._path)
            if aside is not None:
                log.error(  # noqa: TRY400  the reason is in the text
                    "outbox: %s is damaged (%s); it is now %s, and a new one begins", self._path, error, aside.name
                )
                return self._open_file()
            self._attach_memory()
            return f"outbox: {self._path} is damaged ({error}) and cannot be set aside; messages are kept in memory"
        return None

    def _attach_to_write(self) -> None:
        db = self._db
        with self._attached(str(self._path)) as found:
            db.execute(f"PRAGMA {DISK}.journal_mode=WAL")
            db.execute(f"PRAGMA {DISK}.synchronous=NORMAL")
            db.execute(f"PRAGMA {DISK}.journal_size_limit={_WAL_LIMIT}")
            healthy = db.execute(f"PRAGMA {DISK}.quick_check(1)").fetchone()[0]
            if healthy != "ok":
                raise sqlite3.DatabaseError(" ".join(healthy.split()))
            with self.transaction():  # a disk that is full by half of it has no half of the tables
                self._make_tables(DISK)
                if found != _FORMAT:  # needs room, of which a full disk has none
                    db.execute(f"PRAGMA {DISK}.user_version={_FORMAT}")

    def _attach_to_read(self) -> None:
        """Attaches the file as it is, to be read; if that fails too, nothing but memory."""
        try:
            with self._attached(uri_to_read(self._path)):
                self.counter("seq")
        except (sqlite3.Error, OSError):
            self._attach_memory()

    def _attach_memory(self) -> None:
        with self._attached(_NO_FILE):
            self._make_tables(DISK)
        self._has_file = False

    def _make_tables(self, where: str) -> None:
        for statement in (_TABLES.format(store=where) + _COUNTERS * (where == DISK)).split(";"):
            self._db.execute(statement)

    @contextmanager
    def _attached(self, name: str) -> Iterator[int]:
        """Attaches a database, for good if the block raises nothing. Gives the number of its format, 0 if it is new."""
        self._db.execute(f"ATTACH ? AS {DISK}", (name,))
        try:
            found = self._db.execute(f"PRAGMA {DISK}.user_version").fetchone()[0]
            if found not in (0, _FORMAT):
                raise UnavailableError(f"{self._path}: was written by a newer version (format {found})")  # noqa: TRY301
            yield found
            self._waiting.count(DISK)
        except BaseException:
            self._db.execute(f"DETACH {DISK}")
            raise
        self._has_file = True

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done in the block, or nothing."""
        self._db.execute("BEGIN")
        numbers = self._waiting.numbers.copy()
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._waiting.numbers = numbers
            if self._db.in_transaction:  # SQLite itself rolls back when the disk is full
                self._db.execute("ROLLBACK")
            raise

    def counter(self, name: str) -> int:
        """`seq`, the last number that was given, or `dropped`."""
        row = self._db.execute(f"SELECT value FROM {DISK}.counter WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise sqlite3.OperationalError(f"has no counter {name}")
        return int(row[0])

    def set_counter(self, name: str, value: int) -> None:
        self._db.execute(f"UPDATE {DISK}.counter SET value = ? WHERE name = ?", (value, name))

    def insert_messages(self, where: str, messages: Iterable[Stored], stamp: float | None) -> None:
        rows = [(message.seq, message.topic, message.payload, stamp) for message in messages]
        self._db.executemany(f"INSERT INTO {where}.message VALUES (?, ?, ?, ?)", rows)
        self._waiting.numbers[where] += len(rows)

    def insert_file(self, where: str, file: FileDone) -> None:
        self._db.execute(
            f"INSERT OR REPLACE INTO {where}.file VALUES (?, ?, ?, ?, ?, ?)",
            (*file_key(file.source, file.claim), file.seq, file.failed, file.record, file.dropped),
        )

    def messages(self, after: int, limit: int, without: str) -> list[Stored]:
        """Of both databases, in order of `seq`, but for one topic."""
        query = f"SELECT seq, topic, payload FROM {_BOTH} WHERE seq > ? AND topic != ? ORDER BY seq LIMIT ?"
        return [Stored(*row) for row in self._db.execute(query, (after, without, limit))]

    def waiting(self) -> tuple[int, float | None]:
        """How many messages there are in both databases, and the stamp of the oldest that has one."""
        stamps = [stamp for where in (DISK, MEMORY) if (stamp := self._waiting.first_stamp(where)) is not None]
        return sum(self._waiting.numbers.values()), min(stamps, default=None)

    def held(self, where: str, seqs: Iterable[int]) -> set[int]:
        """Those of `seqs` that are there."""
        query = f"SELECT 1 FROM {where}.message WHERE seq = ?"
        return {seq for seq in seqs if self._db.execute(query, (seq,)).fetchone()}

    def delete_messages(self, where: str, seqs: Collection[int]) -> None:
        with self.transaction():
            gone = self._db.executemany(f"DELETE FROM {where}.message WHERE seq = ?", [(seq,) for seq in seqs])
            self._waiting.numbers[where] -= max(0, gone.rowcount)

    def delete_in_parts(self, seqs: set[int]) -> None:
        """Deletes messages from the disk, and from `seqs` what is deleted; leaves some of many to the next call.

        In small parts, each carried from the log into the file, for the log of all at once may be what fills the disk.
        """
        for _ in range(_PARTS):
            self.checkpoint()
            part = list(islice(seqs, _PART))
            if not part:
                return
            self.delete_messages(DISK, part)
            seqs.difference_update(part)

    def delete_files(self, where: str, done: Mapping[FileKey, int]) -> None:
        """Deletes each file of `done` that has this `seq` or a lower one; later ones have been given its name."""
        rows = [(*key, seq) for key, seq in done.items()]
        with self.transaction():
            self._db.executemany(f"DELETE FROM {where}.file WHERE source = ? AND claim = ? AND seq <= ?", rows)

    def has_file(self, where: str, key: FileKey) -> bool:
        query = f"SELECT 1 FROM {where}.file WHERE source = ? AND claim = ?"
        return self._db.execute(query, key).fetchone() is not None

    def give_up(self, where: str, seq: int) -> bool:
        """Deletes a message that nobody will have; its file, if it is a file's record, remembers that.

        Returns:
            Whether it was there.
        """
        self._db.execute(f"UPDATE {where}.file SET dropped = 1 WHERE seq = ?", (seq,))
        gone = self._db.execute(f"DELETE FROM {where}.message WHERE seq = ?", (seq,)).rowcount
        self._waiting.numbers[where] -= gone
        return gone > 0

    def files(self, source: str, *, published: bool) -> list[FileDone]:
        """Files of a source, in both databases.

        Args:
            source: its name.
            published: only those whose record waits no longer.
        """
        columns = "source, claim, seq, failed, record, dropped"
        condition = f"AND NOT EXISTS (SELECT 1 FROM {_BOTH} AS waiting WHERE waiting.seq = file.seq)" * published
        rows = self._db.execute(
            f"SELECT {columns} FROM {DISK}.file AS file WHERE source = :source {condition} "
            f"UNION SELECT {columns} FROM {MEMORY}.file AS file WHERE source = :source {condition} ORDER BY seq",
            {"source": source},
        )
        return [
            FileDone(name, claim.decode("utf-8", "surrogateescape"), seq, bool(failed), record, bool(dropped))
            for name, claim, seq, failed, record, dropped in rows
        ]

    def trim(self, where: str, limit: int, born_before: float) -> int:
        """Gives up what is beyond the newest `limit` messages, and what has a stamp before `born_before`; how many."""
        newest_to_go = 0
        if self._waiting.numbers[where] > limit:
            row = self._db.execute(f"SELECT seq FROM {where}.message ORDER BY seq DESC LIMIT 1 OFFSET ?", (limit,))
            newest_to_go = (row.fetchone() or (0,))[0]
        highest = max(newest_to_go, self._waiting.newest_before(where, born_before))
        if not highest:
            return 0
        condition, limits = "seq <= ? AND (seq <= ? OR stamp < ?)", (highest, newest_to_go, born_before)
        old = f"SELECT seq FROM {where}.message WHERE {condition}"
        self._db.execute(f"UPDATE {where}.file SET dropped = 1 WHERE seq IN ({old})", limits)
        gone = self._db.execute(f"DELETE FROM {where}.message WHERE {condition}", limits).rowcount
        self._waiting.numbers[where] -= gone
        return gone

    def move_to_disk(self) -> None:
        """Carries over what is in memory."""
        self._db.execute(f"INSERT INTO {DISK}.message SELECT * FROM {MEMORY}.message")
        self._db.execute(f"INSERT OR REPLACE INTO {DISK}.file SELECT * FROM {MEMORY}.file")
        self._db.execute(f"DELETE FROM {MEMORY}.message")
        self._waiting.numbers[DISK] += self._waiting.numbers[MEMORY]
        self._waiting.numbers[MEMORY] = 0
        self._db.execute(f"DELETE FROM {MEMORY}.file")

    def checkpoint(self) -> None:
        """Makes everything durable, deletions too, if there is anything: the one place that makes the disk work."""
        changes = self._db.total_changes
        if changes != self._durable_changes:
            self._db.execute(f"PRAGMA {DISK}.wal_checkpoint(PASSIVE)")
            self._durable_changes = changes

    def close(self) -> None:
        self._db.close()
