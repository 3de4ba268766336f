"""What a camera's lane says of a person, and when: a camera and an analyzer that are told what to see."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from edge.daemon.clock import Clock
from edge.daemon.heat import Heat
from edge.daemon.lanes import CameraLane, Context
from edge.history import History, Tally
from edge.messages import Event
from edge.outbox import Entry
from edge.people import DecisionRule, People
from edge.sources import Frame
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
