"""The detectors that ours is compared with: their boxes lie where their faces are."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from edge.sources.demo import portrait
from edge.vision.geometry import Box
from train.detector.rivals import BlazeFace, Haar, contenders

_FACE = Box(140, 20, 256, 330)
"""In the bundled portrait."""

_HAS_HAAR = hasattr(cv2, "CascadeClassifier")


class _Interpreter:
    """Stands in for the runtime with BlazeFace: whatever it is shown, the same logits and boxes come out."""

    shown: np.ndarray
    logits = np.full((1, 896, 1), -20, np.float32)
    boxes = np.zeros((1, 896, 16), np.float32)

    def __init__(self, **_: object) -> None: ...

    def allocate_tensors(self) -> None: ...

    def get_input_details(self) -> list[dict[str, Any]]:
        return [{"shape": (1, 128, 128, 3), "index": 0}]

    def get_output_details(self) -> list[dict[str, Any]]:
        return [{"name": "regressors", "index": 1}, {"name": "classificators", "index": 2}]

    def set_tensor(self, _index: int, values: np.ndarray) -> None:
        type(self).shown = values

    def invoke(self) -> None: ...

    def get_tensor(self, index: int) -> np.ndarray:
        return (self.boxes, self.logits)[index - 1]


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> type[_Interpreter]:
    """A class of its own, so that no test sees the answers of another."""

    class Own(_Interpreter):
        logits, boxes = _Interpreter.logits.copy(), _Interpreter.boxes.copy()

    module = ModuleType("interpreter")
    module.Interpreter = Own  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "ai_edge_litert.interpreter", module)
    return Own


def test_a_box_of_blazeface_is_counted_from_the_middle_of_its_place(runtime: type[_Interpreter]) -> None:
    # Row 3, column 5 of the 16 x 16 places, the second of its two boxes: its middle is (44, 28) of 128 pixels.
    runtime.logits[0, (3 * 16 + 5) * 2 + 1] = 2
    runtime.boxes[0, (3 * 16 + 5) * 2 + 1, :4] = (4, -4, 32, 40)
    # Row 6, column 1 of the 8 x 8 places, the last of its six boxes: its middle is (24, 104).
    runtime.logits[0, 16 * 16 * 2 + (6 * 8 + 1) * 6 + 5] = 3
    runtime.boxes[0, 16 * 16 * 2 + (6 * 8 + 1) * 6 + 5, :4] = (0, 0, 16, 16)
    found = BlazeFace(Path("any.tflite"), 0.5).detect(np.zeros((256, 256, 3), np.uint8))
    assert [face.box for face in found] == [Box(32, 192, 32, 32), Box(64, 8, 64, 80)]
    assert [face.score for face in found] == pytest.approx([1 / (1 + np.exp(-3)), 1 / (1 + np.exp(-2))])


def test_blazeface_sees_rgb_from_minus_one_to_one_in_the_upper_left_corner(runtime: type[_Interpreter]) -> None:
    image = np.zeros((64, 128, 3), np.uint8)
    image[..., 2] = 255
    assert BlazeFace(Path("any.tflite"), 0.5).detect(image) == []
    assert runtime.shown.shape == (1, 128, 128, 3)
    assert runtime.shown[0, 0, 0].tolist() == [1, -1, -1]
    assert runtime.shown[0, 100, 0].tolist() == [-1, -1, -1]


def test_of_two_boxes_of_one_face_blazeface_keeps_the_surer(runtime: type[_Interpreter]) -> None:
    runtime.logits[0, 600:602, 0] = (1, 2)
    runtime.boxes[0, 600:602, :4] = (0, 0, 60, 60)
    found = BlazeFace(Path("any.tflite"), 0.5).detect(np.zeros((128, 128, 3), np.uint8))
    assert [face.score for face in found] == pytest.approx([1 / (1 + np.exp(-2))])


@pytest.mark.skipif(not _HAS_HAAR, reason="this OpenCV has no cascades")
@pytest.mark.parametrize("scale", [1, 2])
def test_haar_finds_the_face_of_the_portrait_whatever_its_size(scale: int) -> None:
    picture = np.asarray(cv2.resize(portrait(), None, fx=scale, fy=scale), np.uint8)
    best = Haar(0.0).detect(picture)[0]
    x, y = best.box.centre
    assert _FACE.x < x / scale < _FACE.x + _FACE.width
    assert _FACE.y < y / scale < _FACE.y + _FACE.height
    assert 0.5 < best.box.width / scale / _FACE.width < 1.5
    assert Haar(best.score + 1e-6).detect(picture) == []


@pytest.mark.skipif(not _HAS_HAAR, reason="this OpenCV has no cascades")
def test_haar_finds_nothing_on_a_wall() -> None:
    assert Haar(0.0).detect(np.full((200, 300, 3), 128, np.uint8)) == []


def test_only_detectors_whose_files_are_given_are_compared() -> None:
    always = ["Haar"] if _HAS_HAAR else []
    assert [each.name for each in contenders(None, None)] == always
    named = [each.name for each in contenders(Path("yunet.onnx"), Path("blaze.tflite"))]
    assert named == ["YuNet 320", "YuNet 384", "YuNet 640", "blaze", *always]
