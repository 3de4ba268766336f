"""One lane a source: a picture goes in, and what it says goes to the recorder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import cv2

from edge.daemon.clock import Clock
from edge.daemon.heat import Heat
from edge.daemon.recorder import Recorder
from edge.errors import ModelError
from edge.gate import Gate
from edge.history import History, Tally
from edge.messages import (
    Event,
    EventFace,
    EventImage,
    FrameSize,
    ImageRecord,
    Models,
    PublishedImage,
    TrackField,
    Votes,
    box_field,
    failed_image_record,
    image_record,
    uuid7,
)
from edge.outbox import Entry
from edge.people import People, Verdict
from edge.plain import shown
from edge.sources import Frame
from edge.sources.camera import Camera
from edge.sources.dropped import Dropped
from edge.sources.folder import Folder
from edge.views import View, Views
from edge.vision.analyzer import Analyzer, Face
from edge.vision.classifier import Label
from edge.vision.geometry import Box, Image

log = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 0.5 + 0.01
"""Between two frames that are kept, however hot it is: at fewer than two a second, people who walk by are lost."""
_BLIND_AFTER_S = 1.0
"""Between two turns of a lane, of which there are many a second: all wait for one at work on a large picture."""
_CANNOT_BE_ANALYSED = (cv2.error, MemoryError, ModelError)
"""What one picture can end in. The last is want of memory, too: a model takes it when an input size is first used."""


@dataclass(frozen=True, slots=True)
class Context:
    """What every lane needs to make a message."""

    device: str
    models: Models
    clock: Clock
    recorder: Recorder
    tally: Tally
    history: History
    publish_uncertain: bool

    def stamp(self, at: float) -> datetime:
        """The time of day of a moment of the monotonic clock."""
        return self.clock.now() - timedelta(seconds=self.clock.monotonic() - at)

    def event(
        self,
        source: str,
        label: Label,
        face: Face,
        at: float,
        size: FrameSize,
        *,
        p_mask: float,
        track: TrackField | None,
        image: EventImage | None,
    ) -> Event:
        """An event of now about a face that was seen at `at`."""
        stamp = self.stamp(at)
        log.info("source %s: %s (p_mask %.2f)", source, label, p_mask)
        event = Event(
            id=uuid7(int(stamp.timestamp() * 1000)),
            seq=0,
            device=self.device,
            source=source,
            event_type=label,
            p_mask=p_mask,
            time=stamp,
            clock_synced=self.clock.synced(),
            track=track,
            face=EventFace(box=box_field(face.box), score=1.0 if face.score is None else face.score, frame=size),
            image=image,
            latency_ms=max(0.0, (self.clock.monotonic() - at) * 1000),
            model=self.models,
        )  # fmt: skip
        self.history.note(event)
        return event

    def wanted(self, label: Label) -> bool:
        """Whether a verdict is published; all are counted."""
        return label is not Label.UNCERTAIN or self.publish_uncertain


class CameraLane:
    """Frames of one camera become events of the people in them."""

    patience_s = 0.0

    def __init__(
        self, camera: Camera, analyzer: Analyzer, people: People, context: Context, views: Views, heat: Heat
    ) -> None:
        self.analysed = 0
        self._heat = heat
        self._passed_over = 0
        self._kept_at = self._came_at = float("-inf")
        self._stepped_at = float("inf")
        self._camera = camera
        self._analyzer = analyzer
        self._people = people
        self._gate = Gate(1 / camera.still_fps)
        self._context = context
        self._views = views
        self._too_small = 0
        self._failing = False
        self._size = FrameSize(width=0, height=0)
        self._found: tuple[Box, ...] = ()

    def step(self) -> bool:
        now = self._context.clock.monotonic()
        if now - self._stepped_at > _BLIND_AFTER_S:
            self._people.excuse(now - self._stepped_at)
        self._stepped_at = now
        frame = self._camera.take()
        if frame is None:
            self._say(self._people.forget(now), now)
            return False
        self._heat.check()
        self._passed_over = (self._passed_over + 1) % self._heat.one_in
        # The next one will come after as long a time as this one.
        next_at, self._came_at = 2 * frame.at - self._came_at, frame.at
        if self._passed_over and next_at - self._kept_at <= _LONGEST_PAUSE_S:
            return True
        self._passed_over, self._kept_at = 0, frame.at
        try:
            looks = self._gate.opens(frame.image, frame.at)
            verdicts = self._look(frame) if looks else self._people.hold(frame.at)
        except _CANNOT_BE_ANALYSED as error:
            if not self._failing:
                log.warning(
                    "source %s: frames cannot be analysed: %s", self._camera.name, str(error) or "out of memory"
                )
            self._failing = True
            return True
        if looks:
            self._failing = False
            self.analysed += 1
        self._say(verdicts, frame.at)
        self._show(frame, verdicts)
        return True

    def _look(self, frame: Frame) -> list[Verdict]:
        self._size = FrameSize(width=frame.image.shape[1], height=frame.image.shape[0])
        found = self._analyzer.find(frame.image)
        self._found = tuple(each.box for each in found)
        counting = [each for each in found if self._counts(each.box, frame.image)]
        verdicts = self._people.update(
            counting, frame.at, frame.image.shape[1::-1], partial(self._analyzer.judge, frame.image)
        )
        if self._people.restless:
            self._gate.stir(frame.at)
        return verdicts

    def _show(self, frame: Frame, verdicts: Sequence[Verdict]) -> None:
        """Leaves the frame with whoever looks; where nothing has moved, the faces are where they were.

        It shows nobody who has left, so it is not the frame of what is said of them.
        """
        name = self._camera.name
        if self._views.wanted(name):
            people = self._people.tracks()
            of_who_is_here = tuple(verdict for verdict in verdicts if verdict.gone_since is None)
            self._views.offer(View(name, frame.image, frame.at, people, of_who_is_here, self._found))

    def _counts(self, box: Box, image: Image) -> bool:
        """Whether the middle of a face lies in the region."""
        x, y, width, height = self._camera.region
        face_x, face_y = box.centre[0] / image.shape[1], box.centre[1] / image.shape[0]
        return bool(x <= face_x <= x + width and y <= face_y <= y + height)

    def _say(self, verdicts: Sequence[Verdict], now: float) -> None:
        context = self._context
        context.tally.add("too_small", self._people.too_small - self._too_small)
        self._too_small = self._people.too_small
        for verdict in verdicts:
            context.tally.add(verdict.label)
            if context.wanted(verdict.label):
                seen_at = now if verdict.gone_since is None else verdict.gone_since
                context.recorder.put(Entry((self._event(verdict, seen_at),)))

    def _event(self, verdict: Verdict, at: float) -> Event:
        return self._context.event(
            self._camera.name,
            verdict.label,
            verdict.face,
            at,
            self._size,
            p_mask=verdict.p_mask,
            track=TrackField(
                id=verdict.track_id,
                first_seen=self._context.stamp(verdict.first_seen),
                frames=verdict.frames,
                votes=Votes(**{str(label): count for label, count in verdict.votes.items()}),
            ),
            image=None,
        )


class FolderLane:
    """Dropped-in files become a record each and an event for each decided face."""

    patience_s = 25.0
    """The largest picture that is read, a progressive JPEG of 40 megapixels, on the slowest board."""

    def __init__(self, folder: Folder, analyzer: Analyzer, context: Context) -> None:
        self.analysed = 0
        self._folder = folder
        self._analyzer = analyzer
        self._context = context

    def step(self) -> bool:
        if not self._context.recorder.has_room():
            return False
        dropped = self._folder.take()
        if dropped is None:
            return False
        faces, error = self._faces(dropped)
        path = shown(dropped.name)
        elapsed_ms = (self._context.clock.monotonic() - dropped.at) * 1000
        if dropped.image is None or error is not None:
            record = failed_image_record(path, error or "", elapsed_ms, self._context.models)
            events: list[Event] = []
            log.warning("source %s: %s: %s", self._folder.name, path, error)
            self._context.tally.add("failed_images")
        else:
            height, width = dropped.image.shape[:2]
            record = image_record(path, (width, height), faces, elapsed_ms, self._context.models)
            events = self._events(dropped, faces, FrameSize(width=width, height=height))
            self._context.tally.add("images")
        self.analysed += 1
        entry = Entry((*events, self._published(record, dropped.at)), self._folder.name, dropped.claim)
        self._context.recorder.put(entry)
        return True

    def _faces(self, dropped: Dropped) -> tuple[Sequence[Face], str | None]:
        if dropped.image is None:
            return (), dropped.error
        try:
            return self._analyzer.analyze(dropped.image), None
        except _CANNOT_BE_ANALYSED as error:
            return (), f"cannot be analysed: {str(error) or 'out of memory'}"

    def _events(self, dropped: Dropped, faces: Sequence[Face], size: FrameSize) -> list[Event]:
        events = []
        for face in faces:
            self._context.tally.add("too_small" if face.too_small else face.label)
            if self._context.wanted(face.label):
                image = EventImage(path=shown(dropped.name), sha256=dropped.sha256)
                events.append(
                    self._context.event(
                        self._folder.name,
                        face.label,
                        face,
                        dropped.at,
                        size,
                        p_mask=face.p_mask,
                        track=None,
                        image=image,
                    )
                )
        return events

    def _published(self, record: ImageRecord, at: float) -> PublishedImage:
        stamp = self._context.stamp(at)
        return PublishedImage(
            **record.model_dump(by_alias=True),
            id=uuid7(int(stamp.timestamp() * 1000)),
            seq=0,
            device=self._context.device,
            source=self._folder.name,
            time=stamp,
        )
