"""What a report holds, as its own script reads it; and results to make reports of, made up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.batch import Classified
from edge.messages import Models, failed_image_record, image_record
from support.faces import face

MODELS = Models(detector="face_detector@1a2b3c4d", classifier="mask_classifier@5e6f7a8b")
JPEG = cv2.imencode(".jpg", np.full((24, 32, 3), 90, np.uint8))[1].tobytes()
FACES: dict[str, tuple[str, ...]] = {
    "mask": ("mask",),
    "no_mask": ("no_mask",),
    "uncertain": ("uncertain",),
    "mixed": ("mask", "no_mask"),
    "no_face": (),
}


def classified(path: str, kind: str, elapsed_ms: float = 7.0) -> Classified:
    """A picture of that summary, or one that could not be read if `kind` is `failed`."""
    if kind == "failed":
        return Classified(Path(path), failed_image_record(path, "the JPEG is damaged", elapsed_ms, MODELS))
    faces = [face(label, x=100 * number) for number, label in enumerate(FACES[kind])]
    return Classified(Path(path), image_record(path, (640, 480), faces, elapsed_ms, MODELS), JPEG)


def many(number: int) -> Iterator[Classified]:
    """Pictures of all kinds in turn, of which most are of masks."""
    kinds = ("mask", "mask", "no_mask", "mask", "no_face", "mask", "mixed", "mask", "uncertain", "failed")
    return (classified(f"photos/IMG_{n}.jpg", kinds[n % 10], elapsed_ms=n % 97) for n in range(number))


def data_of(report: Path, name: str) -> Any:
    """The JSON of one of its script elements: `rows`, `thumbnails` or `kinds`."""
    found = re.search(f'<script type="application/json" id="{name}">(.*?)</script>', report.read_text(), re.S)
    assert found is not None, f"{report} has no {name}"
    return json.loads(found[1])
