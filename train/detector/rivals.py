"""Other face detectors, for comparison in the same run: YuNet, BlazeFace and OpenCV's Haar cascade."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.decoding import detections
from edge.vision.detector import Detection
from edge.vision.yunet import YunetDetector
from train.detector.measure import Contender

if TYPE_CHECKING:
    from edge.vision.geometry import Image

_YUNET_SIDES: Final = (320, 384, 640)
"""Its usual input, the long side of ours, and one for groups."""
_YUNET_SCORE: Final = 0.6
"""What its authors' 0.9 should be lowered to for masked faces (measured on 300 pictures: 0.8 loses a tenth of them)."""

_BLAZEFACE_SCORE: Final = 0.5
_HAAR_FILE: Final = "haarcascade_frontalface_default.xml"
_HAAR_LONG_SIDE: Final = 480


class BlazeFace:
    """MediaPipe's BlazeFace (Bazarevsky et al. 2019, https://arxiv.org/abs/1907.05047), 128 or 256 px, float.

    Places as its published configuration has them, for both sizes: two boxes for each of 16 x 16 places, six for each
    of 8 x 8; offsets and sizes in pixels of the input.

    Args:
        path: the .tflite file.
        min_score: 0 to 1.
    """

    def __init__(self, path: Path, min_score: float) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._outputs = {row["name"]: row["index"] for row in self._interpreter.get_output_details()}
        self._size = int(self._input["shape"][1])
        self._min_score = min_score
        self._middles = np.concatenate([self._grid(16, 2), self._grid(8, 6)])

    @staticmethod
    def _grid(count: int, boxes: int) -> NDArray[np.float32]:
        line = (np.arange(count, dtype=np.float32) + 0.5) / count
        x, y = np.meshgrid(line, line)
        return np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), boxes, axis=0)

    def detect(self, image: Image) -> list[Detection]:
        """Faces of at least `min_score`, best first."""
        height, width = image.shape[:2]
        scale = self._size / max(height, width)
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = np.zeros((self._size, self._size, 3), np.float32)
        resized = cv2.resize(image, small, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        pixels[: small[1], : small[0]] = cv2.cvtColor(resized, cv2.COLOR_BGR2RGB)
        self._interpreter.set_tensor(self._input["index"], pixels[None] / 127.5 - 1)
        self._interpreter.invoke()
        logits = self._interpreter.get_tensor(self._outputs["classificators"])[0, :, 0]
        raw = self._interpreter.get_tensor(self._outputs["regressors"])[0, :, :4]
        scores = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
        at = np.flatnonzero(scores >= self._min_score)
        middle, extent = raw[at, :2] + self._middles[at] * self._size, raw[at, 2:]
        boxes = np.concatenate([middle - extent / 2, extent], axis=1).astype(np.float32)
        kept = np.asarray(cv2.dnn.NMSBoxes(boxes.tolist(), scores[at].tolist(), 0.0, 0.3), np.intp).reshape(-1)
        return detections(boxes[kept], scores[at][kept], (width / small[0], height / small[1]), (width, height))


class Haar:
    """OpenCV's frontal face cascade; its score is the number of agreeing windows, squeezed into 0..1.

    Args:
        min_score: 0 to 1.
    """

    def __init__(self, min_score: float) -> None:
        self._min_score = min_score
        self._cascade = cv2.CascadeClassifier(str(Path(str(files("cv2"))) / "data" / _HAAR_FILE))

    def detect(self, image: Image) -> list[Detection]:
        """Faces, those with the most agreeing windows first."""
        height, width = image.shape[:2]
        scale = min(1.0, _HAAR_LONG_SIDE / max(height, width))
        grey = cv2.cvtColor(cv2.resize(image, None, fx=scale, fy=scale), cv2.COLOR_BGR2GRAY)
        boxes, counts = self._cascade.detectMultiScale2(cv2.equalizeHist(grey), 1.1, 3, minSize=(16, 16))
        if not len(boxes):
            return []
        rows = np.asarray(boxes, np.float32).reshape(-1, 4)
        scores = np.asarray(counts, np.float32).reshape(-1)
        scores = scores / (scores + 10)
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= self._min_score]
        return detections(rows[order], scores[order], (1 / scale, 1 / scale), (width, height))


def contenders(yunet: Path | None, blazeface: Path | None) -> list[Contender]:
    """The detectors to compare with: those whose files are given, and Haar where OpenCV has it.

    Args:
        yunet: an .onnx file, taken at 320, 384 and 640 px.
        blazeface: a .tflite file.
    """
    found: list[Contender] = []
    if yunet:
        found += [
            Contender(f"YuNet {side}", partial(YunetDetector, yunet, long_side=side), _YUNET_SCORE)
            for side in _YUNET_SIDES
        ]
    if blazeface:
        found.append(Contender(blazeface.stem, partial(BlazeFace, blazeface), _BLAZEFACE_SCORE))
    if hasattr(cv2, "CascadeClassifier"):
        found.append(Contender("Haar", Haar, 0.0))
    return found
