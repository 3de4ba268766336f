"""What a teacher's doubt makes of a face's label."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.vision.geometry import Image
from edge.vision.yunet import Yunet
from train.detector.boxes import BARE, INCORRECT, MASK
from train.detector.feeder import batch_of, disturbed
from train.detector.scene import FACE, IGNORE, Scene
from train.detector.soft_labels import SoftLabels

_SHARE = 0.4
_MASKED_SHARE = 0.2


@pytest.fixture
def soft(yunet: str) -> SoftLabels:
    return SoftLabels(Path(yunet), _SHARE, _MASKED_SHARE)


@pytest.fixture
def face(bare_face: Image, yunet: str) -> np.ndarray:
    """Where the portrait's face is, shape (1, 4)."""
    return Yunet(Path(yunet), 0.5).rows(bare_face)[:1, :4]


def test_a_plain_face_keeps_its_label_and_a_box_of_nothing_loses_the_teachers_share(
    soft: SoftLabels, bare_face: Image, face: np.ndarray
) -> None:
    corner = np.array([[0, 0, 40, 48]], np.float32)
    of_face, of_corner = soft.of(bare_face, np.concatenate([face, corner]), np.array([BARE, BARE]))
    assert of_face == pytest.approx(1, abs=0.15 * _SHARE)
    assert of_corner == pytest.approx(1 - _SHARE)


def test_a_smeared_face_lies_between(soft: SoftLabels, bare_face: Image, face: np.ndarray) -> None:
    smeared = cv2.GaussianBlur(bare_face, (0, 0), float(face[0, 2]) / 5)
    (of_smear,), (of_face,) = (
        soft.of(each, face, np.array([BARE])) for each in (np.asarray(smeared, np.uint8), bare_face)
    )
    assert 1 - _SHARE <= of_smear < of_face - 0.02


def test_a_picture_without_faces_has_no_labels(soft: SoftLabels) -> None:
    assert soft.of(np.zeros((64, 64, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, int)).shape == (0,)


def test_the_teacher_may_have_another_say_of_faces_that_wear_something(yunet: str, bare_face: Image) -> None:
    corner = np.array([[0, 0, 64, 70]] * 3, np.float32)
    kinds = np.array([BARE, MASK, INCORRECT])
    assert SoftLabels(Path(yunet), 0.6, 0.35).of(bare_face, corner, kinds).tolist() == pytest.approx([0.4, 0.65, 0.65])
    assert SoftLabels(Path(yunet), 0.6, 0.0).of(bare_face, corner, kinds).tolist() == pytest.approx([0.4, 1, 1])
    assert SoftLabels(Path(yunet), 0.6).of(bare_face, corner, kinds).tolist() == pytest.approx([0.4] * 3)


def test_what_the_teacher_is_too_short_sighted_for_is_no_doubt_of_its(yunet: str) -> None:
    empty, sides = np.full((288, 288, 3), 114, np.uint8), (8, 12, 20, 36, 64)
    boxes = np.array([[0, 0, side, side] for side in sides], np.float32)
    soft = SoftLabels(Path(yunet), 0.5)
    bare, masked = (soft.of(empty, boxes, np.full(len(sides), kind)) for kind in (BARE, MASK))
    assert bare.tolist() == pytest.approx([1, 0.708, 0.5, 0.5, 0.5], abs=0.01)
    assert masked.tolist() == pytest.approx([1, 1, 1, 0.747, 0.5], abs=0.01)


def test_each_face_of_a_batch_has_its_own_label_and_ignored_boxes_have_none(
    soft: SoftLabels, bare_face: Image, face: np.ndarray
) -> None:
    boxes = np.concatenate([[[1, 1, 12, 12]], face, [[2, 2, 30, 30]]]).astype(np.float32)
    kinds = np.array([BARE, MASK, BARE])
    scene = Scene(bare_face, boxes, np.array([FACE, FACE, IGNORE]), kinds)
    hard, softened = batch_of([scene]), batch_of([scene], soft)
    assert softened.faces[0, 0].tolist() == face[0].tolist()  # the largest comes first
    assert softened.certainty[0, :2].tolist() == soft.of(bare_face, softened.faces[0, :2], kinds[[1, 0]]).tolist()
    assert (softened.certainty[0, 2:] == 1).all()
    assert (hard.certainty == 1).all()


def test_the_faults_of_a_camera_change_the_pictures_alone() -> None:
    red = np.full((32, 32, 3), (20, 40, 220), np.uint8)
    scene = Scene(red, np.array([[4, 4, 20, 20]], np.float32), np.array([FACE]), np.zeros(1, np.int64))
    before = batch_of([scene] * 8)
    after = disturbed(before, np.random.default_rng(1))
    assert after.pixels.shape == before.pixels.shape
    assert after.faces is before.faces
    assert after.certainty is before.certainty
    means = after.pixels.mean(axis=(1, 2))
    assert (np.abs(means - before.pixels.mean(axis=(1, 2))).max(axis=1) > 1).sum() >= 4
    assert (means[:, 0] >= means[:, 2] - 1).all()  # RGB still, grey ones at most equal
    assert (means[:, 0] > means[:, 2] + 50).sum() >= 4
