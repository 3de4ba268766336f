"""YuNet (Wu, Peng, Yu: YuNet, a tiny millisecond-level face detector, 2023) through OpenCV. The file is not bundled."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge.errors import ModelError
from edge.vision.cards import ModelFile
from edge.vision.detector import Detection
from edge.vision.geometry import Box, Image

_NMS_IOU = 0.3
_CANDIDATES = 5000
_SMALLEST_SIDE = 64


class YunetDetector:
    """`cv2.FaceDetectorYN` on a copy of the picture that is at most `long_side` pixels long.

    Args:
        path: the .onnx file of a fixed-size export.
        min_score: 0 to 1; what is below is not reported.
        long_side: in pixels; smaller pictures are not enlarged.

    Raises:
        ModelError: OpenCV cannot load the file.
    """

    def __init__(self, path: Path, min_score: float, long_side: int = 640) -> None:
        self.model = ModelFile.of(path.stem, path)
        self._long_side = long_side
        try:
            self._network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), min_score, _NMS_IOU, _CANDIDATES)
        except cv2.error as error:
            raise ModelError(
                f"{path} is no YuNet model that OpenCV {cv2.__version__} can load ({error.err or 'unknown format'}); "
                "a file of about 130 bytes is a Git LFS pointer, download the model itself"
            ) from error

    def detect(self, image: Image) -> list[Detection]:
        """Faces of at least `min_score`, best first."""
        height, width = image.shape[:2]
        scale = min(1.0, self._long_side / max(height, width))
        if scale < 1:
            small = (max(1, round(width * scale)), max(1, round(height * scale)))
            image = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.uint8)
        # OpenCV reads beyond the pixels of pictures that are smaller than the network's coarsest grid.
        right, below = (max(0, _SMALLEST_SIDE - side) for side in (image.shape[1], image.shape[0]))
        if right or below:
            image = np.asarray(cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)
        self._network.setInputSize((image.shape[1], image.shape[0]))
        _, rows = self._network.detect(image)
        found = []
        rows = np.zeros((0, 15)) if rows is None else rows[np.isfinite(rows).all(axis=1)]
        for x, y, box_width, box_height, *_, score in rows / np.append(np.full(14, scale), 1):
            box = Box(round(x), round(y), round(box_width), round(box_height)).clipped(width, height)
            if box is not None:
                found.append(Detection(box, min(1.0, float(score))))
        return sorted(found, key=lambda detection: -detection.score)
