"""Faces over time become one verdict a person.

Faces of successive frames are joined by overlap with where each track should be by now: a constant-velocity model, as
in SORT (Bewley et al., Simple online and realtime tracking, 2016), with the velocity taken between observations and not
from a filter's own guesses, as in OC-SORT (Cao et al. 2023), so that a person who was covered for a second is found
where they come out. For the handful of faces at a door a greedy assignment does; no solver is needed.

Each joined face votes, with a weight for its quality; the verdict is said once, when enough of the weight agrees, and
again only when the person has visibly and lastingly changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from edge.vision.analyzer import Face
from edge.vision.classifier import Label
from edge.vision.geometry import Box, intersection_over_union

_MIN_OVERLAP = 0.2
_MAX_STEP = 1.0
"""How far a face may be from where it was expected, in lengths of its longer side."""
_FORESIGHT_S = 1.0
"""How long a velocity is believed without an observation."""
_VELOCITY_SHARE = 0.5
"""Of the newest observation in the velocity; the rest is what was known."""
_MIN_SEEN_SHARE = 0.5
"""A person is seen in most frames; what is found now and then (an emblem, a pattern) is none."""
_GOOD_SIZE_PX, _GOOD_SHARPNESS, _LEAST_WEIGHT = 64.0, 100.0, 0.1


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """A verdict is sure when `min_frames` decided frames have voted and `agreement` of their weight agrees."""

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


@dataclass(frozen=True, slots=True)
class TrackState:
    """A person who is followed now, as others may look at it.

    Attributes:
        id: as in the verdict.
        box: where the face was last seen, in pixels of the frame.
        in_sight: whether it was there in the last frame.
        label: the one that is forming, or that was said while nothing speaks against it.
        p_mask: of the votes so far, 0 to 1; None before the first.
        said: the last verdict; None while it is open.
        progress: share of the votes that a verdict takes at least, 0 to 1; 1 when one has been said.
        too_small: whether the face was too small to judge in the last frame that it was in.
    """

    id: str
    box: Box
    in_sight: bool
    label: Label
    p_mask: float | None
    said: Label | None
    progress: float
    too_small: bool


def weight_of(face: Face) -> float:
    """What a face's vote counts, 0.1 to 1: large, sharp and surely found ones count most."""
    size = min(1.0, min(face.box.width, face.box.height) / _GOOD_SIZE_PX)
    sharp = min(1.0, face.sharpness / _GOOD_SHARPNESS)
    return max(_LEAST_WEIGHT, size * sharp * (1.0 if face.score is None else face.score))


@dataclass(slots=True)
class _Ballot:
    """The votes since the person came, or since they began to look different from what was said."""

    votes: dict[Label, int] = field(default_factory=lambda: dict.fromkeys(Label, 0))
    weights: dict[Label, float] = field(default_factory=lambda: dict.fromkeys(Label, 0.0))
    p_mask_sum: float = 0.0
    since: float = 0.0
    best: Face | None = None

    def add(self, face: Face) -> None:
        weight = weight_of(face)
        self.votes[face.label] += 1
        if face.label is not Label.UNCERTAIN:
            self.weights[face.label] += weight
            self.p_mask_sum += weight * face.p_mask
        if self.best is None or weight >= weight_of(self.best):
            self.best = face

    def progress(self, rule: DecisionRule) -> float:
        return min(1.0, (self.votes[Label.MASK] + self.votes[Label.NO_MASK]) / rule.min_frames)

    def winner(self, rule: DecisionRule) -> Label | None:
        if self.progress(rule) < 1:
            return None
        total = sum(self.weights.values())
        return next((label for label, weight in self.weights.items() if weight >= rule.agreement * total), None)

    def leader(self) -> Label:
        """The label with most of the weight; `uncertain` before the first decided vote."""
        best = max(self.weights, key=lambda label: self.weights[label])
        return best if self.weights[best] else Label.UNCERTAIN

    def p_mask(self) -> float | None:
        """The weighted mean of the decided votes; None before the first."""
        total = sum(self.weights.values())
        return self.p_mask_sum / total if total else None


@dataclass(slots=True)
class _Track:
    id: str
    first_seen: float
    last_seen: float
    face: Face
    velocity: tuple[float, float] = (0.0, 0.0)
    frames: int = 0
    chances: int = 0
    """Frames of the camera since it was first seen, in which it was there or not."""
    chances_in_sight: int = 0
    """Likewise up to when it was last seen."""
    said: Label | None = None
    p_mask: float | None = None
    """Of what was said."""
    judged: bool = False
    ballot: _Ballot = field(default_factory=_Ballot)

    def expected(self, at: float) -> Box:
        """Where the face should be at a time."""
        elapsed = min(at - self.last_seen, _FORESIGHT_S)
        box = self.face.box
        return Box(
            round(box.x + self.velocity[0] * elapsed), round(box.y + self.velocity[1] * elapsed), box.width, box.height
        )

    def add(self, face: Face, at: float) -> None:
        elapsed = at - self.last_seen
        if elapsed > 0:
            (x, y), (new_x, new_y) = self.face.box.centre, face.box.centre
            seen = (new_x - x) / elapsed, (new_y - y) / elapsed
            self.velocity = (
                self.velocity[0] + _VELOCITY_SHARE * (seen[0] - self.velocity[0]),
                self.velocity[1] + _VELOCITY_SHARE * (seen[1] - self.velocity[1]),
            )
        self.face, self.last_seen = face, at
        self.frames += 1
        self.chances_in_sight = self.chances
        if face.too_small:
            return
        self.judged = True
        if self.said is not None and face.label is self.said:
            self.ballot = _Ballot(since=at)  # still as was said
        else:
            self.ballot.add(face)

    def sure(self, rule: DecisionRule, at: float) -> Label | None:
        """What can be said now that has not been said."""
        if self.frames < _MIN_SEEN_SHARE * self.chances:
            return None
        label = self.ballot.winner(rule)
        if self.said is not None and (label is self.said or at - self.ballot.since < rule.forget_after_s):
            return None
        return label

    def verdict(self, label: Label) -> Verdict:
        face = self.ballot.best or self.face
        p_mask = self.ballot.p_mask()
        p_mask = face.p_mask if p_mask is None else p_mask
        return Verdict(label, p_mask, self.id, self.first_seen, self.frames, dict(self.ballot.votes), face)

    def state(self, seen_at: float, rule: DecisionRule) -> TrackState:
        label = self.ballot.leader()
        if label is Label.UNCERTAIN and self.said is not None:
            label = self.said
        p_mask = self.ballot.p_mask()
        return TrackState(
            self.id,
            self.face.box,
            in_sight=self.last_seen == seen_at,
            label=label,
            p_mask=self.p_mask if p_mask is None else p_mask,
            said=self.said,
            progress=self.ballot.progress(rule) if self.said is None else 1.0,
            too_small=self.face.too_small,
        )


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
        self._updated_at = 0.0
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
        self._updated_at = at
        joined = self._join(faces, at)
        for track in self._tracks:
            track.chances += 1
        for track, face in joined:
            track.add(face, at)
            label = track.sure(self._rule, at)
            if label is not None:
                verdicts.append(track.verdict(label))
                track.said, track.p_mask, track.ballot = label, verdicts[-1].p_mask, _Ballot(since=at)
        return verdicts

    def tracks(self) -> tuple[TrackState, ...]:
        """Everybody who is followed now, the earliest first; for the thread that calls `update`."""
        return tuple(track.state(self._updated_at, self._rule) for track in self._tracks)

    def forget(self, at: float) -> list[Verdict]:
        """Without a new frame: the `uncertain` verdicts of people who have been out of sight for too long at `at`."""
        gone = [track for track in self._tracks if at - track.last_seen > self._rule.forget_after_s]
        self._tracks = [track for track in self._tracks if track not in gone]
        undecided = [
            track
            for track in gone
            if track.said is None
            and track.frames >= max(self._rule.min_frames, _MIN_SEEN_SHARE * track.chances_in_sight)
        ]
        self.too_small += sum(not track.judged for track in undecided)
        return [track.verdict(Label.UNCERTAIN) for track in undecided if track.judged]

    def _join(self, faces: Sequence[Face], at: float) -> list[tuple[_Track, Face]]:
        pairs = sorted(
            (
                (likeness, t, f)
                for t, track in enumerate(self._tracks)
                for f, face in enumerate(faces)
                if (likeness := _likeness(track.expected(at), face.box)) > 0
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
