"""Average precision and calibration on answers whose figures can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.errors import ModelError
from train.detector.calibrate import platt, supported
from train.detector.metrics import Answer, Curve, curve

_FACE = (0, 0, 10, 10)
_OTHER = (50, 50, 10, 10)


def _answer(
    found: list[tuple[tuple[int, int, int, int], float]],
    truth: list[tuple[int, int, int, int]],
    counted: list[bool] | None = None,
) -> Answer:
    return Answer(
        np.array([box for box, _ in found], np.float32).reshape(-1, 4),
        np.array([score for _, score in found], np.float32),
        np.array(truth, np.float32).reshape(-1, 4),
        np.array([True] * len(truth) if counted is None else counted, bool),
    )


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([_answer([(_FACE, 0.9)], [_FACE])], 1.0),
        ([_answer([], [_FACE])], 0.0),
        ([_answer([(_FACE, 0.9), (_OTHER, 0.8)], [_FACE])], 1.0),
        ([_answer([(_FACE, 0.8), (_OTHER, 0.9)], [_FACE])], 0.5),
        ([_answer([(_FACE, 0.9), (_FACE, 0.8)], [_FACE, _OTHER])], 0.5),
        ([_answer([(_FACE, 0.9)], [_FACE]), _answer([(_OTHER, 0.95)], [])], 0.5),
        ([_answer([(_FACE, 0.5), (_OTHER, 0.9)], [_FACE, _OTHER], [True, False])], 1.0),
        ([_answer([((0, 0, 10, 4), 0.9)], [_FACE])], 0.0),
    ],
    ids=[
        "found",
        "missed",
        "a false box below",
        "a false box above",
        "the same face twice",
        "a false box in another picture",
        "a face that is not asked for",
        "too little overlap",
    ],
)
def test_average_precision(answers: list[Answer], expected: float) -> None:
    assert curve(answers, 0.5).average_precision() == pytest.approx(expected)


def test_recall_and_precision_at_a_score() -> None:
    measured = curve([_answer([(_FACE, 0.9), ((80, 0, 5, 5), 0.6), (_OTHER, 0.4)], [_FACE, _OTHER])], 0.5)
    assert measured.recall_at(0.5) == 0.5
    assert measured.precision_at(0.5) == 0.5
    assert measured.recall_at(0.3) == 1.0
    assert measured.recall_at_precision(1.0) == (0.5, pytest.approx(0.9))


def test_without_faces_there_is_no_average_precision() -> None:
    assert math.isnan(curve([_answer([(_FACE, 0.9)], [])], 0.5).average_precision())


def test_platt_puts_one_half_where_right_and_wrong_are_even() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, 4000)
    right = rng.random(4000) < 1 / (1 + np.exp(-(3 * logits + 1.5)))
    order = np.argsort(-logits)
    scores = (1 / (1 + np.exp(-logits)))[order].astype(np.float32)
    line = platt([Curve(scores, right[order], int(right.sum()))])
    assert line.scale == pytest.approx(3, abs=0.3)
    assert line.shift == pytest.approx(1.5, abs=0.25)


def test_platt_needs_right_and_wrong_boxes() -> None:
    with pytest.raises(ModelError, match="right and wrong ones: train longer"):
        platt([Curve(np.array([0.5], np.float32), np.array([True]), 1)])


@pytest.mark.parametrize("alone", [0.1, 0.4, 3.0])
def test_what_a_lone_box_keeps_makes_the_scores_right_on_average(alone: float) -> None:
    rng = np.random.default_rng(0)
    own, others = rng.uniform(0.05, 0.95, 6000), rng.uniform(0, 4, 6000)
    odds = own / (1 - own) * (1 + others) * alone
    right = rng.random(6000) < odds / (1 + odds)
    own, total = own.astype(np.float32), (own * (1 + others)).astype(np.float32)
    support = supported(0.02, own, total, right)
    assert support.least == 0.02
    assert support.alone == pytest.approx(alone, rel=0.15)
    assert support.score(own, total).mean() == pytest.approx(right.mean(), abs=0.002)


def test_agreement_needs_right_and_wrong_boxes() -> None:
    with pytest.raises(ModelError, match="right and wrong ones: train longer"):
        supported(0.02, np.array([0.5], np.float32), np.array([0.5], np.float32), np.array([False]))
