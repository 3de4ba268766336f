"""Which face of a frame is whose: each test is a scene, frame by frame, at ten frames a second."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.people import People
from edge.people.tracking import distinct
from edge.vision.analyzer import Face
from edge.vision.classifier import Label
from edge.vision.detector import Detection
from edge.vision.geometry import Box
from support.faces import face
from support.people import FRAME, RULE, labels, update


def cut(label: str, x: int, y: int = 100, size: int = 60) -> list[Face]:
    """A face as it is found when the frame cuts it; none where nothing of it is inside."""
    whole = face(label, x=x, y=y, size=size)
    box = whole.box.clipped(*FRAME)
    return [] if box is None or box.width < size // 3 else [replace(whole, box=box)]


def test_who_comes_in_where_another_has_just_left_is_another_person() -> None:
    leaving = [cut("no_mask", x=200 - 20 * number) for number in range(13)]
    coming = [cut("no_mask", x=-50 + 20 * number, y=140) for number in range(20)]

    assert labels([*leaving, *coming]) == [Label.NO_MASK, Label.NO_MASK]


def test_who_leaves_slowly_over_the_edge_is_still_one_person() -> None:
    assert labels([cut("mask", x=60 - 3 * number) for number in range(60)]) == [Label.MASK]


def test_a_runner_at_a_low_frame_rate_is_one_person() -> None:
    assert labels([[face("mask", x=75 * number)] for number in range(8)]) == [Label.MASK]


def test_who_paces_up_and_down_at_two_frames_a_second_is_one_person() -> None:
    people = People(RULE, "boot")
    said = [
        verdict
        for number in range(40)
        for verdict in update(people, [face("mask", x=300 + 30 * abs(number % 6 - 3))], number * 0.5)
    ]

    assert [verdict.label for verdict in said] == [Label.MASK]
    assert len(people.tracks()) == 1


@pytest.mark.parametrize("x", range(20, 41, 5))
def test_who_comes_in_before_another_who_is_just_leaving_is_another_person(x: int) -> None:
    """The one behind is never lost: from one frame to the next, the face at the edge is the nearer one's."""
    leaving = [cut("no_mask", x=200 - 20 * number) for number in range(12)]
    coming = [cut("no_mask", x=-x + 20 * number, y=104) for number in range(20)]

    assert labels([*leaving, *coming]) == [Label.NO_MASK, Label.NO_MASK]


def test_who_walks_half_out_and_comes_back_slowly_is_one_person() -> None:
    out = [cut("mask", x=50 - 8 * number) for number in range(11)]
    back = [cut("mask", x=-30 + number) for number in range(60)]

    assert labels([*out, *back]) == [Label.MASK]


@pytest.mark.parametrize("edge", ["left", "right", "top", "bottom"])
def test_who_sways_out_of_the_frame_and_back_is_one_person(edge: str) -> None:
    scene = []
    for number in range(100):
        out = 3 * abs(number % 20 - 10) - 10  # by half of the face in a second, and back
        x = {"left": -out, "right": FRAME[0] - 60 + out}.get(edge, 300)
        y = {"top": -out, "bottom": FRAME[1] - 60 + out}.get(edge, 300)
        scene.append(cut("mask", x=x, y=y))

    assert labels(scene) == [Label.MASK]


def test_who_stood_still_at_the_edge_may_come_back_with_a_step() -> None:
    people = People(RULE, "boot")
    said = [v for number in range(12) for v in update(people, cut("mask", x=200 - 20 * number), number * 0.1)]
    said += [v for number in range(12, 100) for v in people.hold(number * 0.1)]
    said += [v for number in range(10) for v in update(people, cut("mask", x=20 * number), 10 + number * 0.5)]

    assert [verdict.label for verdict in said] == [Label.MASK]
    assert len(people.tracks()) == 1


def test_who_stands_behind_another_for_long_is_still_the_same_person() -> None:
    behind = face("mask", x=300, y=110)
    comes = [[face("no_mask", x=100 + 19 * number, size=80), *[behind] * (number < 8)] for number in range(11)]
    stands = [[face("no_mask", x=290, size=80)]] * 50

    assert sorted(labels([*comes, *stands, *reversed(comes)])) == [Label.MASK, Label.NO_MASK]


def test_who_does_not_come_out_again_from_behind_another_is_forgotten() -> None:
    people = People(RULE, "boot")
    behind = face("mask", x=300, y=110)
    for number in range(150):
        nearer = face("no_mask", x=min(290, 100 + 19 * number), size=80)
        update(people, [nearer, *[behind] * (number < 8)], number * 0.1)

    assert [state.box for state in people.tracks()] == [nearer.box]


def test_a_face_that_was_found_twice_is_one_person() -> None:
    def twice(number: int) -> list[Face]:
        inner = face("no_mask", x=313, y=210, size=88)
        outer = replace(face("no_mask", x=300, y=200, size=124), score=0.95)
        return [inner, outer] if number % 2 else [inner]

    assert labels([twice(number) for number in range(40)]) == [Label.NO_MASK]


@pytest.mark.parametrize(
    ("other", "kept"),
    [
        (Box(0, 0, 100, 100), 1),
        (Box(20, 20, 60, 60), 1),
        (Box(50, 0, 60, 60), 1),
        (Box(70, 0, 60, 60), 2),
        (Box(100, 0, 60, 60), 2),
        (Box(-20, -20, 140, 140), 1),
    ],
)
def test_of_two_faces_one_within_the_other_the_surer_one_is_kept(other: Box, kept: int) -> None:
    sure = Detection(Box(0, 0, 100, 100), 0.9)

    assert distinct([Detection(other, 0.6), sure])[0] == sure
    assert len(distinct([Detection(other, 0.6), sure])) == kept
