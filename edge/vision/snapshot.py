"""A frame as a small JPEG that others may see: as it is, or as a mosaic in which nobody can be recognised."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edge.vision.geometry import Box, Image

LONG_SIDE_PX = 640
"""The longer side of a snapshot; a smaller frame keeps its size."""
CELLS = 20
"""Of the mosaic along the frame's longer side, so that a face that nobody found is coarse too."""
FACE_CELLS = 4
"""At most, across the longer side of a face that was found: the whole mosaic is as coarse as the largest face needs."""
_QUALITY = 80


def full(image: Image) -> bytes:
    """The frame as it is, made smaller; a JPEG."""
    width, height = _shown_size(image)
    shown = image if width == image.shape[1] else cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return _jpeg(np.asarray(shown, np.uint8))


def blurred(image: Image, faces: Sequence[Box]) -> bytes:
    """The whole frame as a mosaic; a JPEG. See docs/decisions/0008-snapshots.md.

    Args:
        image: BGR, any size.
        faces: all that were found in it.
    """
    width, height = _shown_size(image)
    return _jpeg(
        np.asarray(cv2.resize(mosaic(image, faces), (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
    )


def mosaic(image: Image, faces: Sequence[Box]) -> Image:
    """One pixel a cell, each the mean of what lies under it: at most `CELLS` along the longer side.

    Nothing that is finer than a cell is left, so there is nothing to bring back by sharpening.
    """
    height, width = image.shape[:2]
    cell = max(width, height) / CELLS
    for face in faces:
        cell = max(cell, max(face.width, face.height) / FACE_CELLS)
    size = max(1, int(width / cell)), max(1, int(height / cell))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _shown_size(image: Image) -> tuple[int, int]:
    height, width = image.shape[:2]
    scale = min(1.0, LONG_SIDE_PX / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _jpeg(image: Image) -> bytes:
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return encoded.tobytes()
