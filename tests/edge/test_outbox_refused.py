"""A disk that refuses: what a start makes of it, which number comes next, and files of one name."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.daemon.clock import Clock
from edge.daemon.recorder import Recorder
from edge.outbox import Entry, Outbox
from edge.settings import FolderSource
from edge.sources.folder import Folder
from support.components import ROOT
from support.disk import add_events, add_file, claims, fill, opened, remount, seqs
from support.messages import an_image_record

RUN = """
import os
import sys
from pathlib import Path
sys.path.insert(0, "tests")
from support.messages import an_event, an_image_record
from edge.outbox import Entry, Outbox
outbox = Outbox(Path(sys.argv[1]) / "outbox.sqlite3", 10_000, 1e9)
for claim in "ab":
    outbox.add([Entry((an_event(), an_image_record(claim)), "inbox", claim)], 1.0)
"""
KILLED = "os.kill(os.getpid(), 9)"
FILLS_THE_DISK = """
outbox.checkpoint()
with (Path(sys.argv[1]) / "ballast").open("wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
for _ in range(60):
    (entry,) = outbox.add([Entry((an_event(),))], 1.0)
    outbox.confirm([entry.messages[0].seq])
assert outbox.problem is not None and entry.messages[0].seq == 64, (outbox.problem, entry)
"""


def run(disk: Path, *code: str) -> None:
    """An earlier run, with two files of two messages each."""
    result = subprocess.run([sys.executable, "-c", RUN + "".join(code), str(disk)], cwd=ROOT, timeout=60, check=False)
    assert result.returncode == (-9 if code[-1] == KILLED else 0)


@pytest.mark.parametrize("end", ["outbox.close()", KILLED], ids=["stopped", "killed"])
@pytest.mark.parametrize("refusal", ["full", "read-only", "full, and the log's index is gone"])
def test_a_start_on_a_disk_that_refuses_finds_what_waits_and_goes_back_to_the_disk(
    disk: Path, end: str, refusal: str
) -> None:
    run(disk, end)
    if refusal == "read-only":
        remount(disk, "ro")
    else:
        if refusal != "full":
            (disk / "outbox.sqlite3-shm").unlink(missing_ok=True)
        ballast = fill(disk)

    with opened(disk) as outbox:
        assert (seqs(outbox), claims(outbox), outbox.pending()[0]) == ([1, 2, 3, 4], ["a", "b"], 4)
        outbox.confirm([1, 2])
        outbox.forget_file("inbox", "a")
        add_file(outbox, "c")
        outbox.trim(2.0)
        outbox.checkpoint()
        outbox.recover()
        assert outbox.problem is not None
        assert "kept in memory" in outbox.problem
        assert (seqs(outbox), claims(outbox), outbox.pending()[0]) == ([3, 4, 5, 6], ["b", "c"], 4)

        if refusal == "read-only":
            remount(disk, "rw")
        else:
            ballast.unlink()
        outbox.recover()
        assert outbox.problem is None
        add_events(outbox, 1)
        outbox.confirm([3])
    with opened(disk) as again:
        assert (seqs(again), claims(again), again.problem) == ([4, 5, 6, 7], ["b", "c"], None)
        assert again.dropped() == 0


def test_a_first_start_on_a_full_disk_goes_to_the_disk_once_there_is_room(disk: Path) -> None:
    ballast = fill(disk)
    with opened(disk) as outbox:
        add_events(outbox, 3)
        outbox.recover()
        assert outbox.problem is not None

        ballast.unlink()
        outbox.recover()
        assert outbox.problem is None
    with opened(disk) as again:
        add_events(again, 1)
        assert seqs(again) == [1, 2, 3, 4]


def test_what_could_not_be_read_at_the_start_is_left_to_the_next_so_that_no_number_is_there_twice(
    disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(disk, KILLED)
    (disk / "outbox.sqlite3-shm").unlink()
    remount(disk, "ro")
    with opened(disk) as outbox:
        assert (seqs(outbox), claims(outbox)) == ([], [])
        add_events(outbox, 2)
        remount(disk, "rw")

        for _ in range(2):
            outbox.recover()
            outbox.confirm([1])
        assert seqs(outbox) == [2]
        assert outbox.problem is not None
    assert caplog.text.count("taken up with the next start") == 1
    with opened(disk) as again:
        assert (seqs(again), claims(again)) == ([1, 2, 3, 4], ["a", "b"])


def test_a_database_that_another_program_holds_at_the_start_is_read_and_taken_up_when_it_is_free(disk: Path) -> None:
    run(disk, KILLED)
    hold = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1], isolation_level=None); d.execute('BEGIN IMMEDIATE')"
    hold += "; print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(disk / "outbox.sqlite3")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        outbox = Outbox(disk / "outbox.sqlite3", 10_000, 1e9)
        add_events(outbox, 1)
        assert (seqs(outbox), claims(outbox)) == ([1, 2, 3, 4, 5], ["a", "b"])
        assert "locked" in str(outbox.problem)
        other.communicate(timeout=10)
    outbox.recover()

    assert (seqs(outbox), outbox.problem) == ([1, 2, 3, 4, 5], None)
    outbox.close()


@pytest.mark.parametrize("is_full", [False, True], ids=["room again", "still full"])
def test_no_number_is_given_twice_after_a_kill_while_the_disk_was_full(disk: Path, is_full: bool) -> None:
    run(disk, FILLS_THE_DISK, KILLED)
    if not is_full:
        (disk / "ballast").unlink()

    with opened(disk) as outbox:
        add_events(outbox, 1)
        assert seqs(outbox)[-1] == 65


def test_a_file_for_the_last_number_that_is_no_number_is_made_anew(disk: Path) -> None:
    run(disk, "outbox.close()")
    number = disk / "outbox.sqlite3-seq"
    for content in (b"", b"\xff" * 19, None):
        number.unlink()
        if content is not None:
            number.write_bytes(content)
        with opened(disk) as outbox:
            assert seqs(outbox) == [1, 2, 3, 4]
        assert int(number.read_bytes()) == 4


def test_an_outbox_in_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(Outbox(Path(":memory:"), 100, 3600)) as outbox:
        add_events(outbox, 1)
        assert seqs(outbox) == [1]
    assert list(tmp_path.iterdir()) == []


def test_while_the_disk_refuses_a_later_file_may_have_the_name_of_one_that_is_done(disk: Path) -> None:
    with opened(disk) as outbox:
        add_file(outbox, "cam.jpg")
        ballast = fill(disk)
        outbox.forget_file("inbox", "cam.jpg")
        assert claims(outbox) == []
        for number in range(3):
            add_file(outbox, "cam.jpg")
            assert [(file.claim, file.seq) for file in outbox.files("inbox")] == [("cam.jpg", 4 + 2 * number)]
            outbox.confirm([4 + 2 * number])
            assert [file.claim for file in outbox.published_files("inbox")] == ["cam.jpg"]
            if number < 2:
                outbox.forget_file("inbox", "cam.jpg")
        assert outbox.problem is not None

        ballast.unlink()
        outbox.recover()
        assert (claims(outbox), outbox.problem) == (["cam.jpg"], None)
        outbox.forget_file("inbox", "cam.jpg")
        assert claims(outbox) == []
    with opened(disk) as again:
        assert claims(again) == []


def test_files_that_never_were_on_the_disk_are_not_remembered_when_they_are_done(disk: Path) -> None:
    with opened(disk) as outbox:
        add_file(outbox, "on the disk")
        fill(disk)
        outbox.forget_file("inbox", "on the disk")
        for number in range(500):
            add_file(outbox, f"{number}.jpg")
            outbox.confirm([4 + 2 * number, 3 + 2 * number])
            outbox.forget_file("inbox", f"{number}.jpg")

        assert [claim for _, claim in outbox._forgotten] == [b"on the disk"]
        assert claims(outbox) == []


def test_files_of_one_name_all_end_in_done_while_the_disk_of_the_outbox_is_full(disk: Path, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    with opened(disk) as outbox:
        folder = Folder(FolderSource(kind="folder", name="inbox", path=inbox), time.monotonic)
        folder.recover(frozenset())
        recorder = Recorder(outbox, None, {"inbox": folder}, Clock())
        add_file(outbox, "cam.jpg")
        ballast = fill(disk)
        for number in range(6):
            (inbox / ".processing" / "cam.jpg").write_bytes(bytes([number]))  # as `take` leaves it
            if number > 0:
                recorder.put(Entry((an_image_record("cam.jpg"),), "inbox", "cam.jpg"))
                recorder._write_waiting()
            recorder._end_files(folder)
            recorder._keep_house()
            assert list((inbox / ".processing").iterdir()) == []
        assert outbox.problem is not None
        ballast.unlink()
        recorder._keep_house()
        folder.close()
    assert sorted(path.read_bytes() for path in (inbox / "done").glob("*.jpg")) == [bytes([n]) for n in range(6)]
    with opened(disk) as again:
        assert claims(again) == []


def test_what_a_full_disk_does_not_let_go_is_counted_as_dropped_when_it_has_gone(disk: Path) -> None:
    with contextlib.closing(Outbox(disk / "outbox.sqlite3", 1, 1e9)) as outbox:
        add_events(outbox, 3)
        ballast = fill(disk)
        for _ in range(3):
            outbox.trim(None)
        assert (outbox.dropped(), len(seqs(outbox))) == (0, 3)

        ballast.unlink()
        outbox.recover()
        assert outbox.trim(None) == 2
        assert outbox.dropped() == 2
