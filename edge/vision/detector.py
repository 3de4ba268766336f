"""What a face detector is, and which one a name or a path means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge.errors import ModelError
from edge.vision.geometry import Box, Image


@dataclass(frozen=True, slots=True)
class Detection:
    """A face: its box in pixels of the picture, clipped to it, and how sure the detector is, 0 to 1."""

    box: Box
    score: float


class FaceDetector(Protocol):
    """Finds faces. Holds a model; not to be shared by threads."""

    identity: str

    def detect(self, image: Image) -> list[Detection]:
        """All faces of at least the score that the detector was made with, best first."""
        ...


def load_detector(name_or_path: str, min_score: float) -> FaceDetector:
    """Makes the detector of a bundled name, of a .tflite with its card, or of a YuNet .onnx.

    Raises:
        ModelError: the file is missing, damaged or of no known kind.
    """
    path = Path(name_or_path)
    if path.suffix == ".onnx":
        from edge.vision.yunet import YunetDetector

        if not path.is_file():
            raise ModelError(f"no model file at {path}")
        return YunetDetector(path, min_score)
    from edge.vision.haar import HaarDetector

    if name_or_path == "face_detector":
        return HaarDetector()
    raise ModelError(f"{name_or_path} is no detector: give a bundled name, a .tflite with its card, or a YuNet .onnx")
