from __future__ import annotations

import stat

import inotify_simple
import pytest

from edge.sources.readiness import (
    CLAIM_AFTER_CLOSE_S,
    OPEN_SETTLED_AFTER_S,
    SETTLED_AFTER_S,
    FileFacts,
    Readiness,
    is_left_alone,
)

FLAGS = inotify_simple.flags
BEGUN_NS = 1_000 * 10**9


def event(flag: int, name: str = "a.jpg") -> inotify_simple.Event:
    return inotify_simple.Event(1, flag, 0, name)


def a_file(size: int = 100, modified_ns: int = BEGUN_NS, mode: int = stat.S_IFREG, links: int = 1) -> FileFacts:
    return FileFacts(mode, links, size, modified_ns, changed_ns=modified_ns)


@pytest.fixture
def files() -> Readiness:
    return Readiness({}, BEGUN_NS)


@pytest.mark.parametrize("flag", [FLAGS.CLOSE_WRITE, FLAGS.MOVED_TO])
def test_a_file_is_ready_a_moment_after_it_was_closed_or_moved(files: Readiness, flag: int) -> None:
    files.note([event(flag)], now=0.0)

    assert not files.promote(CLAIM_AFTER_CLOSE_S / 2)
    assert files.take() is None
    assert files.promote(CLAIM_AFTER_CLOSE_S)
    assert files.take() == "a.jpg"
    assert files.take() is None


def test_a_file_that_is_written_again_is_ready_only_when_it_is_closed_again(files: Readiness) -> None:
    files.note([event(FLAGS.CLOSE_WRITE)], now=0.0)
    files.promote(1.0)
    files.note([event(FLAGS.MODIFY)], now=1.1)
    assert files.take() is None

    files.note([event(FLAGS.CLOSE_WRITE)], now=2.0)
    files.promote(3.0)
    assert files.take() == "a.jpg"


def test_without_events_a_file_is_ready_when_two_looks_saw_the_same(files: Readiness) -> None:
    files.look({"a.jpg": a_file(size=10)}, now=0.0)
    files.look({"a.jpg": a_file(size=20)}, now=2 * SETTLED_AFTER_S)
    assert files.take() is None

    files.look({"a.jpg": a_file(size=20)}, now=3 * SETTLED_AFTER_S)
    assert files.take() == "a.jpg"


def test_a_file_that_is_being_written_is_given_longer(files: Readiness) -> None:
    files.note([event(FLAGS.CREATE)], now=0.0)
    files.look({"a.jpg": a_file()}, now=0.0)
    files.look({"a.jpg": a_file()}, now=OPEN_SETTLED_AFTER_S - 1)
    assert files.take() is None

    files.look({"a.jpg": a_file()}, now=OPEN_SETTLED_AFTER_S)
    assert files.take() == "a.jpg"


@pytest.mark.parametrize("link", [a_file(mode=stat.S_IFLNK), a_file(links=2)])
def test_a_link_that_nobody_will_close_is_not(files: Readiness, link: FileFacts) -> None:
    files.note([event(FLAGS.CREATE)], now=0.0)
    files.look({"a.jpg": link}, now=0.0)
    files.look({"a.jpg": link}, now=SETTLED_AFTER_S)

    assert files.take() == "a.jpg"


OLD_NS = BEGUN_NS - 10 * 10**9


def test_files_from_before_the_start_are_ready_at_once_the_oldest_first() -> None:
    there = {"b.jpg": a_file(modified_ns=OLD_NS - 1), "a.jpg": a_file(modified_ns=OLD_NS), "new.jpg": a_file()}
    files = Readiness(there, BEGUN_NS)
    files.look(there, now=0.0)

    assert [files.take(), files.take(), files.take()] == ["b.jpg", "a.jpg", None]


def test_files_that_come_after_the_start_are_new_whatever_a_clock_that_was_set_back_says(files: Readiness) -> None:
    files.look({}, now=0.0)
    files.look({"a.jpg": a_file(modified_ns=OLD_NS)}, now=0.0)
    assert files.take() is None

    files.look({"a.jpg": a_file(modified_ns=OLD_NS)}, now=SETTLED_AFTER_S)
    assert files.take() == "a.jpg"


def test_a_file_that_somebody_wrote_to_after_the_start_is_not_one_from_before() -> None:
    files = Readiness({"a.jpg": a_file(modified_ns=OLD_NS), "b.jpg": a_file(modified_ns=OLD_NS)}, BEGUN_NS)
    files.note([event(FLAGS.MODIFY, "b.jpg")], now=0.0)
    files.look({"a.jpg": a_file(modified_ns=OLD_NS - 1), "b.jpg": a_file(modified_ns=OLD_NS)}, now=0.0)

    assert files.take() is None


def test_the_same_name_again_is_a_file_of_its_own(files: Readiness) -> None:
    for now in (0.0, 10.0):
        files.note([event(FLAGS.MOVED_TO)], now)
        files.promote(now + 1)
        assert files.take() == "a.jpg"


def test_a_file_that_is_ready_twice_over_is_taken_once(files: Readiness) -> None:
    files.note([event(FLAGS.CLOSE_WRITE)], now=0.0)
    files.look({"a.jpg": a_file()}, now=0.0)
    files.promote(1.0)
    files.look({"a.jpg": a_file()}, now=1.0)

    assert [files.take(), files.take()] == ["a.jpg", None]


@pytest.mark.parametrize(
    ("name", "left_alone"),
    [("a.jpg", False), (".a.jpg", True), ("a.jpg.part", True), ("a.TMP", True), ("a.crdownload", True), ("tmp", False)],
)
def test_hidden_and_unfinished_names_are_left_alone(name: str, left_alone: bool) -> None:
    assert is_left_alone(name) is left_alone
