"""The database under the outbox: opened, or set aside where it is damaged, or made in memory where there is no disk."""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path

from edge.errors import UnavailableError

log = logging.getLogger(__name__)

DISK, MEMORY = "main", "memory"
"""Names of the two databases of a connection; both have the same tables."""
_FORMAT = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS {store}.message (
    seq INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload TEXT NOT NULL, stamp REAL);
CREATE TABLE IF NOT EXISTS {store}.file (
    source TEXT NOT NULL, claim BLOB NOT NULL, seq INTEGER NOT NULL, failed INTEGER NOT NULL, record TEXT NOT NULL,
    dropped INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (source, claim)) WITHOUT ROWID;
"""
_COUNTERS = """
CREATE TABLE IF NOT EXISTS main.counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO main.counter VALUES ('seq', 0), ('dropped', 0);
"""


def open_store(path: Path) -> tuple[sqlite3.Connection, str | None]:
    """Opens the outbox's database.

    Returns:
        A connection with the tables in `DISK` and `MEMORY`, and None, or why there is no disk behind it.

    Raises:
        UnavailableError: the file was written by a newer version.
    """
    try:
        return _open(str(path)), None
    except sqlite3.OperationalError as error:  # cannot open, read-only, full
        problem = f"outbox: {path}: {error}; messages are kept in memory"
    except sqlite3.DatabaseError as error:
        aside = _set_aside(path)
        if aside is not None:
            problem = f"outbox: {path} is damaged ({error}); it is now {aside.name}, and a new one begins"
            log.error("%s", problem)  # noqa: TRY400  the reason is in the text
            return open_store(path)
        problem = f"outbox: {path} is damaged ({error}) and cannot be set aside; messages are kept in memory"
    log.error("%s", problem)
    return _open(":memory:"), problem


def _open(name: str) -> sqlite3.Connection:
    db = sqlite3.connect(name, timeout=5, isolation_level=None, check_same_thread=False)
    try:
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, _FORMAT):
            raise UnavailableError(f"{name}: was written by a newer version (format {found})")  # noqa: TRY301
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA wal_autocheckpoint=0")
        healthy = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if healthy != "ok":
            raise sqlite3.DatabaseError(healthy)  # noqa: TRY301
        db.execute(f"ATTACH ':memory:' AS {MEMORY}")
        db.executescript(_TABLES.format(store=DISK) + _COUNTERS + _TABLES.format(store=MEMORY))
        db.execute(f"PRAGMA user_version={_FORMAT}")
    except BaseException:
        db.close()
        raise
    return db


def _set_aside(path: Path) -> Path | None:
    """Renames a damaged database and what belongs to it; None where even that is not possible."""
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}")
    try:
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    except OSError:
        return None
    return aside
