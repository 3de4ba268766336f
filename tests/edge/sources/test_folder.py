"""The life of a dropped-in file, without the daemon around it. Time is a number that the tests set."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from edge.daemon.worker import Worker
from edge.errors import ConfigError, UnavailableError
from edge.settings import FolderSource
from edge.sources import folder as folder_module
from edge.sources import readiness as readiness_module
from edge.sources.dropped import Dropped
from edge.sources.folder import Folder
from edge.sources.names import free_name
from edge.sources.readiness import FileFacts
from edge.vision.geometry import Image
from support.components import ROOT, eventually, require
from support.disk import remount, small_disk


class Watch:
    """A folder source, a clock that stands still, and the thread that the daemon would give it."""

    def __init__(self, inbox: Path, on_done: str = "keep") -> None:
        self.inbox = inbox
        self.now = 0.0
        self.folder = Folder(FolderSource(kind="folder", name="inbox", path=inbox, on_done=on_done), lambda: self.now)
        self.folder.recover(frozenset())

    @contextmanager
    def watching(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self.folder.watch, args=(stop, lambda: None))
        thread.start()
        eventually(lambda: self.folder.state().state == "ok")
        try:
            yield
        finally:
            stop.set()
            thread.join(5)
            assert not thread.is_alive()

    def next(self) -> Dropped:
        return eventually(self.folder.take)

    def next_in_time(self) -> Dropped:
        """With a clock that goes on, for a file that perhaps no event tells of."""

        def tick() -> Dropped | None:
            self.now += 0.5
            return self.folder.take()

        return eventually(tick)

    def killed_with(self) -> Dropped | None:
        """What a run takes that ends in the middle of the work; the kernel gives its lock back."""
        dropped = self.folder.take()
        self.folder._ownership.give_back()
        return dropped


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still here; one test looks at the moment between close and claim."""
    monkeypatch.setattr(readiness_module, "CLAIM_AFTER_CLOSE_S", 0.0)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    watch = Watch(tmp_path / "inbox")
    yield watch
    watch.folder.close()


@pytest.fixture
def jpeg(bare_face: Image) -> bytes:
    return cv2.imencode(".jpg", bare_face)[1].tobytes()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_that_was_copied_in_is_claimed_when_its_writer_closes_it(watch: Watch, jpeg: bytes) -> None:
    with watch.watching():
        with (watch.inbox / "a.jpg").open("wb") as file:
            file.write(jpeg[:1000])
            file.flush()
            assert watch.folder.take() is None
            file.write(jpeg[1000:])
        dropped = watch.next()

    assert (dropped.name, dropped.error) == ("a.jpg", None)
    assert dropped.image is not None
    assert names(watch.inbox / ".processing") == ["a.jpg"]
    assert not (watch.inbox / "a.jpg").exists()


def test_a_file_is_left_to_its_writer_for_a_moment_after_it_was_closed(
    watch: Watch, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness_module, "CLAIM_AFTER_CLOSE_S", 0.3)
    with watch.watching():
        (watch.inbox / "a.jpg").write_bytes(jpeg)
        eventually(lambda: watch.folder._files._closed)
        assert watch.folder.take() is None
        (watch.inbox / "a.jpg").chmod(0o640)
        watch.now = 0.4
        assert watch.next().name == "a.jpg"


def test_a_file_that_was_moved_in_is_claimed(watch: Watch, jpeg: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg)
    with watch.watching():
        (tmp_path / "a.jpg").rename(watch.inbox / "a.jpg")

        assert watch.next().name == "a.jpg"


def test_a_file_that_no_event_told_of_is_taken_when_it_has_settled(watch: Watch, jpeg: bytes) -> None:
    (watch.inbox / "a.jpg").write_bytes(jpeg)
    with watch.watching():
        assert watch.folder.take() is None
        watch.now = 2.1  # the next scan sees the same size and time

        assert watch.next().name == "a.jpg"


def test_a_file_that_lay_there_long_before_the_start_is_taken_at_once(tmp_path: Path, jpeg: bytes) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "old.jpg").write_bytes(jpeg)
    time.sleep(2.1)  # the time of a file's last change cannot be set
    (inbox / "new.jpg").write_bytes(jpeg)
    watch = Watch(inbox)
    with watch.watching():
        assert watch.next().name == "old.jpg"
        assert watch.folder.take() is None


def test_a_file_that_still_grows_is_left_alone(watch: Watch, jpeg: bytes) -> None:
    growing = watch.inbox / "a.jpg"
    growing.write_bytes(jpeg[:10])
    with watch.watching(), growing.open("ab") as file:
        for round_ in range(1, 4):
            file.write(jpeg[:10])
            file.flush()
            watch.now = 2.1 * round_
            eventually(lambda: watch.folder._files._seen.get("a.jpg", ((0, 0), -1.0))[1] == watch.now)
            assert watch.folder.take() is None


@pytest.mark.parametrize("name", [".hidden.jpg", "a.jpg.part", "a.tmp", "a.jpg.crdownload"])
def test_names_of_unfinished_files_are_left_alone(watch: Watch, jpeg: bytes, name: str) -> None:
    with watch.watching():
        (watch.inbox / name).write_bytes(jpeg)
        (watch.inbox / "wanted.jpg").write_bytes(jpeg)

        assert watch.next().name == "wanted.jpg"
        assert watch.folder.take() is None
    assert (watch.inbox / name).exists()


def test_folders_in_the_folder_are_not_entered(watch: Watch, jpeg: bytes) -> None:
    (watch.inbox / "album").mkdir()
    (watch.inbox / "album" / "a.jpg").write_bytes(jpeg)
    with watch.watching():
        (watch.inbox / "b.jpg").write_bytes(jpeg)
        assert watch.next().name == "b.jpg"
        assert watch.folder.take() is None


def test_a_symbolic_link_is_not_followed(watch: Watch, jpeg: bytes, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(jpeg)
    with watch.watching():
        (watch.inbox / "link.jpg").symlink_to(tmp_path / "secret.jpg")
        watch.now = 2.1
        eventually(lambda: "link.jpg" in watch.folder._files._seen)
        watch.now = 4.2
        dropped = watch.next()
        watch.folder.finish(dropped.claim, failed=True, record="{}")

    assert (dropped.name, dropped.error, dropped.image) == ("link.jpg", "a symbolic link is not followed", None)
    assert (watch.inbox / "failed" / "link.jpg").is_symlink()
    assert (tmp_path / "secret.jpg").exists()


@pytest.mark.parametrize(("failed", "target"), [(False, "done"), (True, "failed")])
def test_a_finished_file_has_its_record_beside_it(watch: Watch, jpeg: bytes, failed: bool, target: str) -> None:
    with watch.watching():
        (watch.inbox / "a.jpg").write_bytes(jpeg)
        watch.folder.finish(watch.next().claim, failed, '{"path": "a.jpg"}')

    assert names(watch.inbox / target) == ["a.jpg", "a.jpg.json"]
    assert json.loads((watch.inbox / target / "a.jpg.json").read_text()) == {"path": "a.jpg"}
    assert names(watch.inbox / ".processing") == []


def test_the_same_name_again_gets_a_number_and_both_stay(watch: Watch) -> None:
    with watch.watching():
        for number in range(3):
            (watch.inbox / "a.b.jpg").write_bytes(b"%d" % number)
            dropped = watch.next()
            assert dropped.name == "a.b.jpg"
            watch.folder.finish(dropped.claim, failed=True, record="{}")

    assert [(watch.inbox / "failed" / name).read_bytes() for name in ("a.b.jpg", "a.b-1.jpg", "a.b-2.jpg")] == [
        b"0",
        b"1",
        b"2",
    ]


def test_a_picture_is_not_mistaken_for_the_record_of_another(watch: Watch) -> None:
    with watch.watching():
        for name in ("a.jpg", "a.jpg.json"):
            (watch.inbox / name).write_bytes(b"x")
            watch.folder.finish(watch.next().claim, failed=True, record="{}")

    assert names(watch.inbox / "failed") == ["a.jpg", "a.jpg-1.json", "a.jpg-1.json.json", "a.jpg.json"]


def test_the_same_name_while_the_first_is_still_in_work_keeps_its_name(watch: Watch, jpeg: bytes) -> None:
    with watch.watching():
        claims = []
        for _ in range(2):
            (watch.inbox / "a.jpg").write_bytes(jpeg)
            dropped = watch.next()
            claims.append((dropped.claim, dropped.name))

    assert claims == [("a.jpg", "a.jpg"), (".1.0~a.jpg", "a.jpg")]


@pytest.mark.parametrize(
    "name", ["with\nnewline.jpg", "with'\"quotes.jpg", "~tilde~.jpg", "x" * 250 + ".jpg", b"fa\xe7ade.jpg"]
)
def test_any_name_that_a_file_system_allows_comes_through(watch: Watch, name: str | bytes) -> None:
    text = os.fsdecode(name)
    with watch.watching():
        (watch.inbox / text).write_bytes(b"x")
        dropped = watch.next()
        watch.folder.finish(dropped.claim, failed=True, record="{}")

    assert dropped.name == text
    assert len(names(watch.inbox / "failed")) == 2
    if len(os.fsencode(name)) < 200:
        assert text in names(watch.inbox / "failed")


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"", "the file is empty"), (b"GIF89a no picture", "not a picture of a known format")],
)
def test_an_unreadable_file_says_why(watch: Watch, content: bytes, error: str) -> None:
    with watch.watching():
        (watch.inbox / "a.jpg").write_bytes(content)
        dropped = watch.next()

    assert dropped.image is None
    assert dropped.error is not None
    assert error in dropped.error


def test_what_an_earlier_run_had_claimed_is_taken_first(tmp_path: Path, jpeg: bytes) -> None:
    processing = tmp_path / "inbox" / ".processing"
    processing.mkdir(parents=True)
    for name in ("a.jpg", ".1.0~a.jpg", "recorded.jpg"):
        (processing / name).write_bytes(jpeg)
    watch = Watch(tmp_path / "inbox")
    folder = watch.folder
    folder._claimed.clear()

    folder.recover(frozenset(["recorded.jpg"]))
    taken = [folder.take(), folder.take(), folder.take()]

    assert [(dropped.claim, dropped.name, dropped.error) for dropped in taken if dropped] == [
        (".1.1~a.jpg", "a.jpg", None),
        (".0.1~a.jpg", "a.jpg", None),
    ]


def test_a_file_that_ends_the_program_again_and_again_is_given_up(tmp_path: Path, jpeg: bytes) -> None:
    inbox = tmp_path / "inbox"
    (inbox / ".processing").mkdir(parents=True)
    (inbox / ".processing" / "a.jpg").write_bytes(jpeg)
    for _ in range(3):
        dropped = Watch(inbox).killed_with()
        assert dropped is not None
        assert dropped.error is None

    given_up = Watch(inbox)
    dropped = given_up.folder.take()
    assert dropped is not None
    given_up.folder.finish(dropped.claim, failed=True, record="{}")

    assert dropped.name == "a.jpg"
    assert dropped.error == "the program ended 4 times while it was at work on this file; it is not tried again"
    assert names(inbox / "failed") == ["a.jpg", "a.jpg.json"]


def test_a_file_at_whose_work_the_program_was_stopped_in_order_is_not_given_up(tmp_path: Path, jpeg: bytes) -> None:
    inbox = tmp_path / "inbox"
    (inbox / ".processing").mkdir(parents=True)
    (inbox / ".processing" / "a.jpg").write_bytes(jpeg)
    for _ in range(6):
        watch = Watch(inbox)
        dropped = watch.folder.take()
        assert dropped is not None
        assert (dropped.name, dropped.error) == ("a.jpg", None)
        watch.folder.uncount(frozenset())
        watch.folder.close()

    for _ in range(3):  # kills count after it as before
        killed = Watch(inbox).killed_with()
        assert killed is not None
        assert killed.error is None
    killed = Watch(inbox).killed_with()
    assert killed is not None
    assert killed.error is not None


def test_a_recorded_file_keeps_the_name_that_the_outbox_knows_it_by(tmp_path: Path, jpeg: bytes) -> None:
    inbox = tmp_path / "inbox"
    (inbox / ".processing").mkdir(parents=True)
    (inbox / ".processing" / "a.jpg").write_bytes(jpeg)
    watch = Watch(inbox)
    dropped = watch.folder.take()
    assert dropped is not None

    watch.folder.uncount(frozenset([dropped.claim]))

    watch.folder.close()
    assert names(inbox / ".processing") == [dropped.claim] == [".0.1~a.jpg"]


def test_a_move_that_a_kill_cut_in_half_is_completed(tmp_path: Path) -> None:
    done = tmp_path / "inbox" / "done"
    done.mkdir(parents=True)
    (done / "moved.jpg").write_bytes(b"x")
    (done / ".moved.jpg.json.tmp").write_text("{}")
    (done / ".not-moved.jpg.json.tmp").write_text("{}")

    Watch(tmp_path / "inbox")

    assert names(done) == ["moved.jpg", "moved.jpg.json"]


def test_a_file_that_vanishes_before_it_is_claimed_is_nobodys_loss(watch: Watch, jpeg: bytes) -> None:
    with watch.watching():
        (watch.inbox / "a.jpg").write_bytes(jpeg)
        eventually(lambda: watch.folder._files._ready)
        (watch.inbox / "a.jpg").unlink()

        assert watch.folder.take() is None
        assert watch.folder.state().error is None


def test_a_folder_that_is_replaced_while_a_file_is_ready_stops_nobody(
    watch: Watch, jpeg: bytes, tmp_path: Path
) -> None:
    with watch.watching():
        (watch.inbox / "a.jpg").write_bytes(jpeg)
        eventually(lambda: watch.folder._files._ready)
        watch.inbox.rename(tmp_path / "away")
        watch.inbox.touch()

        assert watch.folder.take() is None
        watch.now = 2.1
        eventually(lambda: watch.folder.state().state == "lost")


def test_a_file_that_is_claimed_while_the_folder_is_looked_at_loses_nobody(
    watch: Watch, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_left_alone(name: str) -> bool:
        if name == "claimed.jpg":
            (watch.inbox / name).unlink()
        return readiness_module.is_left_alone(name)

    monkeypatch.setattr(folder_module, "is_left_alone", is_left_alone)
    (watch.inbox / "claimed.jpg").write_bytes(jpeg)
    (watch.inbox / "stays.jpg").write_bytes(jpeg)

    watch.folder._scan()

    assert list(watch.folder._files._seen) == ["stays.jpg"]


def test_a_folder_that_vanishes_is_lost_and_found_again(watch: Watch, jpeg: bytes, tmp_path: Path) -> None:
    with watch.watching():
        watch.inbox.rename(tmp_path / "away")
        (tmp_path / "away" / "late.jpg").write_bytes(jpeg)
        watch.now = 2.1
        lost = eventually(lambda: watch.folder.state() if watch.folder.state().state == "lost" else None)
        assert lost.error is not None
        assert str(watch.inbox) in lost.error

        (tmp_path / "away").rename(watch.inbox)
        eventually(lambda: watch.folder.state().state == "ok")
        assert watch.next_in_time().name == "late.jpg"


def test_a_file_that_is_written_again_before_it_was_taken_waits_until_it_is_closed_again(
    watch: Watch, jpeg: bytes
) -> None:
    with watch.watching():
        (watch.inbox / "a.jpg").write_bytes(jpeg)
        eventually(lambda: watch.folder._files._ready)
        with (watch.inbox / "a.jpg").open("wb") as again:
            again.write(jpeg[:1000])
            again.flush()
            eventually(lambda: not watch.folder._files._ready)
            assert watch.folder.take() is None
            again.write(jpeg[1000:])
        assert watch.next().error is None


def assert_a_slow_writer_is_waited_for(watch: Watch, jpeg: bytes) -> None:
    with watch.watching(), (watch.inbox / "a.jpg").open("wb") as slow:
        slow.write(jpeg[:1000])
        slow.flush()
        for seconds in (3, 6, 9, 12):
            watch.now = seconds
            eventually(lambda: "a.jpg" in watch.folder._files._seen)
            assert watch.folder.take() is None
        slow.write(jpeg[1000:])
        slow.close()
        assert watch.next().error is None


def test_a_writer_that_pauses_is_waited_for(watch: Watch, jpeg: bytes) -> None:
    assert_a_slow_writer_is_waited_for(watch, jpeg)


def test_a_clock_that_is_set_back_lets_no_file_be_taken_while_it_is_written(
    watch: Watch, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = readiness_module.FileFacts.of

    def an_hour_before(entry: os.DirEntry[str]) -> readiness_module.FileFacts | None:
        facts = now(entry)
        hour = 3600 * 10**9
        return facts and replace(facts, modified_ns=facts.modified_ns - hour, changed_ns=facts.changed_ns - hour)

    monkeypatch.setattr(readiness_module.FileFacts, "of", an_hour_before)
    assert_a_slow_writer_is_waited_for(watch, jpeg)


def test_a_folder_that_cannot_be_listed_at_the_start_is_lost_until_it_can(
    tmp_path: Path, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Folder) -> dict[str, readiness_module.FileFacts]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "a.jpg").write_bytes(jpeg)
    with monkeypatch.context() as refusing:
        refusing.setattr(Folder, "_list", refuse)
        watch = Watch(inbox)
    with watch.watching():
        assert watch.next_in_time().name == "a.jpg"


@pytest.fixture
def read_only(tmp_path: Path, jpeg: bytes) -> Iterator[Path]:
    """An inbox on a disk of its own, in which two files were claimed before it became read-only."""
    with small_disk(tmp_path / "disk", "2m") as disk:
        inbox = disk / "inbox"
        (inbox / ".processing").mkdir(parents=True)
        for name in ("begun.jpg", "recorded.jpg"):
            (inbox / ".processing" / name).write_bytes(jpeg)
        remount(disk, "ro")
        yield inbox


def test_a_folder_that_cannot_be_written_to_at_the_start_is_tried_again(
    read_only: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "SCAN_EVERY_S", 0.1)
    recorded = {"recorded.jpg", "ended meanwhile.jpg"}
    folder = Folder(FolderSource(kind="folder", name="inbox", path=read_only), lambda: 0.0)

    folder.begin(lambda: frozenset(recorded))

    told = f"{read_only}: Read-only file system"
    assert (folder.state().state, folder.state().error) == ("waiting", told)
    with Worker("source inbox", lambda stop: folder.watch(stop, lambda: None), 5):
        time.sleep(0.3)
        assert (folder.take(), folder.state().error) == (None, told)
        recorded.discard("ended meanwhile.jpg")
        remount(read_only.parent, "rw")
        eventually(lambda: folder.state().state == "ok")
        taken = folder.take()
        assert taken is not None
        assert (taken.name, folder.take()) == ("begun.jpg", None)
    folder.close()


def test_nothing_is_moved_in_a_folder_that_has_not_been_taken_over_yet(read_only: Path) -> None:
    folder = Folder(FolderSource(kind="folder", name="inbox", path=read_only), lambda: 0.0)
    folder.begin(frozenset)
    remount(read_only.parent, "rw")
    before = names(read_only / ".processing")

    for end in (folder.delete, lambda claim: folder.finish(claim, failed=False, record="{}")):
        with pytest.raises(OSError, match="has not been usable since the start"):
            end(before[0])

    folder.close()
    assert names(read_only / ".processing") == before


def test_a_path_that_is_no_folder_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "inbox").touch()
    for path in (tmp_path / "inbox", tmp_path / "inbox" / "deeper"):
        folder = Folder(FolderSource(kind="folder", name="inbox", path=path), lambda: 0.0)
        with pytest.raises(ConfigError, match=f"sources: inbox: {path} cannot be used: "):
            folder.begin(frozenset)


@pytest.mark.parametrize("place", ["..", ".", "done"])
def test_a_link_to_a_disk_that_is_away_is_waited_for(
    tmp_path: Path, jpeg: bytes, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(folder_module, "SCAN_EVERY_S", 0.1)
    inbox, disk = tmp_path / "usb" / "inbox", tmp_path / "disk"
    link = {"..": inbox.parent, ".": inbox, "done": inbox / "done"}[place]
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(disk)
    folder = Folder(FolderSource(kind="folder", name="inbox", path=inbox), lambda: 0.0)

    folder.begin(frozenset)

    assert folder.state().error == f"{inbox}: {link} is a link to a folder that is not there"
    with Worker("source inbox", lambda stop: folder.watch(stop, lambda: None), 5):
        disk.mkdir()
        eventually(lambda: folder.state().state == "ok")
        (inbox / "a.jpg").write_bytes(jpeg)
        dropped = eventually(folder.take)
        assert folder.finish(dropped.claim, failed=False, record="{}")
    folder.close()
    assert names(inbox / "done") == ["a.jpg", "a.jpg.json"]


def test_a_file_that_a_damaged_disk_does_not_show_keeps_no_other_from_being_taken(
    watch: Watch, jpeg: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen = FileFacts.of

    def of(entry: os.DirEntry[str]) -> FileFacts | None:
        if entry.name == "bad.jpg":
            raise OSError(errno.EUCLEAN, os.strerror(errno.EUCLEAN))
        return seen(entry)

    monkeypatch.setattr(FileFacts, "of", of)
    for name in ("bad.jpg", "good.jpg"):
        (watch.inbox / name).write_bytes(jpeg)
    told = "bad.jpg cannot be looked at: Structure needs cleaning"
    with Worker("source inbox", lambda stop: watch.folder.watch(stop, lambda: None), 5):
        eventually(lambda: watch.folder.state().error == told)
        assert watch.next_in_time().name == "good.jpg"
        (watch.inbox / "bad.jpg").unlink()
        watch.now += 2.1
        eventually(lambda: watch.folder.state().state == "ok")

    assert [record.getMessage() for record in caplog.records] == [f"source inbox: {told}"]


def test_a_file_that_could_not_be_claimed_and_is_gone_is_not_named_any_more(
    watch: Watch, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> str:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with watch.watching():
        with monkeypatch.context() as patch:
            patch.setattr(watch.folder, "_claim", refuse)
            (watch.inbox / "a.jpg").write_bytes(jpeg)
            eventually(lambda: watch.folder.take() or watch.folder.state().error)
        assert watch.folder.state().error == "a.jpg cannot be claimed: Read-only file system"
        (watch.inbox / "a.jpg").unlink()
        watch.now += 2.1
        eventually(lambda: watch.folder.state().state == "ok")


@pytest.mark.parametrize("end", [lambda folder: folder.finish("a.jpg", failed=False, record="{}"),
                                 lambda folder: folder.delete("a.jpg")], ids=["moved", "deleted"])  # fmt: skip
def test_a_recorded_file_is_not_taken_for_ended_while_its_folder_is_away(
    watch: Watch, jpeg: bytes, tmp_path: Path, end: Callable[[Folder], object]
) -> None:
    with watch.watching():
        (watch.inbox / "a.jpg").write_bytes(jpeg)
        watch.next()
    watch.inbox.rename(tmp_path / "away")

    with pytest.raises(FileNotFoundError):
        end(watch.folder)

    (tmp_path / "away").rename(watch.inbox)
    end(watch.folder)
    assert names(watch.inbox / ".processing") == []


def test_folders_that_somebody_removed_are_made_again(watch: Watch, jpeg: bytes) -> None:
    with watch.watching():
        (watch.inbox / "a.jpg").write_bytes(jpeg)
        dropped = watch.next()
        shutil.rmtree(watch.inbox / "done")
        assert watch.folder.finish(dropped.claim, failed=False, record="{}")
        assert not watch.folder.finish(dropped.claim, failed=False, record="{}")

    assert names(watch.inbox / "done") == ["a.jpg", "a.jpg.json"]


def test_a_folder_that_was_made_anew_is_worked_on(watch: Watch, jpeg: bytes) -> None:
    with watch.watching():
        shutil.rmtree(watch.inbox)
        watch.now = 3.0
        eventually(lambda: watch.folder.state().state == "lost")
        watch.inbox.mkdir()
        eventually(lambda: watch.folder.state().state == "ok")
        (watch.inbox / "a.jpg").write_bytes(jpeg)
        assert watch.next_in_time().name == "a.jpg"


def test_a_folder_that_was_moved_away_and_made_anew_at_once_is_worked_on(
    watch: Watch, jpeg: bytes, tmp_path: Path
) -> None:
    with watch.watching():
        watch.inbox.rename(tmp_path / "away")
        watch.inbox.mkdir()
        (watch.inbox / "a.jpg").write_bytes(jpeg)
        assert watch.next_in_time().name == "a.jpg"


def test_a_processing_folder_that_somebody_removed_is_made_again(watch: Watch, jpeg: bytes) -> None:
    with watch.watching():
        shutil.rmtree(watch.inbox / ".processing")
        (watch.inbox / "a.jpg").write_bytes(jpeg)
        assert watch.next_in_time().name == "a.jpg"
        assert watch.folder.state().error is None


@pytest.fixture
def covered(watch: Watch) -> Iterator[Callable[[], None]]:
    """Mounts a disk over the inbox when it is called."""
    require(os.geteuid() == 0, "mounting a small file system needs root")

    def cover() -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(watch.inbox)], check=True, timeout=10)

    yield cover
    subprocess.run(["umount", "--lazy", str(watch.inbox)], check=False, timeout=10)


def test_a_disk_that_is_mounted_over_the_folder_is_worked_on(
    watch: Watch, jpeg: bytes, covered: Callable[[], None]
) -> None:
    with watch.watching():
        covered()
        (watch.inbox / "a.jpg").write_bytes(jpeg)
        assert watch.next_in_time().name == "a.jpg"
        assert names(watch.inbox / ".processing") == ["a.jpg"]


OWNER = """
import sys
import time
from pathlib import Path
from edge.settings import FolderSource
from edge.sources.folder import Folder
Folder(FolderSource(kind="folder", name="inbox", path=Path(sys.argv[1])), time.monotonic).recover(frozenset())
print("owned", flush=True)
time.sleep(60)
"""


def test_a_folder_is_one_programs_until_that_ends_even_by_a_kill(tmp_path: Path, jpeg: bytes) -> None:
    inbox = tmp_path / "inbox"
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(inbox)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "owned\n"
    (inbox / ".processing" / "a.jpg").write_bytes(jpeg)
    (tmp_path / "linked").symlink_to(inbox)
    for path in (inbox, tmp_path / "linked"):
        with pytest.raises(UnavailableError, match="is in use by another maskgate"):
            Watch(path)

    owner.kill()
    owner.communicate(timeout=10)
    dropped = Watch(inbox).killed_with()

    assert dropped is not None
    assert (dropped.claim, dropped.name) == (".0.1~a.jpg", "a.jpg")


def test_a_folder_that_comes_to_be_anothers_is_lost_until_it_is_let_go(watch: Watch, tmp_path: Path) -> None:
    other = Watch(tmp_path / "other")
    with watch.watching():
        watch.inbox.rename(tmp_path / "away")
        other.inbox.rename(watch.inbox)
        watch.now = 2.1
        told = f"{watch.inbox} is in use by another maskgate, or by another source; give each its own"
        eventually(lambda: watch.folder.state().error == told)
        assert watch.folder.state().state == "lost"

        other.folder.close()
        eventually(lambda: watch.folder.state().state == "ok")


def test_a_folder_that_cannot_be_locked_is_worked_on(
    tmp_path: Path, jpeg: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def without_locks(_: int, __: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", without_locks)
    watch = Watch(tmp_path / "inbox")
    with watch.watching():
        (watch.inbox / "a.jpg").write_bytes(jpeg)
        assert watch.next().name == "a.jpg"
        watch.now = 2.1

    assert [record.getMessage().split(" (")[0] for record in caplog.records] == [
        f"{watch.inbox}/.processing cannot be locked"
    ]


def test_files_of_one_name_survive_any_number_of_kills(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    processing = inbox / ".processing"
    for run in range(3):
        watch = Watch(inbox)
        watch.folder.take()
        watch.killed_with()
        (processing / "a.jpg").write_bytes(b"%d" % run)

    Watch(inbox).folder.take()

    assert sorted(path.read_bytes() for path in processing.iterdir()) == [b"0", b"1", b"2"]


def test_the_thousandth_file_of_one_name_is_named_quickly(tmp_path: Path) -> None:
    for number in range(1500):
        (tmp_path / ("a.jpg" if number == 0 else f"a-{number}.jpg")).touch()

    assert free_name(tmp_path, "a.jpg") == "a-1500.jpg"
