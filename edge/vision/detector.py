"""What a face detector is, and which one a name or a path means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge.vision.cards import ModelFile, find_model, require_model_file
from edge.vision.geometry import Box, Image


@dataclass(frozen=True, slots=True)
class Detection:
    """A face: its box in pixels of the picture, clipped to it, and how sure the detector is, 0 to 1."""

    box: Box
    score: float


class FaceDetector(Protocol):
    """Finds faces. Holds a model; not to be shared by threads."""

    model: ModelFile

    def detect(self, image: Image) -> list[Detection]:
        """All faces of at least the score that the detector was made with, best first."""
        ...


def load_detector(name_or_path: str, min_score: float, threads: int = 1) -> FaceDetector:
    """Makes the detector of a bundled name, of a .tflite with its card, or of a YuNet .onnx.

    Args:
        name_or_path: which.
        min_score: 0 to 1; what is below is not reported.
        threads: that a .tflite network may use; OpenCV, which runs an .onnx, has its own.

    Raises:
        ModelError: the file is missing, damaged or of no known kind.
    """
    from edge.vision.face_detector import MaskAwareFaceDetector
    from edge.vision.yunet import YunetDetector

    path = Path(name_or_path)
    if path.suffix == ".onnx":
        require_model_file(path)
        return YunetDetector(path, min_score)
    return MaskAwareFaceDetector(find_model(name_or_path), min_score, threads)
