"""YuNet (Wu, Peng, Yu: YuNet, a tiny millisecond-level face detector, 2023) through OpenCV. The file is not bundled."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.vision.cards import ModelFile
from edge.vision.detector import Detection
from edge.vision.geometry import Box, Image

_SMALLEST_SIDE = 64


class Yunet:
    """`cv2.FaceDetectorYN` for pictures of any size.

    Args:
        path: the .onnx file of a fixed-size export.
        min_score: 0 to 1; what is below is not reported.
        overlap: intersection over union from which on the less sure one of two boxes is left out.
        candidates: how many boxes are looked at for that, the surest first.

    Raises:
        ModelError: OpenCV cannot load the file.
    """

    def __init__(self, path: Path, min_score: float, overlap: float = 0.3, candidates: int = 5000) -> None:
        try:
            self._network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), min_score, overlap, candidates)
        except cv2.error as error:
            raise ModelError(
                f"{path} is no YuNet model that OpenCV {cv2.__version__} can load ({error.err or 'unknown format'}); "
                "a file of about 130 bytes is a Git LFS pointer, download the model itself"
            ) from error

    def rows(self, image: Image) -> NDArray[np.float32]:
        """Faces of a BGR picture.

        Returns:
            Shape (n, 15), all finite: left, top, width, height; x and y of the eyes, the nose tip and the corners of
            the mouth (picture's left first), in pixels; score.
        """
        # OpenCV reads beyond the pixels of pictures that are smaller than the network's coarsest grid.
        height, width = image.shape[:2]
        right, below = (max(0, _SMALLEST_SIDE - side) for side in (width, height))
        if right or below:
            image = np.asarray(cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)
        self._network.setInputSize((image.shape[1], image.shape[0]))
        _, rows = self._network.detect(image)
        if rows is None:
            return np.zeros((0, 15), np.float32)
        return np.asarray(rows[np.isfinite(rows).all(axis=1)], np.float32)


class YunetDetector:
    """YuNet on a copy of the picture that is at most `long_side` pixels long.

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
        self._network = Yunet(path, min_score)

    def detect(self, image: Image) -> list[Detection]:
        """Faces of at least `min_score`, best first."""
        height, width = image.shape[:2]
        scale = min(1.0, self._long_side / max(height, width))
        if scale < 1:
            small = (max(1, round(width * scale)), max(1, round(height * scale)))
            image = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.uint8)
        found = []
        for x, y, box_width, box_height, *_, score in self._network.rows(image) / np.append(np.full(14, scale), 1):
            box = Box(round(x), round(y), round(box_width), round(box_height)).clipped(width, height)
            if box is not None:
                found.append(Detection(box, min(1.0, float(score))))
        return sorted(found, key=lambda detection: -detection.score)
