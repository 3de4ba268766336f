"""Decoding against tensors made by hand, and what a card must say of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.vision.cards import ModelCard
from edge.vision.decoding import Decoding, Grid, Support, decode, detections, faces
from edge.vision.face_detector import decoding_of

_DECODING = Decoding(
    grids=(Grid(stride=8, score="s8", box="b8"), Grid(stride=16, score="s16", box="b16")),
    overlap=0.45,
    candidates=50,
    background=114,
    enlarge=2.0,
)


def _tensors(*faces: tuple[int, int, int, float, tuple[float, float, float, float]]) -> dict[str, NDArray[np.float32]]:
    """An input of 64 x 32: each face is stride, row, column, score, raw box."""
    tensors = {}
    for stride in (8, 16):
        tensors[f"s{stride}"] = np.zeros((32 // stride, 64 // stride, 1), np.float32)
        tensors[f"b{stride}"] = np.full((32 // stride, 64 // stride, 4), 9.0, np.float32)
    for stride, row, column, score, box in faces:
        tensors[f"s{stride}"][row, column] = score
        tensors[f"b{stride}"][row, column] = box
    return tensors


@pytest.mark.parametrize(
    ("face", "expected"),
    [
        ((8, 0, 0, 0.9, (0.0, 0.0, 0.0, 0.0)), (0, 0, 8, 8)),
        ((8, 3, 7, 0.9, (0.0, 0.0, 0.0, 0.0)), (56, 24, 8, 8)),
        ((8, 1, 2, 0.9, (0.5, -0.5, math.log(2), 0.0)), (16, 4, 16, 8)),
        ((16, 1, 3, 0.9, (0.0, 0.25, math.log(0.5), math.log(1.5))), (52, 16, 8, 24)),
        ((16, 0, 0, 0.5, (-1.0, 0.0, 0.0, 0.0)), (-16, 0, 16, 16)),
    ],
    ids=["first place", "last place", "moved and wide", "coarse grid", "at the threshold, outside"],
)
def test_one_place_becomes_one_box(
    face: tuple[int, int, int, float, tuple[float, float, float, float]], expected: tuple[int, ...]
) -> None:
    boxes, scores = decode(_tensors(face), _DECODING, 0.5)
    assert boxes == pytest.approx(np.array([expected], np.float32), abs=1e-4)
    assert scores == pytest.approx(np.array([face[3]], np.float32))


def test_boxes_grow_about_their_middle() -> None:
    tensors = _tensors((16, 1, 3, 0.9, (0.0, 0.25, math.log(0.5), math.log(1.5))))
    boxes, _ = decode(tensors, _DECODING.model_copy(update={"growth": 1.25}), 0.5)
    assert boxes == pytest.approx(np.array([[51, 13, 10, 30]], np.float32), abs=1e-4)


def test_places_below_the_threshold_are_left_out() -> None:
    boxes, scores = decode(_tensors((8, 0, 0, 0.49, (0, 0, 0, 0))), _DECODING, 0.5)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_of_overlapping_boxes_the_better_one_stays_also_across_grids() -> None:
    tensors = _tensors(
        (8, 0, 0, 0.6, (0.5, 0.5, math.log(2), math.log(2))),
        (16, 0, 0, 0.8, (0, 0, 0, 0)),
        (8, 3, 7, 0.7, (0, 0, 0, 0)),
    )
    boxes, scores = decode(tensors, _DECODING, 0.5)
    assert scores.tolist() == pytest.approx([0.8, 0.7])
    assert boxes[0] == pytest.approx([0, 0, 16, 16])


def test_no_more_than_the_best_candidates_are_looked_at() -> None:
    tensors = _tensors()
    tensors["s8"][..., 0] = np.linspace(0.5, 0.9, 32).reshape(4, 8)
    tensors["b8"][:] = math.log(0.5)
    boxes, scores = decode(tensors, _DECODING.model_copy(update={"candidates": 3}), 0.5)
    assert len(boxes) == 3
    assert scores[0] == pytest.approx(0.9)


def test_a_missing_output_is_named() -> None:
    tensors = _tensors()
    del tensors["s16"]
    with pytest.raises(KeyError, match="s16"):
        decode(tensors, _DECODING, 0.5)


_AGREE = Support(least=0.1, alone=0.5)
_STEP = (0.0, 0.0, math.log(2), math.log(2))
"""A box of 16 x 16 on the fine grid: two such of neighbouring places share a third, so with `overlap` 0.3 one face."""


def _agreeing(*faces: tuple[int, int, int, float, tuple[float, float, float, float]]) -> list[float]:
    decoding = _DECODING.model_copy(update={"overlap": 0.3, "support": _AGREE})
    return decode(_tensors(*faces), decoding, 0.01)[1].tolist()


def _odds(score: float, factor: float) -> float:
    odds = score / (1 - score) * factor
    return odds / (1 + odds)


def test_a_score_and_a_box_of_different_grids_are_no_pair() -> None:
    tensors = _tensors((8, 0, 0, 0.9, (0.0, 0.0, 0.0, 0.0)))
    tensors["b8"], tensors["b16"] = tensors["b16"], tensors["b8"]
    with pytest.raises(ValueError, match="reshape"):
        decode(tensors, _DECODING, 0.5)


def test_places_that_agree_make_a_score_together() -> None:
    lone = _agreeing((8, 2, 2, 0.6, _STEP))
    assert lone == pytest.approx([_odds(0.6, 0.5)])
    two = _agreeing((8, 2, 2, 0.6, _STEP), (8, 2, 3, 0.6, _STEP))
    assert two == pytest.approx([0.6]), "twice its own score makes up for half of its odds"
    three = _agreeing((8, 2, 2, 0.6, _STEP), (8, 2, 3, 0.3, _STEP), (8, 2, 1, 0.5, _STEP))
    assert three == pytest.approx([_odds(0.6, 0.5 * 1.4 / 0.6)])


def test_places_that_are_too_unsure_do_not_count() -> None:
    assert _agreeing((8, 2, 2, 0.6, _STEP), (8, 2, 3, 0.09, _STEP)) == pytest.approx([_odds(0.6, 0.5)])
    assert _agreeing((8, 2, 2, 0.09, _STEP)) == []


def test_faces_are_ordered_and_chosen_by_what_agreement_makes_of_them() -> None:
    tensors = _tensors((8, 2, 1, 0.65, _STEP), (8, 2, 6, 0.45, _STEP), (8, 2, 7, 0.45, _STEP), (8, 2, 5, 0.4, _STEP))
    decoding = _DECODING.model_copy(update={"overlap": 0.3, "support": _AGREE})
    boxes, scores = decode(tensors, decoding, 0.01)
    assert boxes[:, 0].tolist() == [44, 4]
    assert scores.tolist() == pytest.approx([_odds(0.45, 0.5 * 1.3 / 0.45), _odds(0.65, 0.5)])
    boxes, scores = decode(tensors, decoding, 0.5)
    assert boxes[:, 0].tolist() == [44], "0.65 alone is less than the threshold, 0.45 with neighbours more"
    assert decode(tensors, decoding, 0.6)[1].tolist() == []


def test_a_box_that_is_left_out_speaks_for_the_face_that_it_shares_most_with() -> None:
    left, right, between = (0, 0, 10, 10), (12, 0, 10, 10), (5, 0, 10, 10)
    boxes = np.array([left, right, between], np.float32)
    kept, own, total = faces(boxes, np.array([0.9, 0.8, 0.3], np.float32), 0.1)
    assert kept.tolist() == boxes[:2].tolist()
    assert own.tolist() == pytest.approx([0.9, 0.8])
    assert total.tolist() == pytest.approx([1.2, 0.8])


def test_a_weak_face_is_not_made_by_a_stronger_box_that_lies_nearer_to_it() -> None:
    boxes = np.array([(0, 0, 100, 100), (33, 0, 100, 100), (55, 0, 100, 100)], np.float32)
    kept, _, total = faces(boxes, np.array([0.9, 0.85, 0.1], np.float32), 0.45)
    assert kept[:, 0].tolist() == [0, 55]
    assert total.tolist() == pytest.approx([1.75, 0.1])


def test_scores_of_nothing_are_no_faces_whatever_is_asked_for() -> None:
    boxes = np.array([(0, 0, 10, 10), (1, 0, 10, 10)], np.float32)
    assert faces(boxes, np.zeros(2, np.float32), 0.45)[0].shape == (0, 4)
    assert decode(_tensors(), _DECODING, 0.0)[0].shape == (0, 4)


def test_surer_boxes_and_more_of_them_make_a_surer_face_at_the_ends_too() -> None:
    own = np.array([_AGREE.least, 0.5, 0.99, 1.0], np.float32)
    for total in (own, own * 3):
        assert (np.diff(_AGREE.score(own, total)) > 0).all()
    assert (_AGREE.score(own, own * 3) > _AGREE.score(own, own)).all()
    extreme = Support(least=0.1, alone=1e-300)
    assert extreme.score(own, own).tolist() == pytest.approx([0] * 4, abs=1e-9)
    assert Support(least=0.1, alone=1e300).score(own, own).tolist() == pytest.approx([1] * 4)


def test_where_nothing_is_seen_nothing_agrees() -> None:
    boxes, scores = decode(_tensors(), _DECODING.model_copy(update={"support": _AGREE}), 0.5)
    assert (boxes.shape, scores.shape) == ((0, 4), (0,))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 10, 20, 20), (20, 30, 40, 60)),
        ((-5, -5, 10, 10), (0, 0, 10, 15)),
        ((95, 45, 50, 50), (190, 135, 10, 15)),
        ((200, 10, 5, 5), None),
    ],
    ids=["inside", "cut at the upper left", "cut at the lower right", "outside"],
)
def test_boxes_come_back_in_pixels_of_the_picture(box: tuple[int, ...], expected: tuple[int, ...] | None) -> None:
    found = detections(np.array([box], np.float32), np.array([0.75], np.float32), (2.0, 3.0), (200, 150))
    if expected is None:
        assert found == []
    else:
        (face,) = found
        assert (face.box.x, face.box.y, face.box.width, face.box.height) == expected
        assert face.score == 0.75


def _card(**extra: object) -> ModelCard:
    return ModelCard.model_validate(
        {
            "name": "d",
            "task": "face-detector",
            "version": "1",
            "sha256": "0" * 64,
            "input": {"width": 64, "height": 32, "channels": "RGB", "dtype": "uint8", "scale": 1.0, "zero_point": 0},
            "labels": ["face"],
            "licence": "Apache-2.0",
            "created": "2026-01-01",
            **extra,
        }
    )


def test_decoding_is_read_from_the_card() -> None:
    for decoding in (_DECODING, _DECODING.model_copy(update={"support": _AGREE})):
        assert decoding_of(_card(decoding=decoding.model_dump(mode="json"))) == decoding


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({}, "decoding.grids"),
        ({"task": "mask-classifier"}, "not a face-detector"),
        ({"decoding": {**_DECODING.model_dump(), "overlap": 2}}, "decoding.overlap"),
        (
            {"decoding": {**_DECODING.model_dump(), "support": {"least": 0.1, "alone": 0}}},
            "decoding.support.alone",
        ),
        (
            {"decoding": {**_DECODING.model_dump(), "support": {"least": 0.1, "alone": math.inf}}},
            "decoding.support.alone",
        ),
    ],
    ids=["none", "another task", "out of range", "support out of range", "endless support"],
)
def test_a_card_that_cannot_be_decoded_with_is_refused(extra: dict[str, object], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        decoding_of(_card(**extra))
