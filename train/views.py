"""What the classifier is shown of a face outside training, and what the seeds' networks are shown."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from edge.vision.geometry import Box, Image, face_input, whole
from train.samples import Sample

_LARGEST_BOX = 4
"""Longer side of a box in longer sides of its picture; a face that is larger is none."""
_LEAST_INSIDE = 1 / 3
"""Of a box; of the least in the data sets that are known here three fifths lie in the picture."""


def check_box(sample: Sample, image: Image) -> None:
    """Refuses a face box that has nothing to do with its picture.

    Raises:
        UsageError: most of it lies outside, or it is far larger.
    """
    if sample.box is None:
        return
    height, width = image.shape[:2]
    too_large = max(sample.box.width, sample.box.height) > _LARGEST_BOX * max(width, height)
    inside = sample.box.clipped(width, height)
    area = sample.box.width * sample.box.height
    if too_large or inside is None or inside.width * inside.height < _LEAST_INSIDE * area:
        raise UsageError(
            f"{sample.path}: its face box ({sample.box.x}, {sample.box.y}, {sample.box.width} x {sample.box.height}) "
            f"does not lie in the picture of {width} x {height} pixels; mend the manifest or annotations.json"
        )


def face_view(kind: str, image: Image, box: Box | None, margin: float, size: int) -> NDArray[np.uint8]:
    """The daemon's own crop: a published crop whole, any other face by its box.

    Args:
        kind: of the sample; a `crop` has been framed by its publisher.
        image: BGR.
        box: the face in pixels of `image`; without one the picture is the face.
        margin: share of the longer side of the box on each side.
        size: side of the result in pixels.

    Returns:
        RGB, shape (size, size, 3).
    """
    if kind == "crop" or box is None:
        return face_input(image, whole(image), 0.0, (size, size))
    return face_input(image, box, margin, (size, size))


def squashed(image: Image, size: int) -> NDArray[np.uint8]:
    """The whole picture as a square without regard to its shape, as the seeds resize; RGB, shape (size, size, 3)."""
    square = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(square, cv2.COLOR_BGR2RGB), np.uint8)
