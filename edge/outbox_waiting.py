"""How much waits in a database, and since when, without reading all of it each time.

The status asks, in the thread that feeds the watchdog, and the recorder asks every second; the messages of a weekend
are 80 MB, which a small board would have to fetch from its SD card again and again.
"""

from __future__ import annotations

import sqlite3


class Waiting:
    """Keeps count for `edge.outbox_store.Store`, which tells of every change. Every method may raise sqlite3.Error.

    Args:
        db: with a table `message` in each of its databases.

    Attributes:
        numbers: how many messages each database holds.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.numbers: dict[str, int] = {}
        self._unstamped: dict[str, int] = {}
        """No message up to this number has a stamp."""

    def count(self, where: str) -> None:
        """Counts anew, which reads everything."""
        self.numbers[where] = int(self._db.execute(f"SELECT count(*) FROM {where}.message").fetchone()[0])
        self._unstamped[where] = 0

    def first_stamp(self, where: str) -> float | None:
        """The stamp of the oldest message that has one; later ones can be older only where the clock stepped."""
        query = f"SELECT seq, stamp FROM {where}.message WHERE seq > ? AND stamp IS NOT NULL ORDER BY seq LIMIT 1"
        found = self._db.execute(query, (self._unstamped[where],)).fetchone()
        if found is None:
            self._unstamped[where] = max(self._last(where), self._unstamped[where])
            return None
        self._unstamped[where] = found[0] - 1
        return float(found[1])

    def newest_before(self, where: str, stamp: float) -> int:
        """No message above this number is older than `stamp`, but for one behind a step of the clock; 0 if none is."""
        oldest = self.first_stamp(where)
        if oldest is None or oldest >= stamp:
            return 0
        query = f"SELECT seq FROM {where}.message WHERE seq > ? AND stamp >= ? ORDER BY seq LIMIT 1"
        younger = self._db.execute(query, (self._unstamped[where], stamp)).fetchone()
        return self._last(where) if younger is None else int(younger[0]) - 1

    def _last(self, where: str) -> int:
        return int(self._db.execute(f"SELECT max(seq) FROM {where}.message").fetchone()[0] or 0)
