"""Which face of a frame is whose.

Faces of successive frames are joined by overlap with where each person should be by now: a constant-velocity model, as
in SORT (Bewley et al., Simple online and realtime tracking, 2016), with the velocity taken between observations and not
from a filter's own guesses, as in OC-SORT (Cao et al. 2023), so that a person who was covered for a second is found
where they come out. For the handful of faces at a door a greedy assignment does; no solver is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge.vision.detector import Detection
from edge.vision.geometry import Box, covered, intersection_over_union

Size = tuple[int, int]
"""Width and height of a frame in pixels."""

_SEEN_THROUGH = 0.6
"""Of a face that lies inside another: more cannot be, for the nearer one would hide it; it is one face found twice."""
_MIN_OVERLAP = 0.2
_STEP = 1.0
"""How far a face may be from where it was expected, in lengths of its longer side."""
_FIRST_STEP, _FIRST_STEP_A_S, _LONGEST_FIRST_STEP = 0.8, 6.0, 2.5
"""Likewise for who has been seen once: at least, more for each second since, at most. A run is 10 heads a second."""
_FORESIGHT_S = 1.0
"""How long a velocity is believed without an observation."""
_VELOCITY_SHARE = 0.5
"""Of the newest observation in the velocity; the rest is what was known."""
_EDGE_PX = 2
_LEAVING = 0.8
"""Lengths a second towards the edge of the frame that was touched last: a slow walk, and more than somebody sways."""
_LOST_S = 0.25
_TURNED, _TURNED_S = 0.25, 1.0
"""Nobody who walks out turns on the spot: what comes in by so many lengths within this time is the next one."""


class Motion:
    """Where a face is and how it moves. Times in seconds, places in pixels of the frame."""

    def __init__(self, box: Box, at: float, frame: Size) -> None:
        self.box = box
        self.seen_at = at
        self._frame = frame
        self._velocity: tuple[float, float] | None = None
        self._farthest_out: tuple[int, float] | None = None
        """While it leaves: the least that it reached into the frame, in pixels, and when."""

    def expected(self, at: float) -> Box:
        """Where it should be at a time."""
        elapsed = min(at - self.seen_at, _FORESIGHT_S)
        x, y = self._velocity or (0.0, 0.0)
        return Box(round(self.box.x + x * elapsed), round(self.box.y + y * elapsed), self.box.width, self.box.height)

    def move(self, box: Box, at: float) -> None:
        """Where it was found. A box at the edge of the frame is cut, and its middle moves slower than the face."""
        elapsed = at - self.seen_at
        if elapsed > 0 and not (self._velocity and (self._touched(box) or self._touched(self.box))):
            (x, y), (new_x, new_y) = self.box.centre, box.centre
            seen = (new_x - x) / elapsed, (new_y - y) / elapsed
            known = self._velocity or (0.0, 0.0)
            self._velocity = (
                known[0] + _VELOCITY_SHARE * (seen[0] - known[0]),
                known[1] + _VELOCITY_SHARE * (seen[1] - known[1]),
            )
        self.box, self.seen_at = box, at
        edge = self._touched(box)
        if edge is None or not self._leaves(box):
            self._farthest_out = None
        elif (
            self._farthest_out is None
            or at - self._farthest_out[1] > _TURNED_S
            or self._reach_in(box, edge) <= self._farthest_out[0]
        ):
            self._farthest_out = self._reach_in(box, edge), at

    def refit(self, frame: Size) -> None:
        """A camera that was away for a moment may come back with frames of another size: the same place in them."""
        if frame == self._frame:
            return
        across, down = frame[0] / self._frame[0], frame[1] / self._frame[1]
        x, y, width, height = self.box.x * across, self.box.y * down, self.box.width * across, self.box.height * down
        self.box = Box(round(x), round(y), max(1, round(width)), max(1, round(height)))
        self._frame, self._velocity, self._farthest_out = frame, None, None

    def rest(self, at: float) -> None:
        """It has not moved, so it is not leaving either."""
        self.seen_at, self._velocity, self._farthest_out = at, (0.0, 0.0), None

    def likeness(self, found: Box, at: float, before: float) -> float:
        """0 for what cannot be the same person; above 1 where it overlaps the expected box, below where it is near.

        Args:
            found: a face of the frame.
            at: when the frame was taken.
            before: when the one before it was: who was there then is not lost, however few frames there are a second.
        """
        expected, is_lost = self.expected(at), self.seen_at < before and at - self.seen_at > _LOST_S
        leaves = self._leaves(expected)
        if (is_lost and leaves) or self._comes_back(found):
            return 0.0
        overlap = intersection_over_union(expected, found)
        if overlap >= _MIN_OVERLAP:
            return 1 + overlap
        longer, other = max(expected.width, expected.height), max(found.width, found.height)
        if leaves or not 0.5 <= other / longer <= 2:
            return 0.0  # near who leaves is the next one, who comes in
        (x, y), (other_x, other_y) = expected.centre, found.centre
        distance = max(abs(x - other_x), abs(y - other_y)) / max(longer, other)
        return max(0.0, 1 - distance / self._step(at))

    def _step(self, at: float) -> float:
        if self._velocity is not None:
            return _STEP
        return min(_LONGEST_FIRST_STEP, _FIRST_STEP + _FIRST_STEP_A_S * (at - self.seen_at))

    def _gaps(self, box: Box) -> dict[tuple[int, int], int]:
        """Pixels between a box and each edge of the frame, by the direction to it."""
        width, height = self._frame
        return {
            (-1, 0): box.x,
            (1, 0): width - box.x - box.width,
            (0, -1): box.y,
            (0, 1): height - box.y - box.height,
        }

    def _touched(self, box: Box) -> tuple[int, int] | None:
        """The edge of the frame at which a box is cut, as a direction to it; the nearest of several."""
        gaps = self._gaps(box)
        direction = min(gaps, key=lambda each: gaps[each])
        return direction if gaps[direction] <= _EDGE_PX else None

    def _reach_in(self, box: Box, edge: tuple[int, int]) -> int:
        """How far into the frame a box at an edge reaches, in pixels."""
        x, y = edge
        return self._frame[0 if x else 1] - self._gaps(box)[-x, -y]

    def _comes_back(self, found: Box) -> bool:
        """Whether this face would have turned round at the edge of the frame, had it been the one that was found."""
        edge = self._touched(self.box)
        if edge is None or self._farthest_out is None:
            return False
        back = self._reach_in(found, edge) - self._farthest_out[0]
        return back > _TURNED * max(found.width, found.height)

    def _leaves(self, expected: Box) -> bool:
        """Whether the face is on its way out of the frame, or should be out of it by now."""
        (x, y), (width, height) = expected.centre, self._frame
        if not (0 <= x <= width and 0 <= y <= height):
            return True
        edge, velocity = self._touched(self.box), self._velocity
        if edge is None or velocity is None:
            return False
        return edge[0] * velocity[0] + edge[1] * velocity[1] > _LEAVING * max(self.box.width, self.box.height)


def distinct(found: Sequence[Detection]) -> list[Detection]:
    """The faces of one frame, best first, without those that were found twice."""
    kept: list[Detection] = []
    for detection in sorted(found, key=lambda each: -each.score):
        if all(covered(detection.box, other.box) < _SEEN_THROUGH for other in kept):
            kept.append(detection)
    return kept


def join(motions: Sequence[Motion], boxes: Sequence[Box], at: float, before: float) -> dict[int, int]:
    """Pairs the boxes of one frame with who is known, the likeliest pair first; see `Motion.likeness` for the times.

    Returns:
        The index of the motion for the index of each box that is somebody's.
    """
    pairs = sorted(
        (
            (likeness, m, b)
            for m, motion in enumerate(motions)
            for b, box in enumerate(boxes)
            if (likeness := motion.likeness(box, at, before)) > 0
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
