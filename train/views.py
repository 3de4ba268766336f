"""What the classifier is shown of a face outside training, and what the seeds' networks are shown."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.geometry import Box, Image, face_input, whole


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
