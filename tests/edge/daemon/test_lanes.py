"""What a camera's lane says of a person, and when: a camera and an analyzer that are told what to see."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
import pytest

from edge.daemon.clock import Clock
from edge.daemon.heat import Heat
from edge.daemon.lanes import CameraLane, Context, FolderLane
from edge.errors import ModelError
from edge.gate import Gate
from edge.history import History, Tally
from edge.messages import Event, PublishedImage
from edge.outbox import Entry
from edge.people import DecisionRule, People
from edge.sources import Frame
from edge.sources.dropped import Dropped
from edge.views import Views
from edge.vision.analyzer import Face
from edge.vision.detector import Detection
from edge.vision.geometry import Image
from support import clock as clocks
from support.faces import face
from support.messages import MODELS

EIGHT = datetime(2026, 11, 22, 8, tzinfo=UTC)
FRAME_S = 0.1


class Door:
    """A camera, an analyzer and a recorder in one: whoever stands there is in every frame that is taken."""

    name, region, still_fps = "door", (0.0, 0.0, 1.0, 1.0), 0.5

    def __init__(self, forget_after_s: float = 2.0) -> None:
        self.clock = clocks.Clock(0.0)
        self.somebody: Face | None = None
        self.error: Exception | None = None
        self.is_away = False
        self.events: list[Event] = []
        self.history = History()
        self.views = Views()
        clock = Clock(self.clock, lambda: EIGHT + timedelta(seconds=self.clock.now), lambda: True)
        context = Context("lobby-1", MODELS, clock, self, Tally(clock.now), self.history, publish_uncertain=False)
        people = People(DecisionRule(forget_after_s=forget_after_s), "boot")
        self.lane = CameraLane(self, self, people, context, self.views, Heat(0, lambda: None, self.clock))

    def take(self) -> Frame | None:
        picture = np.random.default_rng(round(self.clock.now * 10)).integers(0, 255, (180, 320, 3), np.uint8)
        return None if self.is_away else Frame(picture, self.clock.now)

    def find(self, _: Image) -> list[Detection]:
        if self.error is not None:
            raise self.error
        return [] if self.somebody is None else [Detection(self.somebody.box, 0.9)]

    def judge(self, _: Image, __: Detection) -> Face | None:
        return self.somebody

    def put(self, entry: Entry) -> None:
        self.events += [message for message in entry.messages if isinstance(message, Event)]

    def goes_on_for(self, seconds: float) -> None:
        for _ in range(round(seconds / FRAME_S)):
            self.lane.step()
            self.clock.now += FRAME_S


HARD_TO_SEE = replace(face("no_mask", size=30), sharpness=20.0)
"""Votes that agree and weigh little: a verdict comes of them when the person has gone."""


def test_a_verdict_on_who_is_there_is_of_the_frame_that_made_it_sure() -> None:
    door = Door()
    door.somebody = face("no_mask")
    with door.views.look("door", wants=lambda view: bool(view.verdicts)) as look:
        door.goes_on_for(1.0)
        view = look.take()

    (event,) = door.events
    assert (event.time, event.latency_ms) == (EIGHT + timedelta(seconds=0.2), 0.0)
    assert view is not None
    assert view.at == pytest.approx(0.2)


@pytest.mark.parametrize("is_away", [False, True], ids=["an empty door", "a camera that is away"])
@pytest.mark.parametrize("forget_after_s", [2.0, 60.0])
def test_a_verdict_on_who_has_left_is_of_when_they_were_last_seen(forget_after_s: float, is_away: bool) -> None:
    door = Door(forget_after_s)
    door.somebody = HARD_TO_SEE
    with door.views.look("door", wants=lambda view: bool(view.verdicts)) as look:
        door.goes_on_for(0.6)
        door.somebody, door.is_away = None, is_away
        door.goes_on_for(forget_after_s + 1)
        view = look.take()

    (event,) = door.events
    assert event.time == EIGHT + timedelta(seconds=0.5)
    assert event.latency_ms == pytest.approx((forget_after_s + FRAME_S) * 1000, abs=FRAME_S * 1000)
    assert door.history.latency().sum_s == pytest.approx(event.latency_ms / 1000)
    assert view is None, "the empty door is no picture of them"


def test_who_stands_there_while_another_lane_is_at_work_on_a_large_picture_is_not_said_again() -> None:
    door = Door()
    door.somebody = face("no_mask")
    door.goes_on_for(1.0)
    for _ in range(3):
        door.clock.now += 5.0  # of the thread that all lanes share
        door.goes_on_for(1.0)
    assert len(door.events) == 1

    door.somebody = None
    door.goes_on_for(3.0)
    door.somebody = face("no_mask")
    door.goes_on_for(1.0)
    assert len(door.events) == 2, "who has been away for long enough is somebody new"


CANNOT = [MemoryError(), cv2.error("no kernel"), ModelError("input 448x256, cannot be run: no memory")]


@pytest.mark.parametrize("error", CANNOT, ids=lambda error: type(error).__name__)
def test_frames_that_cannot_be_analysed_are_told_of_once_and_end_nothing(
    caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    door = Door()
    door.somebody, door.error = face("no_mask"), error
    door.goes_on_for(1.0)
    assert (door.events, door.lane.analysed) == ([], 0)
    door.error = None
    door.goes_on_for(1.0)

    assert len(door.events) == 1
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"source door: frames cannot be analysed: {str(error) or 'out of memory'}"
    ]


def test_nor_does_a_frame_that_there_is_no_room_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    def opens(*_: object) -> bool:
        raise cv2.error("Insufficient memory")

    door = Door()
    door.somebody = face("no_mask")
    with monkeypatch.context() as patch:
        patch.setattr(Gate, "opens", opens)
        door.goes_on_for(1.0)
    assert (door.events, door.lane.analysed) == ([], 0)
    door.goes_on_for(1.0)
    assert len(door.events) == 1


class Inbox:
    """A folder with one picture, an analyzer that fails and a recorder in one."""

    name = "inbox"

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.entries: list[Entry] = []
        clock = clocks.Clock(0.0)
        of_day = Clock(clock, lambda: EIGHT, lambda: True)
        context = Context("lobby-1", MODELS, of_day, self, Tally(of_day.now), History(), publish_uncertain=False)
        self.lane = FolderLane(self, self, context)

    def has_room(self) -> bool:
        return True

    def take(self) -> Dropped:
        return Dropped("a.jpg", "a.jpg", "0" * 64, np.zeros((8, 8, 3), np.uint8), None, 0.0)

    def analyze(self, _: Image) -> list[Face]:
        raise self.error

    def put(self, entry: Entry) -> None:
        self.entries.append(entry)


@pytest.mark.parametrize("error", CANNOT, ids=lambda error: type(error).__name__)
def test_a_file_that_cannot_be_analysed_gets_a_record_that_says_why(error: Exception) -> None:
    inbox = Inbox(error)

    assert inbox.lane.step()

    (entry,) = inbox.entries
    (record,) = entry.messages
    assert isinstance(record, PublishedImage)
    assert record.error == f"cannot be analysed: {str(error) or 'out of memory'}"
