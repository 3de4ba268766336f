"""The people before one camera: who is who, whose verdict is open, and what is said of whom and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.people.ballot import Ballot, DecisionRule
from edge.people.tracking import Motion, Size, join
from edge.vision.analyzer import Face
from edge.vision.classifier import Label
from edge.vision.detector import Detection
from edge.vision.geometry import Box

_MIN_SEEN_SHARE = 0.5
"""A person is seen in most frames; what is found now and then (an emblem, a pattern) is none."""
_LOOK_AGAIN_S = 0.5
"""Between two looks at a face whose verdict is said, or that many looks have not decided."""
_EAGER_LOOKS = 30
_GROWN = 1.15
"""By so much a face must have grown to be looked at before its time."""
_LONGEST_HOLD_S = 60.0

Judge = Callable[[Detection], Face | None]
"""Classifies a face that was found; None for what is no face."""


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


class _Track:
    """One person, or what looked like one."""

    def __init__(self, track_id: str, box: Box, at: float, frame: Size) -> None:
        self.id = track_id
        self.motion = Motion(box, at, frame)
        self.first_seen = at
        self.frames = 0
        self.chances = 1
        """Frames of the camera since it was first seen, in which it was there or not."""
        self.chances_in_sight = 1
        """Likewise up to when it was last seen."""
        self.judged = False
        self.said: Label | None = None
        self.changes = 0
        self._ballot = Ballot(since=at)
        self._p_mask: float | None = None
        self._face: Face | None = None
        self._looks = 0
        self._look_at = at
        self._agreeing = 0
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

    def seen(self, box: Box, at: float) -> None:
        self.motion.move(box, at)
        self.frames += not self._no_face
        self.chances_in_sight = self.chances

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
            self._look_at = at + (_LOOK_AGAIN_S if self._looks > _EAGER_LOOKS else 0.0)
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
            self._agreeing = 0
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
        if self._face is None or self.frames < _MIN_SEEN_SHARE * self.chances:
            return None
        label = self._ballot.sure_winner(rule)
        if label is None or label is self.said:
            return None
        if self.said is not None and at - self._ballot.since < self._hold_s(rule):
            return None
        return self._say(label, self._face, at)

    def _hold_s(self, rule: DecisionRule) -> float:
        """How long a change must last: twice as long each time, for a face that flips for ever is hard, and no news."""
        return min(_LONGEST_HOLD_S, rule.forget_after_s * 2.0**self.changes)

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
        seen_enough = self.frames >= max(rule.min_frames, _MIN_SEEN_SHARE * self.chances_in_sight)
        if self.said is not None or self._face is None or not self.judged or not seen_enough:
            return None
        return self._say(self._ballot.winner(rule) or Label.UNCERTAIN, self._face, self.motion.seen_at)

    def was_too_small(self, rule: DecisionRule) -> bool:
        seen_enough = self.frames >= max(rule.min_frames, _MIN_SEEN_SHARE * self.chances_in_sight)
        return self._face is not None and not self.judged and seen_enough

    def state(self, updated_at: float, rule: DecisionRule) -> TrackState:
        label = self._ballot.leader()
        if label is Label.UNCERTAIN and self.said is not None:
            label = self.said
        p_mask = self._ballot.p_mask()
        return TrackState(
            self.id,
            self.motion.box,
            in_sight=self.motion.seen_at == updated_at,
            label=label,
            p_mask=self._p_mask if p_mask is None else p_mask,
            said=self.said,
            progress=self._ballot.progress(rule) if self.said is None else 1.0,
            too_small=self._face is not None and self._face.too_small,
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

    def update(self, found: Sequence[Detection], at: float, frame: Size, judge: Judge) -> list[Verdict]:
        """Takes the faces of one frame.

        Args:
            found: in the frame, in any order.
            at: when the frame was taken, in seconds of a monotonic clock.
            frame: its width and height in pixels.
            judge: classifies a face of the frame; is asked only about those that a verdict may depend on.

        Returns:
            The verdicts that became sure with this frame, and those of people who left before theirs was.
        """
        verdicts = self.forget(at)
        before, self._updated_at = self._updated_at, at
        for track in self._tracks:
            track.chances += 1
        known = list(self._tracks)
        owners = join([track.motion for track in known], [detection.box for detection in found], at, before)
        for index, detection in enumerate(found):
            track = known[owners[index]] if index in owners else self._begin(detection.box, at, frame)
            if track.wants_a_look(detection.box, at):
                track.look(judge(detection), at, self._rule)
            track.seen(detection.box, at)
            news = track.news(at, self._rule)
            if news is not None:
                verdicts.append(news)
        return verdicts

    def _begin(self, box: Box, at: float, frame: Size) -> _Track:
        self._made += 1
        track = _Track(f"{self._prefix}-{self._made}", box, at, frame)
        self._tracks.append(track)
        return track

    def hold(self, at: float) -> list[Verdict]:
        """In place of `update` when nothing has moved since the last frame: who was in sight is where they were."""
        for track in self._tracks:
            if track.motion.seen_at == self._updated_at:
                track.motion.rest(at)
        self._updated_at = at
        return self.forget(at)

    @property
    def restless(self) -> bool:
        """Whether the next frames could bring something even if nothing moves: for an open verdict, or someone lost."""
        return any(track.is_open or track.motion.seen_at != self._updated_at for track in self._tracks)

    def tracks(self) -> tuple[TrackState, ...]:
        """Everybody who is followed now, the earliest first; for the thread that calls `update`."""
        return tuple(track.state(self._updated_at, self._rule) for track in self._tracks if track.is_somebody)

    def forget(self, at: float) -> list[Verdict]:
        """Without a new frame: the last words on people who have been out of sight for too long at `at`."""
        gone = [track for track in self._tracks if at - track.motion.seen_at > self._rule.forget_after_s]
        self._tracks = [track for track in self._tracks if track not in gone]
        self.too_small += sum(track.was_too_small(self._rule) for track in gone)
        return [word for track in gone if (word := track.last_word(self._rule)) is not None]
