"""Scenes for `People`: a list of faces a frame, ten frames a second."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edge.people import DecisionRule, Judge, People, Verdict
from edge.vision.analyzer import Face
from edge.vision.classifier import Label
from edge.vision.detector import Detection

FRAME_S = 0.1
FRAME = (1280, 720)
RULE = DecisionRule(min_frames=3, agreement=0.6, forget_after_s=2.0)


def update(people: People, faces: Sequence[Face], at: float) -> list[Verdict]:
    """One frame; the classifier says of each face what the scene says."""
    found = [Detection(each.box, each.score or 0.0) for each in faces]
    return people.update(found, at, FRAME, judge_of(faces))


def judge_of(faces: Sequence[Face]) -> Judge:
    known = {each.box: each for each in faces}
    return lambda detection: known[detection.box]


def verdicts(scene: Iterable[Sequence[Face]], rule: DecisionRule = RULE) -> list[tuple[int, Verdict]]:
    """The verdicts with the number of the frame that made each sure."""
    people = People(rule, "boot")
    return [
        (number, verdict) for number, faces in enumerate(scene) for verdict in update(people, faces, number * FRAME_S)
    ]


def labels(scene: Iterable[Sequence[Face]], rule: DecisionRule = RULE) -> list[Label]:
    return [verdict.label for _, verdict in verdicts(scene, rule)]


def nobody(frames: int) -> list[list[Face]]:
    return [[] for _ in range(frames)]
