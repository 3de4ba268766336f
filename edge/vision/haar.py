"""The Haar cascade that ships inside OpenCV 4: the stand-in until the project has a detector of its own.

It finds about a third of masked faces and has no score; it is here so that a fresh installation does something at all.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np

from edge.errors import ModelError
from edge.vision.cards import ModelFile
from edge.vision.detector import Detection
from edge.vision.geometry import Box, Image

_CASCADE = "haarcascade_frontalface_alt2.xml"
_LONG_SIDE = 480
_SCORE = 1.0


class HaarDetector:
    """`cv2.CascadeClassifier` on a grey copy that is at most 480 pixels long."""

    def __init__(self) -> None:
        path = Path(str(files("cv2"))) / "data" / _CASCADE
        self._cascade = cv2.CascadeClassifier(str(path))
        if self._cascade.empty():
            raise ModelError(f"OpenCV {cv2.__version__} brings no {_CASCADE}: give [detector] model a YuNet .onnx")
        self.model = ModelFile.of("haar_frontalface", path)

    def detect(self, image: Image) -> list[Detection]:
        """Faces, the largest first; the score is always 1."""
        height, width = image.shape[:2]
        scale = min(1.0, _LONG_SIDE / max(height, width))
        grey = cv2.equalizeHist(cv2.cvtColor(cv2.resize(image, None, fx=scale, fy=scale), cv2.COLOR_BGR2GRAY))
        found = []
        for x, y, box_width, box_height in (
            np.asarray(self._cascade.detectMultiScale(grey, 1.1, 3)).reshape(-1, 4) / scale
        ):
            box = Box(round(x), round(y), round(box_width), round(box_height)).clipped(width, height)
            if box is not None:
                found.append(Detection(box, _SCORE))
        return sorted(found, key=lambda detection: -detection.box.width)
