"""Which pictures go out, and when: what a slow link and a long round trip leave of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edge.mqtt.snapshots import STALE_S, Snapshots
from edge.mqtt.topics import Topics
from edge.people import Verdict
from edge.views import View, Views
from edge.vision.classifier import Label
from support.faces import face


@dataclass
class Link:
    """A connection and the delivery of events on it."""

    handed_over: int = 0
    answered: int = 0
    pictures: list[str] = field(default_factory=list)

    def publish_picture(self, topic: str, jpeg: bytes, expiry_s: int) -> None:
        assert jpeg[:2] == b"\xff\xd8"
        assert expiry_s == 300
        self.pictures.append(topic)


class Scene:
    """Verdicts at two cameras, each of which leaves a picture."""

    def __init__(self) -> None:
        self.views, self.link = Views(), Link()
        self.snapshots = Snapshots(
            "blurred", ["door", "gate"], self.views, Topics("maskgate", "lobby-1"), with_uncertain=False
        )

    def verdict(self, camera: str, at: float = 0.0) -> None:
        verdict = Verdict(Label.NO_MASK, 0.0, "boot-1", at, 3, {Label.NO_MASK: 3}, face("no_mask"))
        self.views.offer(View(camera, np.zeros((48, 64, 3), np.uint8), at, (), (verdict,)))
        self.link.handed_over += 1

    def turn(self, now: float = 0.0) -> list[str]:
        """The cameras whose pictures go out."""
        self.link.pictures = []
        self.snapshots.turn(self.link, self.link, now)
        return [topic.rsplit("/", 1)[1] for topic in self.link.pictures]


def test_a_picture_of_each_camera_goes_out_at_once() -> None:
    scene = Scene()
    with scene.snapshots.looking(lambda: None):
        scene.verdict("door")
        scene.verdict("gate")
        assert scene.turn() == ["door", "gate"]
        assert scene.turn() == []


def test_a_second_one_waits_until_something_has_got_through_after_the_first() -> None:
    scene = Scene()
    with scene.snapshots.looking(lambda: None):
        scene.verdict("door")
        assert scene.turn() == ["door"]
        scene.verdict("door", 1.0)
        assert scene.turn(1.0) == []
        scene.link.answered = 1  # the event before the first picture
        assert scene.turn(2.0) == []
        scene.link.answered = 2
        assert scene.turn(3.0) == ["door"]


def test_a_steady_flow_of_messages_that_are_answered_late_keeps_no_picture_back_for_long() -> None:
    scene, gone = Scene(), 0
    with scene.snapshots.looking(lambda: None):
        for number in range(100):
            scene.verdict("door", float(number))
            scene.link.answered = max(0, scene.link.handed_over - 4)
            gone += len(scene.turn(float(number)))
    assert gone >= 20


def test_a_picture_that_has_waited_for_too_long_is_left_out() -> None:
    scene = Scene()
    with scene.snapshots.looking(lambda: None):
        scene.verdict("door")
        scene.turn()
        scene.verdict("door", 1.0)
        scene.turn(1.0)
        scene.link.answered = 2
        assert scene.turn(1.1 + STALE_S) == []
        scene.verdict("door", 20.0)
        assert scene.turn(20.0) == ["door"]


def test_a_new_connection_begins_anew() -> None:
    scene = Scene()
    with scene.snapshots.looking(lambda: None):
        scene.verdict("door")
        scene.turn()
    scene.link = Link()
    with scene.snapshots.looking(lambda: None):
        scene.verdict("door")
        assert scene.turn() == ["door"]
