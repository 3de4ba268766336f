"""The augmentation of the two seed projects: Keras' ImageDataGenerator ranges, without Keras.

Same order and meaning as `keras.preprocessing.image.ImageDataGenerator`: turn, shift, shear, zoom (each axis its own),
flip, outside filled with the nearest pixel. Its `shear_range` is in degrees: the seeds' 0.2 does next to nothing and is
kept as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class KerasRanges:
    """Half ranges: degrees, shares of width and height, degrees of shear, share of zoom; chance of a mirror image."""

    rotation: float = 0.0
    shift: float = 0.0
    shear: float = 0.0
    zoom: float = 0.0
    flip: float = 0.0
    """Chance of a mirror image; the seeds' `horizontal_flip=True` is 0.5."""


def distorted(image: NDArray[np.uint8], ranges: KerasRanges, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One random version of a picture, of the same shape (height, width, 3)."""
    height, width = image.shape[:2]
    turn = np.deg2rad(rng.uniform(-ranges.rotation, ranges.rotation))
    shear = np.deg2rad(rng.uniform(-ranges.shear, ranges.shear))
    zoom_x, zoom_y = rng.uniform(1 - ranges.zoom, 1 + ranges.zoom, 2)
    shift_x, shift_y = rng.uniform(-ranges.shift, ranges.shift, 2) * (width, height)
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    lean = np.array([[1.0, -np.sin(shear)], [0.0, np.cos(shear)]])
    linear = rotate @ lean @ np.diag([zoom_x, zoom_y])
    centre = np.array([width / 2 - 0.5, height / 2 - 0.5])
    # The matrix says where in the source each pixel of the result comes from, as Keras has it.
    offset = centre - linear @ centre + np.array([shift_x, shift_y])
    result = cv2.warpAffine(
        image,
        np.column_stack([linear, offset]),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(result[:, ::-1] if rng.random() < ranges.flip else result, np.uint8)
