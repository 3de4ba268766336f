"""Faces that nobody boxed: neither a find nor a miss of them is taken for the opposite."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from importlib.resources import files

import cv2
import numpy as np
import pytest

from edge.vision.geometry import overlaps
from support.components import require_shared
from train.detector import second_look
from train.detector.boxes import BARE, DOUBTFUL, MASK, NOTHING, UNTOLD
from train.detector.data import Photo, read_face_free, read_photos
from train.detector.measure import Contender, Findings, summary
from train.detector.scene import FACE, IGNORE, scene_of
from train.detector.second_look import Look, completed, look_at

_JPEG = cv2.imencode(".jpg", np.zeros((60, 600, 3), np.uint8))[1].tobytes()
_BOXED, _MASKED, _BARE, _UNTOLD, _DOUBTED, _NOTHING = ((100 * i, 0, 40, 40) for i in range(6))
_KINDS = [MASK, BARE, UNTOLD, DOUBTFUL, NOTHING]


@pytest.fixture
def photo(monkeypatch: pytest.MonkeyPatch) -> Photo:
    """One boxed face, and one of everything that a second look can see."""
    boxes = np.array([_MASKED, _BARE, _UNTOLD, _DOUBTED, _NOTHING], np.float32)
    digest = hashlib.sha256(_JPEG).hexdigest()[:12]
    monkeypatch.setattr(second_look, "_looks", lambda: {digest: Look(boxes, np.array(_KINDS))})
    given = np.array([_BOXED], np.float32)
    return Photo("p.jpg", "andrewmvd", "val", _JPEG, given, given, np.array([MASK]))


def _figures(photo: Photo, found: list[tuple[int, int, int, int]]) -> dict[str, float]:
    boxes, scores = np.array(found, np.float32), np.linspace(0.9, 0.6, len(found), dtype=np.float32)
    contender = Contender("it", lambda _: pytest.fail("nothing is to be looked for"), 0.5)
    return summary(Findings(contender, [photo], [boxes], [scores]), Findings(contender, []))


def test_a_photo_is_known_by_its_bytes(photo: Photo) -> None:
    assert completed(photo).kinds.tolist() == [MASK, *_KINDS[:-1]]
    assert look_at(b"another").kinds.tolist() == []


def test_who_finds_everybody_is_right_only_when_all_are_boxed(photo: Photo) -> None:
    figures = _figures(photo, [_MASKED, _BARE, _UNTOLD, _BOXED])
    assert figures["precision"] == 0.25
    assert figures["precision_completed"] == figures["recall_completed"] == figures["ap35_completed"] == 1
    assert figures["ap35_bare_completed"] == figures["recall_bare_completed"] == 1


def test_a_doubtful_face_counts_neither_way_and_nothing_is_false(photo: Photo) -> None:
    assert _figures(photo, [_BOXED, _DOUBTED])["precision_completed"] == 1
    assert _figures(photo, [_BOXED, _NOTHING])["precision_completed"] == 0.5


def test_a_face_that_nobody_boxed_can_be_missed(photo: Photo) -> None:
    figures = _figures(photo, [_BOXED])
    assert figures["recall"] == 1
    assert figures["recall_completed"] == 0.25
    assert figures["recall_mask_completed"] == 0.5


def test_faces_are_learned_doubtful_ones_left_open_and_the_teacher_is_not_believed_where_nothing_is(
    photo: Photo,
) -> None:
    teacher = np.array([[*_NOTHING, 0.4], [550, 0, 40, 40, 0.4]], np.float32)
    scene = scene_of(photo, teacher)
    assert scene.roles.tolist() == [FACE, FACE, FACE, FACE, IGNORE, IGNORE]
    assert scene.boxes[-1, 0] == pytest.approx(550, abs=3)
    assert scene.kinds[:5].tolist() == [MASK, *_KINDS[:-1]]


def test_no_face_is_listed_twice() -> None:
    rows = defaultdict(list)
    text = (files("train.detector") / "second_look.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        if row["seen"] not in ("doubtful", "nothing"):
            rows[row["sha256"]].append([float(row[side]) for side in ("left", "top", "width", "height")])
    assert len(rows) > 50
    for boxes in (np.array(each, np.float32) for each in rows.values()):
        assert (boxes[:, 2:] > 0).all()
        assert (overlaps(boxes, boxes) - np.eye(len(boxes))).max() < 0.35


def test_every_photo_of_the_list_is_known_and_its_boxes_lie_in_it() -> None:
    data = require_shared("data")
    known = second_look._looks()
    photos = [
        photo
        for split in ("train", "val", "test")
        for photo in [*read_photos(data, split), *read_face_free(data, split)]
    ]
    seen = {hashlib.sha256(photo.jpeg).hexdigest()[:12]: photo for photo in photos}
    assert known.keys() <= seen.keys()
    for digest, look in known.items():
        height, width = seen[digest].pixels().shape[:2]
        assert (look.boxes[:, :2] + look.boxes[:, 2:] <= (width, height)).all(), seen[digest].name
        if len(seen[digest].given):
            assert overlaps(look.boxes, seen[digest].given).max() < 0.3, seen[digest].name
