from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.errors import UnavailableError
from edge.outbox import Entry, Outbox
from support.components import ROOT
from support.disk import fill, remount, small_disk
from support.messages import an_event, an_image_record


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    box = Outbox(tmp_path / "outbox.sqlite3", max_messages=100, max_age_s=3600)
    yield box
    box.close()


def add_events(outbox: Outbox, number: int, stamp: float = 1000.0) -> None:
    outbox.add([Entry((an_event(),)) for _ in range(number)], stamp)


def seqs(outbox: Outbox) -> list[int]:
    return [message.seq for message in outbox.batch(0, 1000)]


def test_messages_are_numbered_without_gaps_and_say_their_number(outbox: Outbox) -> None:
    add_events(outbox, 3)
    add_events(outbox, 2)

    messages = outbox.batch(0, 10)

    assert [message.seq for message in messages] == [1, 2, 3, 4, 5]
    assert [json.loads(message.payload)["seq"] for message in messages] == [1, 2, 3, 4, 5]
    assert {message.topic for message in messages} == {"event"}


def test_numbers_go_on_after_a_restart_even_if_all_was_confirmed(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    first = Outbox(path, 100, 3600)
    add_events(first, 3)
    first.confirm([1, 2, 3])
    first.close()

    second = Outbox(path, 100, 3600)
    add_events(second, 1)

    assert seqs(second) == [4]
    second.close()


def test_what_is_not_confirmed_stays(outbox: Outbox) -> None:
    add_events(outbox, 4)

    outbox.confirm([1, 3])

    assert seqs(outbox) == [2, 4]
    assert outbox.pending() == (2, 1000.0)


def test_a_batch_begins_after_what_was_sent(outbox: Outbox) -> None:
    add_events(outbox, 5)

    assert [message.seq for message in outbox.batch(2, 2)] == [3, 4]


def test_the_oldest_beyond_the_limit_are_dropped_and_counted(outbox: Outbox) -> None:
    add_events(outbox, 103)

    assert outbox.trim(None) == 3
    assert seqs(outbox)[0] == 4
    assert outbox.dropped() == 3


def test_what_is_too_old_is_dropped_only_while_the_clock_can_be_trusted(outbox: Outbox) -> None:
    add_events(outbox, 2, stamp=1000.0)
    add_events(outbox, 1, stamp=5000.0)

    assert outbox.trim(None) == 0
    assert outbox.trim(1000.0 + 3601) == 2
    assert seqs(outbox) == [3]


def test_what_was_written_while_the_clock_was_wrong_is_never_too_old(outbox: Outbox) -> None:
    outbox.add([Entry((an_event(),))], None)

    assert outbox.trim(1e10) == 0
    assert outbox.pending() == (1, None)


def test_a_file_its_record_and_its_events_are_written_together(outbox: Outbox) -> None:
    outbox.add([Entry((an_event(), an_image_record("b.jpg")), "inbox", "b.jpg")], 1.0)

    (file,) = outbox.files("inbox")

    assert (file.claim, file.seq, file.failed) == ("b.jpg", 2, False)
    assert json.loads(file.record)["seq"] == 2
    assert outbox.files("other") == []


def test_a_file_counts_as_published_when_its_record_was_confirmed(outbox: Outbox) -> None:
    outbox.add([Entry((an_event(), an_image_record()), "inbox", "a.jpg")], 1.0)
    outbox.confirm([1])
    assert outbox.published_files("inbox") == []

    outbox.confirm([2])
    assert [file.claim for file in outbox.published_files("inbox")] == ["a.jpg"]

    outbox.forget_file("inbox", "a.jpg")
    assert outbox.files("inbox") == []


def test_a_file_whose_record_was_dropped_is_not_taken_for_published(outbox: Outbox) -> None:
    outbox.add([Entry((an_image_record(),), "inbox", "a.jpg")], 1.0)
    add_events(outbox, 100)

    outbox.trim(None)

    assert [(file.claim, file.dropped) for file in outbox.published_files("inbox")] == [("a.jpg", True)]


def test_a_large_backlog_of_files_is_looked_through_quickly(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite3", 10**6, 1e9)
    outbox.add([Entry((an_image_record(),), "inbox", f"{number}.jpg") for number in range(20_000)], 1.0)

    began = time.process_time()
    assert outbox.published_files("inbox") == []
    assert time.process_time() - began < 2  # it was 40 s for 50,000 when each file was compared with every message
    outbox.close()


def test_names_of_files_need_not_be_utf8(outbox: Outbox) -> None:
    claim = b"fa\xe7ade\n'\".jpg".decode("utf-8", "surrogateescape")

    outbox.add([Entry((an_image_record("x", error="why"),), "inbox", claim)], 1.0)

    (file,) = outbox.files("inbox")
    assert (file.claim, file.failed) == (claim, True)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "4m") as folder:
        yield folder


def test_a_full_disk_loses_nothing_and_what_waited_in_memory_goes_to_the_disk_later(tiny_disk: Path) -> None:
    outbox = Outbox(tiny_disk / "outbox.sqlite3", 10_000, 1e9)
    add_events(outbox, 5)
    ballast = fill(tiny_disk)

    for number in range(300):
        add_events(outbox, 1)
        if number == 100:
            outbox.confirm([1, 2, 200])
    assert outbox.problem is not None
    assert "full" in outbox.problem
    outbox.add([Entry((an_image_record(),), "inbox", "a.jpg")], 1.0)
    assert [file.claim for file in outbox.files("inbox")] == ["a.jpg"]
    assert seqs(outbox) == [seq for seq in range(1, 307) if seq not in (1, 2)][: len(seqs(outbox))]
    assert outbox.pending()[0] == len(seqs(outbox))
    outbox.recover()
    assert outbox.problem is not None

    ballast.unlink()
    outbox.recover()

    assert outbox.problem is None
    assert outbox.pending()[0] == 304 == len(seqs(outbox))
    outbox.confirm(seqs(outbox))
    assert outbox.pending()[0] == 0
    add_events(outbox, 1)
    outbox.close()
    again = Outbox(tiny_disk / "outbox.sqlite3", 10_000, 1e9)
    assert seqs(again) == [307]
    assert [file.claim for file in again.files("inbox")] == ["a.jpg"]
    again.close()


def test_without_a_disk_at_the_start_everything_is_kept_in_memory(tiny_disk: Path) -> None:
    remount(tiny_disk, "ro")

    outbox = Outbox(tiny_disk / "outbox.sqlite3", 10_000, 1e9)
    add_events(outbox, 3)
    outbox.recover()

    assert outbox.problem is not None
    assert "kept in memory" in outbox.problem
    assert seqs(outbox) == [1, 2, 3]
    outbox.close()


def test_memory_holds_a_stated_number_while_the_disk_refuses(tiny_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.outbox.MEMORY_LIMIT", 50)
    outbox = Outbox(tiny_disk / "outbox.sqlite3", 10_000, 1e9)
    fill(tiny_disk)
    while outbox.problem is None:
        add_events(outbox, 1)
    on_disk = len(seqs(outbox)) - 1

    add_events(outbox, 79)

    assert outbox.trim(None) == 30
    assert (len(seqs(outbox)), outbox.dropped()) == (on_disk + 50, 30)
    outbox.close()


WRITER = """
import sys
import time
from pathlib import Path
sys.path.insert(0, "tests")
from support.messages import an_event
from edge.outbox import Entry, Outbox
outbox = Outbox(Path(sys.argv[1]), 10**6, 3600)
while True:
    outbox.add([Entry((an_event(),))] * 5, 1.0)
    print("written", flush=True)
"""


def test_a_killed_writer_loses_nothing_that_it_had_written(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert writer.stdout is not None
    written = sum(1 for _, _ in zip(range(40), writer.stdout, strict=False))
    writer.kill()
    writer.communicate(timeout=10)

    outbox = Outbox(path, 10**6, 3600)
    found = seqs(outbox)
    outbox.close()

    assert found == list(range(1, len(found) + 1))
    assert len(found) % 5 == 0
    assert len(found) >= min(1000, written * 5)


@pytest.mark.parametrize("damage", ["not a database", "pages overwritten", "cut off"])
def test_a_damaged_database_is_set_aside_and_a_new_one_begins(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "outbox.sqlite3"
    first = Outbox(path, 10_000, 1e9)
    add_events(first, 500)
    first.close()
    content = path.read_bytes()
    if damage == "not a database":
        path.write_bytes(b"this was never a database, whatever its name says" * 50)
    elif damage == "pages overwritten":
        path.write_bytes(content[:8192] + b"\xff" * 16384 + content[24576:])
    else:
        path.write_bytes(content[: len(content) // 2])

    outbox = Outbox(path, 10_000, 1e9)
    add_events(outbox, 2)

    assert seqs(outbox) == [1, 2]
    assert outbox.problem is None
    assert len(list(tmp_path.glob("outbox.sqlite3.damaged-2*"))) == 1
    assert "is damaged" in caplog.text
    outbox.close()


def damage(path: Path) -> bytes:
    """Overwrites the middle of a database under whoever has it open; what was there."""
    with path.open("r+b") as file:
        size = path.stat().st_size
        file.seek(size // 4)
        before = file.read(size // 2)
        file.seek(size // 4)
        file.write(b"\xff" * (size // 2))
    return before


MEETS: dict[str, Callable[[Outbox], object]] = {
    "batch": lambda outbox: outbox.batch(0, 20_000),
    "pending": lambda outbox: outbox.pending(),
    "files": lambda outbox: outbox.files("inbox"),
    "published files": lambda outbox: outbox.published_files("inbox"),
    "confirm": lambda outbox: outbox.confirm(range(1, 20_000)),
    "trim": lambda outbox: outbox.trim(1e10),
    "drop": lambda outbox: outbox.drop(5000),
}


@pytest.mark.parametrize("meets", MEETS.values(), ids=MEETS)
def test_a_database_that_is_damaged_while_it_is_open_is_set_aside_and_numbers_go_on(
    tmp_path: Path, meets: Callable[[Outbox], object], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "outbox.sqlite3"
    outbox = Outbox(path, 20_000, 3600)
    for number in range(2000):
        outbox.add([Entry((an_event(), an_event(), an_image_record()), "inbox", f"{number:0200}.jpg")], 1.0)
    outbox.checkpoint()
    damage(path)

    meets(outbox)
    outbox.batch(0, 20_000)
    assert outbox.problem is not None
    assert "malformed" in outbox.problem
    add_events(outbox, 2)
    assert seqs(outbox) == [6001, 6002]
    outbox.recover()
    outbox.confirm([6001])
    add_events(outbox, 1)

    assert (seqs(outbox), outbox.problem) == ([6002, 6003], None)
    assert "is damaged" in caplog.text
    assert len(list(tmp_path.glob("outbox.sqlite3.damaged-2*"))) == 1
    outbox.close()
    again = Outbox(path, 10_000, 3600)
    add_events(again, 1)
    assert seqs(again) == [6002, 6003, 6004]
    again.close()


def test_a_database_that_cannot_be_read_for_a_while_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    outbox = Outbox(path, 10_000, 3600)
    add_events(outbox, 5000)
    outbox.checkpoint()
    before = damage(path)
    outbox.batch(0, 5000)
    add_events(outbox, 2)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 4)
        file.write(before)

    outbox.recover()

    assert outbox.problem is None
    assert [message.seq for message in outbox.batch(0, 10_000)] == list(range(1, 5003))
    assert not list(tmp_path.glob("*damaged*"))
    outbox.close()


def test_a_log_that_has_grown_is_cut_again(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite3", 100_000, 3600)
    log = tmp_path / "outbox.sqlite3-wal"
    add_events(outbox, 10_000)
    assert log.stat().st_size > 5 * 2**20

    outbox.checkpoint()
    add_events(outbox, 1)

    assert log.stat().st_size <= 4 * 2**20
    outbox.close()


def test_nothing_is_brought_to_the_disk_while_nothing_happens(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    outbox = Outbox(path, 100, 3600)
    add_events(outbox, 1)
    outbox.checkpoint()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_autocheckpoint=0")
        other.execute("UPDATE counter SET value = 7 WHERE name = 'dropped'")
        other.commit()
        before = path.read_bytes()
        outbox.checkpoint()
        assert path.read_bytes() == before
    outbox.close()


def test_the_numbers_of_messages_that_were_lost_on_the_way_are_left_out(outbox: Outbox) -> None:
    add_events(outbox, 2)
    outbox.add([Entry((an_event(),))], 1.0, lost=3)

    assert seqs(outbox) == [1, 2, 6]


def test_an_outbox_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version=99")
    database.close()

    with pytest.raises(UnavailableError, match="written by a newer version"):
        Outbox(path, 1, 1)
