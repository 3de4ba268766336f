"""Faces over time become one verdict a person.

Faces of successive frames are joined greedily by overlap (the association step of SORT, Bewley et al. 2016, without its
motion model), and by nearness where a walker moves more than a face's width between two frames. Each joined face votes;
the verdict is said once, when enough votes agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from edge.vision.analyzer import Face
from edge.vision.classifier import Label
from edge.vision.geometry import Box, intersection_over_union

_MIN_OVERLAP = 0.2
_MAX_STEP = 1.0
"""How far a face may move between two frames without overlap, in lengths of its longer side."""


_SEEN = 0.5
"""A person is seen in most frames; what is found now and then (an emblem, a pattern) is none."""


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """A verdict is sure when `min_frames` decided frames have voted and a share of `agreement` of them agrees."""

    min_frames: int = 3
    agreement: float = 0.6
    forget_after_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of one person. Times are of the clock that was given to `People.update`, in seconds."""

    label: Label
    p_mask: float
    track_id: str
    first_seen: float
    frames: int
    votes: dict[Label, int]
    face: Face


@dataclass(slots=True)
class _Track:
    id: str
    first_seen: float
    last_seen: float
    face: Face
    frames: int = 0
    chances: int = 0
    """Frames of the camera since it was first seen, in which it was there or not."""
    said: bool = False
    judged: Face | None = None
    votes: dict[Label, int] = field(default_factory=lambda: dict.fromkeys(Label, 0))
    p_mask_sum: float = 0.0

    def add(self, face: Face, at: float) -> None:
        self.face, self.last_seen = face, at
        self.frames += 1
        if face.too_small:
            return
        self.judged = face
        self.votes[face.label] += 1
        if face.label is not Label.UNCERTAIN:
            self.p_mask_sum += face.p_mask

    @property
    def decided_votes(self) -> int:
        return self.votes[Label.MASK] + self.votes[Label.NO_MASK]

    def verdict(self, label: Label) -> Verdict:
        face = self.judged or self.face
        p_mask = self.p_mask_sum / self.decided_votes if self.decided_votes else face.p_mask
        return Verdict(label, p_mask, self.id, self.first_seen, self.frames, dict(self.votes), face)


class People:
    """The people before one camera.

    Args:
        rule: when a verdict is sure, and when someone is forgotten.
        prefix: begins each track id; random for each start of the program, so that ids say nothing over time.
    """

    def __init__(self, rule: DecisionRule, prefix: str) -> None:
        self._rule = rule
        self._prefix = prefix
        self._made = 0
        self._tracks: list[_Track] = []
        self.too_small = 0
        """People who came and went without ever being large enough to judge."""

    def update(self, faces: Sequence[Face], at: float) -> list[Verdict]:
        """Takes the faces of one frame.

        Args:
            faces: of the frame, in any order.
            at: when the frame was taken, in seconds of a monotonic clock.

        Returns:
            The verdicts that became sure with this frame, and `uncertain` ones of people who left undecided.
        """
        verdicts = self.forget(at)
        joined = self._join(faces, at)
        for track in self._tracks:
            track.chances += 1
        for track, face in joined:
            track.add(face, at)
            label = self._sure(track)
            if label is not None:
                track.said = True
                verdicts.append(track.verdict(label))
        return verdicts

    def forget(self, at: float) -> list[Verdict]:
        """Without a new frame: the `uncertain` verdicts of people who have been out of sight for too long at `at`."""
        gone = [track for track in self._tracks if at - track.last_seen > self._rule.forget_after_s]
        self._tracks = [track for track in self._tracks if track not in gone]
        undecided = [track for track in gone if not track.said and track.frames >= self._rule.min_frames]
        self.too_small += sum(track.judged is None for track in undecided)
        return [track.verdict(Label.UNCERTAIN) for track in undecided if track.judged is not None]

    def _join(self, faces: Sequence[Face], at: float) -> list[tuple[_Track, Face]]:
        pairs = sorted(
            (
                (likeness, t, f)
                for t, track in enumerate(self._tracks)
                for f, face in enumerate(faces)
                if (likeness := _likeness(track.face.box, face.box)) > 0
            ),
            reverse=True,
        )
        joined: dict[int, _Track] = {}
        taken: set[int] = set()
        for _, t, f in pairs:
            if t not in taken and f not in joined:
                taken.add(t)
                joined[f] = self._tracks[t]
        for f, face in enumerate(faces):
            if f not in joined:
                self._made += 1
                joined[f] = _Track(f"{self._prefix}-{self._made}", at, at, face)
                self._tracks.append(joined[f])
        return [(joined[f], face) for f, face in enumerate(faces)]

    def _sure(self, track: _Track) -> Label | None:
        if track.said or track.decided_votes < self._rule.min_frames or track.frames < _SEEN * track.chances:
            return None
        for label in (Label.MASK, Label.NO_MASK):
            if track.votes[label] >= self._rule.agreement * track.decided_votes:
                return label
        return None


def _likeness(before: Box, now: Box) -> float:
    """0 for faces that cannot be the same person; above 1 where they overlap, below where they are only near."""
    overlap = intersection_over_union(before, now)
    if overlap >= _MIN_OVERLAP:
        return 1 + overlap
    longer, other = max(before.width, before.height), max(now.width, now.height)
    if not 0.5 <= other / longer <= 2:
        return 0.0
    (x, y), (other_x, other_y) = before.centre, now.centre
    step = max(abs(x - other_x), abs(y - other_y)) / max(longer, other)
    return max(0.0, 1 - step / _MAX_STEP)
