"""What waits to be written, and what becomes of it where there is too much."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest

from edge.daemon import recorder as recorder_module
from edge.daemon.clock import Clock
from edge.daemon.recorder import Recorder
from edge.outbox import Entry, Outbox
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
