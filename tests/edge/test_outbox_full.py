"""A disk that is full, and then has a little room: nothing escapes, is counted twice, or waits for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.outbox import MEMORY_LIMIT, Entry, Outbox
from support.disk import add_events, add_file, fill, fill_until_refused, opened, seqs
from support.messages import an_event, an_image_record

_PAGE = 4096


def free(ballast: Path, pages: int) -> None:
    """Gives so many pages back."""
    with ballast.open("r+b") as file:
        file.truncate(ballast.stat().st_size - pages * _PAGE)


@pytest.mark.parametrize("pages", range(0, 30, 2))
def test_a_first_start_with_room_for_a_part_of_a_database_works_in_memory(disk: Path, pages: int) -> None:
    ballast = fill(disk)
    free(ballast, pages)
    for _ in range(2):  # what the first leaves behind is what the second finds
        with opened(disk) as outbox:
            add_events(outbox, 1)
            outbox.recover()
            add_events(outbox, 1)
            assert len(seqs(outbox)) >= 2
    ballast.unlink()
    with opened(disk) as outbox:
        add_events(outbox, 1)
        assert outbox.problem is None


@pytest.mark.parametrize("pages", range(0, 30, 2))
def test_a_little_room_in_a_run_that_began_without_any_is_no_harm(disk: Path, pages: int) -> None:
    ballast = fill(disk)
    with opened(disk) as outbox:
        add_events(outbox, 1)
        free(ballast, pages)
        for _ in range(3):
            outbox.recover()
            add_events(outbox, 1)
        assert seqs(outbox) == [1, 2, 3, 4]
        ballast.unlink()
        outbox.recover()
        assert outbox.problem is None
        assert seqs(outbox) == [1, 2, 3, 4]


def test_many_deletions_find_their_way_into_little_room_and_new_messages_are_saved_first(disk: Path) -> None:
    with opened(disk) as outbox:
        outbox.add([Entry((an_event(),)) for _ in range(250)], 1.0)
        outbox.checkpoint()
        sent = seqs(outbox)
        ballast = fill_until_refused(disk, outbox)
        add_events(outbox, 5)
        new = seqs(outbox)[len(sent) :]
        outbox.confirm(sent)
        free(ballast, 25)
        outbox.recover()
        with opened(disk) as after_a_kill:
            assert set(new) <= set(seqs(after_a_kill))
        outbox.recover()
        assert (outbox.problem, seqs(outbox)) == (None, new)
    with opened(disk) as again:
        assert seqs(again) == new


def test_what_no_broker_takes_is_counted_once(disk: Path) -> None:
    with opened(disk) as outbox:
        add_events(outbox, 2)
        outbox.checkpoint()
        ballast = fill_until_refused(disk, outbox)
        (entry,) = outbox.add([Entry((an_event(),))], 1.0)
        for _ in range(3):
            outbox.drop(1)
            outbox.drop(entry.messages[0].seq)
        assert outbox.dropped() == 1  # the one in memory; the other is tried again with the next connection
        ballast.unlink()
        outbox.recover()
        outbox.drop(1)
        assert outbox.dropped() == 2
        assert 1 not in seqs(outbox)
    with opened(disk) as again:
        assert again.dropped() == 2


def test_a_file_whose_record_the_broker_has_can_be_deleted_though_the_disk_is_full(disk: Path) -> None:
    with opened(disk) as outbox:
        for claim in "abc":
            add_file(outbox, claim)
        outbox.checkpoint()
        ballast = fill_until_refused(disk, outbox)
        (entry,) = outbox.add([Entry((an_event(), an_image_record("d")), "inbox", "d")], 1.0)
        outbox.confirm([1, 2, 5, 6, *(message.seq for message in entry.messages)])
        assert [file.claim for file in outbox.published_files("inbox")] == ["a", "c", "d"]
        outbox.forget_file("inbox", "a")
        assert [file.claim for file in outbox.published_files("inbox")] == ["c", "d"]
        ballast.unlink()
        outbox.recover()
        assert [file.claim for file in outbox.published_files("inbox")] == ["c", "d"]
        assert [file.claim for file in outbox.files("inbox")] == ["b", "c", "d"]


def test_an_outbox_without_a_file_keeps_its_limit(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "gone" / "outbox.sqlite3", 10, 1e9)
    outbox.add([Entry((an_event(),)) for _ in range(MEMORY_LIMIT + 3)], 1.0)
    assert outbox.trim(None) == 3
    outbox.close()
