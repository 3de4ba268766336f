"""Assignment and loss on outputs made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the training side needs the extra `train`")

from train.detector.loss import DetectorLoss, complete_iou, places, plain_iou  # noqa: E402

_SIZE = 128
_COUNT = 16 * 16 + 8 * 8 + 4 * 4


def _outputs(logits: np.ndarray, boxes: np.ndarray) -> list[object]:
    """Flat (n,) logits and (n, 4) boxes as the network's six tensors."""
    tensors, start = [], 0
    for side in (16, 8, 4):
        tensors.append((start, side))
        start += side * side
    scores = [tf.constant(logits[a : a + s * s].reshape(1, s, s, 1)) for a, s in tensors]
    return [*scores, *(tf.constant(boxes[a : a + s * s].reshape(1, s, s, 4)) for a, s in tensors)]


def _perfect(face: tuple[float, float, float, float]) -> np.ndarray:
    """Every place answers with the same face."""
    centres, strides, _ = places(_SIZE)
    left, top, width, height = face
    offset = (np.array([left + width / 2, top + height / 2]) - centres) / strides[:, None]
    extent = np.log(np.array([[width, height]]) / strides[:, None])
    return np.concatenate([offset, extent], axis=1).astype(np.float32)


def _loss(
    face: tuple[float, float, float, float],
    logits: np.ndarray,
    ignored: tuple[float, ...] = (0, 0, 0, 0),
    certainty: float = 1.0,
) -> float:
    faces = tf.constant([[face, (0, 0, 0, 0)]], tf.float32)
    score, box = DetectorLoss(_SIZE)(
        _outputs(logits.astype(np.float32), _perfect(face)),
        faces,
        tf.constant([[ignored]], tf.float32),
        tf.constant([[certainty, 1.0]]),
        tf.constant([[1.0, 1.0]]),
    )
    assert float(box) == pytest.approx(0, abs=1e-4)
    return float(score)


@pytest.mark.parametrize(
    ("face", "levels"),
    [
        ((40, 40, 7, 8), {8}),
        ((40, 40, 20, 24), {8}),
        ((40, 40, 36, 40), {8, 16}),
        ((30, 30, 60, 70), {16, 32}),
        ((4, 4, 118, 120), {32}),
    ],
    ids=["tiny", "small", "between two levels", "large", "fills the picture"],
)
def test_faces_go_to_the_levels_of_their_size(face: tuple[float, ...], levels: set[int]) -> None:
    corners = tf.constant([_perfect(face)])  # type: ignore[arg-type]
    loss = DetectorLoss(_SIZE)
    targets = tf.constant([[(face[0], face[1], face[0] + face[2], face[1] + face[3])]], tf.float32)
    quality, owner = loss._assigned(tf.fill((1, _COUNT), 0.5), loss._decoded(corners), targets)
    _, strides, _ = places(_SIZE)
    chosen = np.flatnonzero(quality.numpy()[0] > 0)
    assert set(strides[chosen].astype(int).tolist()) == levels
    assert len(chosen) >= 1
    assert (owner.numpy()[0][chosen] == 0).all()
    assert quality.numpy().max() == pytest.approx(1, abs=1e-4)


def test_a_right_score_at_the_right_places_costs_little_and_elsewhere_much() -> None:
    face = (40.0, 40.0, 20.0, 24.0)
    centres, strides, _ = places(_SIZE)
    near = (np.abs(centres - (50, 52)).max(axis=1) < 8) & (strides == 8)
    silent = np.full(_COUNT, -9.0)
    right, wrong = silent.copy(), silent.copy()
    right[near], wrong[~near] = 9, 9
    assert _loss(face, right) < 0.1
    assert _loss(face, silent) > 0.5
    assert _loss(face, wrong) > 10


@pytest.mark.parametrize("certainty", [0.6, 0.8, 1.0])
def test_the_score_that_costs_least_is_how_certain_the_face_is(certainty: float) -> None:
    face = (40.0, 40.0, 20.0, 24.0)
    centres, strides, _ = places(_SIZE)
    near = (np.abs(centres - (50, 52)).max(axis=1) < 8) & (strides == 8)

    def cost(score: float) -> float:
        return _loss(face, np.where(near, math.log(score / (1 - score)), -9.0), certainty=certainty)

    tried = np.arange(0.5, 0.99, 0.02)
    assert tried[int(np.argmin([cost(score) for score in tried]))] == pytest.approx(min(certainty, 0.98), abs=0.021)


def test_a_box_that_is_not_to_be_learned_costs_nothing_and_its_score_as_much() -> None:
    seen, guessed = (16.0, 16.0, 20.0, 24.0), (80.0, 80.0, 20.0, 24.0)
    shifted = _perfect((84.0, 80.0, 20.0, 24.0))  # right nowhere

    def costs(framed: tuple[float, float], face: tuple[float, float, float, float]) -> tuple[float, float]:
        score, box = DetectorLoss(_SIZE)(
            _outputs(np.full(_COUNT, -1.0, np.float32), shifted),
            tf.constant([[(0, 0, 0, 0), face]], tf.float32),
            tf.constant([[(0, 0, 0, 0)]], tf.float32),
            tf.constant([[1.0, 1.0]]),
            tf.constant([framed]),
        )
        return float(score), float(box)

    for face in (seen, guessed):
        score, box = costs((0.0, 1.0), face)
        assert box > 0.1
        assert costs((1.0, 0.0), face) == (pytest.approx(score), 0)


def test_an_ignored_box_costs_nothing() -> None:
    face = (8.0, 8.0, 16.0, 16.0)
    centres, _, _ = places(_SIZE)
    logits = np.full(_COUNT, -9.0)
    logits[(centres > 80).all(axis=1)] = 9
    assert _loss(face, logits) - _loss(face, logits, (80, 80, 48, 48)) > 5


def test_a_picture_without_faces_has_a_finite_loss() -> None:
    score, box = DetectorLoss(_SIZE)(
        _outputs(np.zeros(_COUNT, np.float32), np.zeros((_COUNT, 4), np.float32)),
        tf.zeros((1, 2, 4)),
        tf.zeros((1, 1, 4)),
        tf.ones((1, 2)),
        tf.ones((1, 2)),
    )
    assert math.isfinite(float(score))
    assert float(box) == 0


def test_complete_iou_tells_apart_what_plain_iou_does_not() -> None:
    here = tf.constant([0.0, 0.0, 10.0, 10.0])
    near, far = tf.constant([20.0, 0.0, 30.0, 10.0]), tf.constant([90.0, 0.0, 100.0, 10.0])
    assert float(plain_iou(here, near)) == float(plain_iou(here, far)) == 0
    assert float(complete_iou(here, near)) > float(complete_iou(here, far))
    assert float(complete_iou(here, here)) == pytest.approx(1, abs=1e-5)
