"""One person before a camera, or what looked like one: whether it is anybody, what is said of them, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge.people.ballot import Ballot, DecisionRule
from edge.people.tracking import Motion, Size
from edge.vision.analyzer import Face
from edge.vision.classifier import Label
from edge.vision.detector import Detection
from edge.vision.geometry import Box, covered

_EVEN_SCORE = 0.55
"""What a detector's score must be above to speak for a person, and by how much a frame without them speaks against.

A little above the lowest score that is reported, or what is never found surely would add up to somebody in the end.
"""
_SURE_IT_IS_SOMEBODY = 0.75
"""Of scores above the even one, summed: two faces that were surely found, or many that were not."""
_HIDDEN, _LONGEST_HIDDEN_S = 0.5, 10.0
"""So much of a face is behind another when it is hidden; and for how long that is believed."""
_LOOK_AGAIN_S = 0.5
"""Between two looks at a face whose verdict is said, or that many looks have not decided and the last one neither."""
_EAGER_LOOKS = 30
_GROWN = 1.15
"""By so much a face must have grown to be looked at before its time."""
_LONGEST_HOLD_S = 60.0


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
    gone_since: float | None = None
    """When who has left was last seen; None for who is in the frame that made the verdict sure."""


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
        progress: share of what a verdict takes, 0 to 1; 1 when one has been said.
        too_small: whether the face was too small to judge when it was last looked at.
    """

    id: str
    box: Box
    in_sight: bool
    label: Label
    p_mask: float | None
    said: Label | None
    progress: float
    too_small: bool


class Track:
    """One person, or what looked like one."""

    def __init__(self, track_id: str, box: Box, at: float, frame: Size) -> None:
        self.id = track_id
        self.motion = Motion(box, at, frame)
        self.first_seen = at
        self.frames = 0
        self.here_at = at
        """When it was last seen, or where it was seen was behind somebody else."""
        self.is_sure = False
        """Whether it has been found surely and often enough to be somebody."""
        self._presence = 0.0
        self.judged = False
        self.said: Label | None = None
        self.changes = 0
        self._ballot = Ballot(since=at)
        self._p_mask: float | None = None
        self._face: Face | None = None
        self._looks = 0
        self._look_at = at
        self._agreeing = 0
        self._contradicted_at = at
        self._no_face = False

    @property
    def is_somebody(self) -> bool:
        """Whether a classification ever took it for a face."""
        return self._face is not None

    @property
    def is_open(self) -> bool:
        """Whether the next looks are likely to say something new."""
        if self.said is None:
            return self._looks <= _EAGER_LOOKS
        return self._ballot.best is not None

    def seen(self, found: Detection, at: float) -> None:
        self.motion.move(found.box, at)
        self.here_at = at
        self.frames += not self._no_face
        self._weigh(0.0 if self._no_face else found.score)

    def rest(self, at: float) -> None:
        """It has not moved."""
        self.motion.rest(at)
        self.here_at = at

    def unseen(self, found: Sequence[Detection], at: float) -> None:
        """It is not among the faces of this frame; who is behind one of them is still there."""
        self._weigh(0.0)
        is_hidden = any(covered(self.motion.box, each.box) >= _HIDDEN for each in found)
        if is_hidden and at - self.motion.seen_at <= _LONGEST_HIDDEN_S:
            self.here_at = at

    def _weigh(self, score: float) -> None:
        """Whether this is anybody: a sum that forgets what speaks against it (CUSUM, Page 1954).

        A person is found surely in most frames. What the detector takes for a face now and then, or never surely (a
        hand, a pattern, something blurred behind), does not get there.
        """
        self._presence = max(0.0, self._presence + score - _EVEN_SCORE)
        self.is_sure = self.is_sure or self._presence >= _SURE_IT_IS_SOMEBODY

    def wants_a_look(self, box: Box, at: float) -> bool:
        """Whether a classification can bring anything: the verdict is open, in doubt, or was not looked at for long."""
        if at >= self._look_at:
            return True
        if self._face is None or self.said is not None:
            return False
        side, before = min(box.width, box.height), min(self._face.box.width, self._face.box.height)
        return side > before if self._face.too_small else side > _GROWN * before

    def look(self, face: Face | None, at: float, rule: DecisionRule) -> None:
        """Takes what a classification of it said; None for no face."""
        self._looks += 1
        if self.said is not None and at - self._contradicted_at > rule.forget_after_s:
            self._ballot = Ballot(since=at)  # a doubt that nothing has nourished for so long is none
        self._no_face = face is None
        if face is None:
            self._look_at = at + (_LOOK_AGAIN_S if self._looks > _EAGER_LOOKS else 0.0)
            return
        self._face = face
        if face.too_small:
            self._look_at = at + _LOOK_AGAIN_S
            return
        self.judged = True
        if self.said is None:
            self._ballot.add(face)
            idle = self._looks > _EAGER_LOOKS and face.label is Label.UNCERTAIN
            self._look_at = at + (_LOOK_AGAIN_S if idle else 0.0)
            return
        self._doubt(face, at, rule)

    def _doubt(self, face: Face, at: float, rule: DecisionRule) -> None:
        """After the verdict: hysteresis. Only what contradicts it begins a new ballot; a run of agreement ends that."""
        in_doubt = self._ballot.best is not None
        if face.label is self.said:
            self._agreeing += 1
            if not in_doubt or self._agreeing >= rule.min_frames:
                self._ballot = Ballot(since=at)
                self._look_at = at + _LOOK_AGAIN_S
                return
        elif face.label is not Label.UNCERTAIN:
            self._agreeing, self._contradicted_at = 0, at
            if not in_doubt:
                self._ballot = Ballot(since=at)
                in_doubt = True
        if in_doubt:
            self._ballot.add(face)
            self._look_at = at
        else:
            self._look_at = at + _LOOK_AGAIN_S

    def news(self, at: float, rule: DecisionRule) -> Verdict | None:
        """What can be said now that has not been said."""
        if self._face is None or not self.is_sure:
            return None
        label = self._ballot.sure_winner(rule)
        if label is None or label is self.said:
            return None
        if self.said is not None and (self._contradicted_at != at or at - self._ballot.since < self._hold_s(rule)):
            return None
        return self._say(label, self._face, at)

    def _hold_s(self, rule: DecisionRule) -> float:
        """How long a change must last: four times as long each time, for a face that flips for ever is no news."""
        return min(_LONGEST_HOLD_S, rule.forget_after_s * 4.0**self.changes)

    def _say(self, label: Label, face: Face, at: float) -> Verdict:
        p_mask = self._ballot.p_mask()
        verdict = Verdict(
            label,
            face.p_mask if p_mask is None else p_mask,
            self.id,
            self.first_seen,
            self.frames,
            dict(self._ballot.votes),
            self._ballot.best or face,
        )
        self.changes += self.said is not None
        self.said, self._p_mask, self._ballot = label, verdict.p_mask, Ballot(since=at)
        self._agreeing = 0
        self._look_at = at + _LOOK_AGAIN_S
        return verdict

    def last_word(self, rule: DecisionRule) -> Verdict | None:
        """Of who has gone and of whom nothing was said: what the votes say, even if they weigh little."""
        if self.said is not None or self._face is None or not (self.judged and self.was_somebody(rule)):
            return None
        seen_at = self.motion.seen_at
        return replace(self._say(self._ballot.winner(rule) or Label.UNCERTAIN, self._face, seen_at), gone_since=seen_at)

    def was_somebody(self, rule: DecisionRule) -> bool:
        return self.is_sure and self.frames >= rule.min_frames

    def was_too_small(self, rule: DecisionRule) -> bool:
        return self._face is not None and not self.judged and self.was_somebody(rule)

    def state(self, updated_at: float, rule: DecisionRule) -> TrackState:
        label = self._ballot.leader()
        if label is Label.UNCERTAIN and self.said is not None:
            label = self.said
        p_mask = self._ballot.p_mask()
        presence = 1.0 if self.is_sure else self._presence / _SURE_IT_IS_SOMEBODY
        return TrackState(
            self.id,
            self.motion.box,
            in_sight=self.motion.seen_at == updated_at,
            label=label,
            p_mask=self._p_mask if p_mask is None else p_mask,
            said=self.said,
            progress=min(presence, self._ballot.progress(rule)) if self.said is None else 1.0,
            too_small=self._face is not None and self._face.too_small,
        )
