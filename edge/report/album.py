"""Which pictures are shown small: a report of ten thousand must stay a file that can be opened and sent."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import chain, islice, zip_longest

from edge.vision.analyzer import Summary

_GROUPS: dict[Summary, int] = {"uncertain": 0, "mixed": 0, "no_mask": 1, "mask": 2, "no_face": 3}
"""Group 0 comes first; what room it leaves is dealt out evenly to the others."""
_GOLDEN = 2654435769
"""2**32 divided by the golden ratio: multiples of it modulo 2**32 lie evenly spread, however many are taken."""


class Album:
    """Takes thumbnails as they come and keeps few: all uncertain and mixed pictures, then a sample of each other kind.

    The sample is spread evenly over the run and is the same in every run.

    Args:
        room: how many are chosen in the end; four times as many are held in between at most.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._groups: list[list[tuple[int, int, bytes]]] = [[] for _ in range(4)]

    def offer(self, number: int, summary: Summary, jpeg: bytes) -> None:
        """A thumbnail of the picture that is the `number`th."""
        group = self._groups[_GROUPS[summary]]
        heapq.heappush(group, (-(number * _GOLDEN % 2**32), number, jpeg))  # the first to go is the last of the order
        if len(group) > self._room:
            heapq.heappop(group)

    def chosen(self) -> dict[int, bytes]:
        """By number, in rising order."""
        first, *others = ([entry[1:] for entry in sorted(group, reverse=True)] for group in self._groups)
        dealt: Iterator[tuple[int, bytes] | None] = chain.from_iterable(zip_longest(*others))
        rest = (entry for entry in dealt if entry is not None)
        return dict(sorted(islice(chain(first, rest), self._room)))
