"""What waits to be written, and what becomes of it where there is too much."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest

from edge.daemon import recorder as recorder_module
from edge.daemon.clock import Clock
from edge.daemon.recorder import Recorder
from edge.outbox import Entry, Outbox
from support import clock as clocks
from support.messages import an_event


def test_messages_that_were_lost_while_the_disk_hung_leave_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "QUEUE_LIMIT", 3)
    stopped = threading.Event()
    stopped.set()
    written: list[int] = []
    with contextlib.closing(Outbox(tmp_path / "outbox.sqlite3", 100, 3600)) as outbox:
        monkeypatch.setattr(outbox, "confirm", written.extend)
        recorder = Recorder(outbox, None, {}, Clock())
        for entries in (5, 1):
            for _ in range(entries):
                recorder.put(Entry((an_event(),)))
            recorder.run(stopped)

    assert written == [3, 4, 5, 6]
    assert recorder.lost == 2


def held_without_its_log(path: Path) -> int:
    """How many messages are in the database file alone: what a power cut now would leave."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as database:
        return int(database.execute("SELECT count(*) FROM message").fetchone()[0])


def test_a_backlog_that_goes_out_is_brought_to_the_disk_though_nothing_new_comes(tmp_path: Path) -> None:
    path, clock = tmp_path / "outbox.sqlite3", clocks.Clock()
    with contextlib.closing(Outbox(path, 10_000, 3600)) as outbox:
        recorder = Recorder(outbox, None, {}, Clock(monotonic=clock, synced=lambda: False))
        outbox.add([Entry((an_event(),)) for _ in range(4000)], None)
        outbox.checkpoint()
        assert held_without_its_log(path) == 4000

        for first in range(1, 4000, 4):
            outbox.confirm(range(first, first + 4))
            if first % 200 == 1:  # a second at full rate
                clock.now += 1
                recorder._keep_house()
        clock.now += 2
        recorder._keep_house()

        assert held_without_its_log(path) == 0
        assert path.with_name("outbox.sqlite3-wal").stat().st_size < 4 * 2**20
