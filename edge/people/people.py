"""The people before one camera: who is who, and whose face is looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge.people.ballot import DecisionRule
from edge.people.track import Track, TrackState, Verdict
from edge.people.tracking import Size, distinct, join
from edge.vision.analyzer import Face
from edge.vision.detector import Detection
from edge.vision.geometry import Box

_LONGEST_BLIND_S = 10.0
"""From one look to the next. Who comes back after a longer time may be anybody."""

Judge = Callable[[Detection], Face | None]
"""Classifies a face that was found; None for what is no face."""


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
        self._tracks: list[Track] = []
        self._updated_at = 0.0
        self._excused_s = 0.0
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
        self._excused_s = 0.0
        found = distinct(found)
        known = list(self._tracks)
        for track in known:
            track.motion.refit(frame)
        owners = join([track.motion for track in known], [detection.box for detection in found], at, before)
        for index, detection in enumerate(found):
            track = known[owners[index]] if index in owners else self._begin(detection.box, at, frame)
            if track.wants_a_look(detection.box, at):
                track.look(judge(detection), at, self._rule)
            track.seen(detection, at)
            news = track.news(at, self._rule)
            if news is not None:
                verdicts.append(news)
        for track in known:
            if track.motion.seen_at != at:
                track.unseen(found, at)
        return verdicts

    def _begin(self, box: Box, at: float, frame: Size) -> Track:
        self._made += 1
        track = Track(f"{self._prefix}-{self._made}", box, at, frame)
        self._tracks.append(track)
        return track

    def hold(self, at: float) -> list[Verdict]:
        """In place of `update` when nothing has moved since the last frame: who was in sight is where they were."""
        for track in self._tracks:
            if track.motion.seen_at == self._updated_at:
                track.rest(at)
        self._updated_at = at
        self._excused_s = 0.0
        return self.forget(at)

    @property
    def restless(self) -> bool:
        """Whether the next frames could bring something even if nothing moves: for an open verdict, or someone lost."""
        return any(track.is_open or track.motion.seen_at != self._updated_at for track in self._tracks)

    def tracks(self) -> tuple[TrackState, ...]:
        """Everybody who is followed now, the earliest first; for the thread that calls `update`."""
        return tuple(track.state(self._updated_at, self._rule) for track in self._tracks if track.is_somebody)

    def excuse(self, seconds: float) -> None:
        """Time without a look: who was in the last frame counts as in sight, up to `_LONGEST_BLIND_S`."""
        seconds = min(seconds, _LONGEST_BLIND_S - self._excused_s)
        self._excused_s += seconds
        for track in self._tracks:
            if track.motion.seen_at == self._updated_at:
                track.here_at += seconds

    def forget(self, at: float) -> list[Verdict]:
        """Without a new frame: the last words on people who have been out of sight for too long at `at`."""
        gone = [track for track in self._tracks if at - track.here_at > self._rule.forget_after_s]
        self._tracks = [track for track in self._tracks if track not in gone]
        self.too_small += sum(track.was_too_small(self._rule) for track in gone)
        return [word for track in gone if (word := track.last_word(self._rule)) is not None]
