"""Which thumbnails a report keeps."""

from __future__ import annotations

from collections import Counter

from edge.report.album import Album
from edge.vision.analyzer import Summary


def chosen(room: int, *kinds: tuple[Summary, int]) -> Counter[Summary]:
    """How many of each kind are chosen when each comes so many times, one kind after the other."""
    album = Album(room)
    summaries = [summary for summary, times in kinds for _ in range(times)]
    for number, summary in enumerate(summaries):
        album.offer(number, summary, b"%d" % number)
    found = album.chosen()
    assert list(found) == sorted(found)
    assert all(jpeg == b"%d" % number for number, jpeg in found.items())
    return Counter(summaries[number] for number in found)


def test_where_there_is_room_all_are_kept() -> None:
    assert chosen(10, ("mask", 3), ("no_face", 4), ("mixed", 2)) == {"mask": 3, "no_face": 4, "mixed": 2}


def test_what_needs_a_look_comes_first() -> None:
    assert chosen(10, ("mask", 500), ("uncertain", 6), ("no_mask", 500), ("mixed", 4)) == {"uncertain": 6, "mixed": 4}


def test_the_room_that_is_left_is_dealt_out_evenly() -> None:
    found = chosen(12, ("mask", 900), ("no_mask", 60), ("no_face", 500), ("uncertain", 3))

    assert found == {"uncertain": 3, "mask": 3, "no_mask": 3, "no_face": 3}


def test_kinds_that_are_rare_leave_their_room_to_the_others() -> None:
    assert chosen(12, ("mask", 900), ("no_mask", 1)) == {"mask": 11, "no_mask": 1}


def test_too_many_of_what_needs_a_look_are_sampled_from_the_whole_run() -> None:
    album = Album(20)
    for number in range(2000):
        album.offer(number, "uncertain", b"")

    numbers = list(album.chosen())

    assert len(numbers) == 20
    by_fifth = Counter(number // 400 for number in numbers)
    assert set(by_fifth) == set(range(5))
    assert max(by_fifth.values()) <= 5


def test_no_more_is_held_than_the_room_for_each_group() -> None:
    kinds: tuple[Summary, ...] = ("mask", "no_mask", "no_face", "uncertain", "mixed")
    album = Album(5)
    for number in range(1000):
        album.offer(number, kinds[number % 5], b"")
        assert sum(len(group) for group in album._groups) <= 4 * 5
