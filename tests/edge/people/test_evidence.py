"""How much it takes for a verdict: votes that waver, faces that are hardly found, changes that do not last."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.people import People
from edge.vision.analyzer import Face
from edge.vision.classifier import Label
from support.faces import face
from support.people import FRAME_S, RULE, labels, nobody, update, verdicts


def scored(score: float, label: str = "mask") -> Face:
    return replace(face(label), score=score)


@pytest.mark.parametrize(
    "pattern",
    [
        "uuunuunuuuun",  # a print on a shirt
        "mnuumn",  # a hand
        "umum",
        "n" + 3 * "u",
    ],
)
def test_what_wavers_is_neither_the_one_nor_the_other(pattern: str) -> None:
    words = {"u": "uncertain", "n": "no_mask", "m": "mask"}
    scene = [[face(words[pattern[number % len(pattern)]])] for number in range(60)]

    assert labels(scene) == []
    assert labels([*scene, *nobody(25)]) == [Label.UNCERTAIN]


def test_progress_waits_for_what_the_verdict_waits_for() -> None:
    people = People(RULE, "boot")
    for number in range(5):
        assert update(people, [scored(0.6)], number * FRAME_S) == []

    assert people.tracks()[0].progress == pytest.approx(5 * 0.05 / 0.75)


def test_now_and_then_a_look_that_cannot_decide_does_no_harm() -> None:
    scene = [[face("uncertain" if number % 4 == 3 else "mask")] for number in range(10)]

    assert [(number, verdict.label) for number, verdict in verdicts(scene)] == [(2, Label.MASK)]


def test_who_uncovers_their_face_is_judged_by_that() -> None:
    said = verdicts([*[[face("uncertain")]] * 40, *[[face("mask")]] * 20])

    assert [verdict.label for _, verdict in said] == [Label.MASK]
    assert 40 < said[0][0] <= 56
    assert said[0][1].votes[Label.UNCERTAIN] >= 30


@pytest.mark.parametrize(
    ("scores", "somebody"),
    [
        ([0.95] * 3, True),
        ([0.68, 0.6, 0.52, 0.55], False),
        ([0.6] * 10, False),
        ([0.6] * 20, True),
        ([0.7] * 6, True),
        ([0.9, 0.0, 0.9, 0.0] * 10, False),
        ([0.95, 0.95, 0.0] * 10, True),
        ([0.7] * 3 + [0.0] * 5 + [0.7] * 3, False),
        ([0.55] * 100, False),
    ],
)
def test_a_face_must_have_been_found_surely_and_often_enough(scores: list[float], somebody: bool) -> None:
    scene = [[scored(score)] if score else [] for score in scores]

    assert labels([*scene, *nobody(25)]) == ([Label.MASK] if somebody else [])


@pytest.mark.parametrize("begins", range(5, 15))
@pytest.mark.parametrize(("frames", "changes"), [(10, False), (20, False), (30, True)])
def test_a_hand_that_looks_like_a_mask_is_none_before_it_has_lasted(begins: int, frames: int, changes: bool) -> None:
    scene = [*[[face("no_mask")]] * begins, *[[face("mask")]] * frames, *[[face("no_mask")]] * 30]

    assert labels(scene)[:2] == [Label.NO_MASK, *[Label.MASK] * changes]


@pytest.mark.parametrize(("frames", "changes"), [(70, False), (90, True)])
def test_a_change_back_must_last_four_times_as_long(frames: int, changes: bool) -> None:
    scene = [*[[face("no_mask")]] * 10, *[[face("mask")]] * 40, *[[face("no_mask")]] * frames, *[[face("mask")]] * 20]

    assert labels(scene) == [Label.NO_MASK, Label.MASK, *[Label.NO_MASK] * changes]
