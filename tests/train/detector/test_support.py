"""What a file's own boxes say of how much agreement matters."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.vision.cards import find_model
from edge.vision.decoding import Support
from edge.vision.face_detector import MaskAwareFaceDetector
from edge.vision.geometry import Image
from train.detector.boxes import BARE
from train.detector.calibrate import supported
from train.detector.data import Photo
from train.detector.evaluate import Part
from train.detector.support import fit_support

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


def _photo(name: str, image: Image, faces: list[tuple[int, int, int, int]]) -> Photo:
    boxes = np.array(faces, np.float32).reshape(-1, 4)
    jpeg = cv2.imencode(".png", image)[1].tobytes()
    return Photo(name, "macwin", "val", jpeg, boxes, boxes, np.full(len(faces), BARE, np.int64))


@pytest.fixture(scope="module")
def part(bare_face: Image) -> Part:
    """A portrait, larger than the input, with its box, and the same where a box is said to be false."""
    portrait = cv2.resize(bare_face, None, fx=2, fy=2)
    face, *_ = MaskAwareFaceDetector(find_model("face_detector"), 0.5).detect(portrait)
    box = (face.box.x, face.box.y, face.box.width, face.box.height)
    return Part([_photo("asked for", portrait, [box])], [_photo("not a face", portrait[:, ::-1].copy(), [])])


def test_right_and_wrong_boxes_of_large_photos_are_told_apart(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {}

    def fit(least: float, own: Floats, total: Floats, right: Flags) -> Support:
        rows.update(own=own, total=total, right=right)
        return supported(least, own, total, right)

    monkeypatch.setattr("train.detector.support.supported", fit)
    fit_support(find_model("face_detector"), part, 0.35)

    own, total, right = rows["own"], rows["total"], rows["right"]
    assert own[right].tolist() == [pytest.approx(own.max(), abs=0.01)], "the one box that is asked for"
    assert total[right] > 5 * own[right], "a face of that size is seen by many places"
    assert own[~right].max() > 0.9, "the mirror image, which is said to be none"
    assert (total >= own).all()


def test_photos_of_which_nothing_is_right_are_refused(part: Part) -> None:
    with pytest.raises(ModelError, match=r"of \d+ boxes .* 0 are right.*: train longer"):
        fit_support(find_model("face_detector"), Part([], part.face_free), 0.35)


def test_what_a_card_says_of_support_is_left_aside(part: Part, tmp_path: Path) -> None:
    fits = []
    for number, support in enumerate([None, Support(least=0.5, alone=9).model_dump()]):
        model = Path(shutil.copy(find_model("face_detector"), tmp_path / f"{number}.tflite"))
        card = json.loads(find_model("face_detector").with_suffix(".json").read_text())
        card["decoding"]["support"] = support
        model.with_suffix(".json").write_text(json.dumps(card))
        fits.append(fit_support(model, part, 0.35))
    assert fits[0] == fits[1]
