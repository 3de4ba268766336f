"""How much waits, and since when: always right, and known without reading what waits.

While the disk refuses: test_outbox.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge.outbox import Entry, Outbox
from support.messages import an_event

LIMIT = 50


def really_waiting(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM message").fetchone()[0])


def test_the_number_is_right_whatever_is_done(tmp_path: Path) -> None:
    """Added, confirmed in any order and twice, dropped, trimmed, and all of it again after a restart."""
    path, random = tmp_path / "outbox.sqlite3", np.random.default_rng(3)
    outbox = Outbox(path, LIMIT, 100.0)
    for now in range(400):
        known = [message.seq for message in outbox.batch(0, 1000)] or [0]
        some = [int(seq) for seq in random.choice([*known, 10_000], 4)]
        what = int(random.integers(6))
        if what <= 1:
            outbox.add([Entry((an_event(), an_event()))] * int(random.integers(1, 9)), None if now % 3 else float(now))
        elif what == 2:
            outbox.confirm(some)
        elif what == 3:
            outbox.drop(some[0])
        elif what == 4:
            outbox.trim(float(now))
        else:
            outbox.close()
            outbox = Outbox(path, LIMIT, 100.0)
        assert outbox.pending()[0] == really_waiting(path) == len(outbox.batch(0, 1000))
    outbox.close()


@pytest.mark.parametrize(
    ("stamp", "oldest"),
    [(lambda _: 1000.0, 1000.0), (lambda _: None, None), (lambda at: 7.0 if at == 19_999 else None, 7.0)],
    ids=["all stamped", "none", "the last"],
)
def test_a_long_backlog_is_not_read_for_the_status_nor_every_second(
    tmp_path: Path, stamp: Callable[[int], float | None], oldest: float | None
) -> None:
    """Counted in steps of SQLite's machine, which do not depend on how fast a disk is."""
    outbox = Outbox(tmp_path / "outbox.sqlite3", 100_000, 1e9)
    for first in range(0, 20_000, 500):
        outbox.add([Entry((an_event(),))] * 499, stamp(first))
        outbox.add([Entry((an_event(),))], stamp(first + 499))
    assert outbox.pending() == (20_000, oldest)
    assert outbox.trim(2000.0) == 0
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    outbox._store._db.set_progress_handler(count, 100)
    for _ in range(10):
        assert outbox.pending() == (20_000, oldest)
        assert outbox.trim(2000.0) == 0
    outbox._store._db.set_progress_handler(None, 0)
    outbox.close()

    assert steps * 100 <= 5_000


def test_what_becomes_too_old_is_found_without_reading_the_rest(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite3", 100_000, 100.0)
    for at in range(200):
        outbox.add([Entry((an_event(),))] * 100, None if at % 10 == 5 else float(at))
    assert outbox.trim(150.0) == 45 * 100
    assert outbox.pending() == (155 * 100, 50.0)
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    outbox._store._db.set_progress_handler(count, 100)
    assert outbox.trim(150.5) == 100
    outbox._store._db.set_progress_handler(None, 0)
    assert outbox.pending() == (154 * 100, 51.0)
    assert {message.seq for message in outbox.batch(0, 1000)} >= set(range(501, 601))  # without a stamp, never too old
    outbox.close()

    assert steps * 100 <= 20_000
