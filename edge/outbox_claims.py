"""Dropped-in files whose record is in the outbox, in the table `file` of both databases, until they are dealt with."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager

from edge.outbox_rows import BOTH_MESSAGES, DISK, MEMORY, FileDone, FileKey, encoded, file_key

Transaction = Callable[[], AbstractContextManager[None]]


class Claims:
    """Every method may raise sqlite3.Error, and then has changed nothing.

    Args:
        db: with both databases attached.
        transaction: all that is done in its block, or nothing.
    """

    def __init__(self, db: sqlite3.Connection, transaction: Transaction) -> None:
        self._db = db
        self._transaction = transaction

    def insert(self, where: str, file: FileDone) -> None:
        """Notes a file; for the transaction in which its record is inserted."""
        self._db.execute(
            f"INSERT OR REPLACE INTO {where}.file VALUES (?, ?, ?, ?, ?, ?)",
            (*file_key(file.source, file.claim), file.seq, file.failed, file.record, file.dropped),
        )

    def delete(self, where: str, done: Mapping[FileKey, int]) -> None:
        """Deletes each file of `done` that has this `seq` or a lower one; later ones have been given its name."""
        rows = [(*key, seq) for key, seq in done.items()]
        with self._transaction():
            self._db.executemany(f"DELETE FROM {where}.file WHERE source = ? AND claim = ? AND seq <= ?", rows)

    def adopt(self, source: str, known: Collection[str], claims: Collection[str]) -> None:
        """Gives a source those of `claims` that belong to one which is not among the `known`."""
        query = f"SELECT source FROM {DISK}.file WHERE source NOT IN ({', '.join('?' * len(known))})"
        others = {other for (other,) in self._db.execute(query, tuple(known))}
        rows = [(source, other, encoded(claim)) for other in others for claim in claims]
        with self._transaction():
            query = f"UPDATE OR IGNORE {DISK}.file SET source = ? WHERE source = ? AND claim = ?"
            self._db.executemany(query, rows)

    def has(self, where: str, key: FileKey) -> bool:
        """Whether a file is noted."""
        query = f"SELECT 1 FROM {where}.file WHERE source = ? AND claim = ?"
        return self._db.execute(query, key).fetchone() is not None

    def of(self, source: str, *, published: bool) -> list[FileDone]:
        """Files of a source, in both databases.

        Args:
            source: its name.
            published: only those whose record waits no longer.
        """
        columns = "source, claim, seq, failed, record, dropped"
        condition = (
            f"AND NOT EXISTS (SELECT 1 FROM {BOTH_MESSAGES} AS waiting WHERE waiting.seq = file.seq)" * published
        )
        rows = self._db.execute(
            f"SELECT {columns} FROM {DISK}.file AS file WHERE source = :source {condition} "
            f"UNION SELECT {columns} FROM {MEMORY}.file AS file WHERE source = :source {condition} ORDER BY seq",
            {"source": source},
        )
        return [
            FileDone(name, claim.decode("utf-8", "surrogateescape"), seq, bool(failed), record, bool(dropped))
            for name, claim, seq, failed, record, dropped in rows
        ]
