"""Which face of a frame is whose.

Faces of successive frames are joined by overlap with where each person should be by now: a constant-velocity model, as
in SORT (Bewley et al., Simple online and realtime tracking, 2016), with the velocity taken between observations and not
from a filter's own guesses, as in OC-SORT (Cao et al. 2023), so that a person who was covered for a second is found
where they come out. For the handful of faces at a door a greedy assignment does; no solver is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge.vision.geometry import Box, intersection_over_union

_MIN_OVERLAP = 0.2
_MAX_STEP = 1.0
"""How far a face may be from where it was expected, in lengths of its longer side."""
_FORESIGHT_S = 1.0
"""How long a velocity is believed without an observation."""
_VELOCITY_SHARE = 0.5
"""Of the newest observation in the velocity; the rest is what was known."""


class Motion:
    """Where a face is and how it moves. Times in seconds, places in pixels of the frame."""

    def __init__(self, box: Box, at: float) -> None:
        self.box = box
        self.seen_at = at
        self._velocity = (0.0, 0.0)

    def expected(self, at: float) -> Box:
        """Where it should be at a time."""
        elapsed = min(at - self.seen_at, _FORESIGHT_S)
        x, y = self._velocity
        return Box(round(self.box.x + x * elapsed), round(self.box.y + y * elapsed), self.box.width, self.box.height)

    def move(self, box: Box, at: float) -> None:
        """Where it was found."""
        elapsed = at - self.seen_at
        if elapsed > 0:
            (x, y), (new_x, new_y) = self.box.centre, box.centre
            seen = (new_x - x) / elapsed, (new_y - y) / elapsed
            self._velocity = (
                self._velocity[0] + _VELOCITY_SHARE * (seen[0] - self._velocity[0]),
                self._velocity[1] + _VELOCITY_SHARE * (seen[1] - self._velocity[1]),
            )
        self.box, self.seen_at = box, at

    def rest(self, at: float) -> None:
        """It has not moved."""
        self.seen_at, self._velocity = at, (0.0, 0.0)


def join(motions: Sequence[Motion], boxes: Sequence[Box], at: float) -> dict[int, int]:
    """Pairs the boxes of one frame with who is known, the likeliest pair first.

    Returns:
        The index of the motion for the index of each box that is somebody's.
    """
    pairs = sorted(
        (
            (likeness, m, b)
            for m, motion in enumerate(motions)
            for b, box in enumerate(boxes)
            if (likeness := _likeness(motion.expected(at), box)) > 0
        ),
        reverse=True,
    )
    joined: dict[int, int] = {}
    taken: set[int] = set()
    for _, m, b in pairs:
        if m not in taken and b not in joined:
            taken.add(m)
            joined[b] = m
    return joined


def _likeness(expected: Box, found: Box) -> float:
    """0 for faces that cannot be the same person; above 1 where they overlap, below where they are only near."""
    overlap = intersection_over_union(expected, found)
    if overlap >= _MIN_OVERLAP:
        return 1 + overlap
    longer, other = max(expected.width, expected.height), max(found.width, found.height)
    if not 0.5 <= other / longer <= 2:
        return 0.0
    (x, y), (other_x, other_y) = expected.centre, found.centre
    step = max(abs(x - other_x), abs(y - other_y)) / max(longer, other)
    return max(0.0, 1 - step / _MAX_STEP)
