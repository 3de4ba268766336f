"""Things that are no face, cut out along their outline: animals and objects that detectors fire on, to be pasted.

Face-free photos are few, and what a detector takes for a face on them is soon learned by heart. A folder of PNG files
with transparency costs nothing more and can be laid anywhere, at any size (docs/detector.md says which was used).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from edge.errors import ImageError, UsageError
from edge.vision.probe import still_picture
from train.detector.data import decode, read_file
from train.detector.paste import Cutout

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_LONG_SIDE: Final = 480
"""Larger pictures are shrunk to this, pixels: more is never shown."""

_SEEN: Final = 8
"""Opacity from which on a pixel belongs to the object, of 255."""

_LEAST: Final = 24
"""Pixels an object must have in both directions."""


def png_files(folder: Path) -> list[Path]:
    """Every PNG file below a folder, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".png" and path.is_file())


def read_objects(folder: Path) -> list[Cutout]:
    """Reads every PNG file with transparency below a folder, in the order of their names, each cut to its outline.

    One that is damaged or too large is named in the log and left out.

    Args:
        folder: holds nothing that shows a human face.

    Raises:
        UsageError: there is no such file.
    """
    found = [cutout for path in png_files(folder) if (cutout := _read(path))]
    if not found:
        raise UsageError(f"{folder} holds no PNG file with transparency")
    return found


def _read(path: Path) -> Cutout | None:
    try:
        data = read_file(path)
        decode(data, str(path))  # It holds the limits; only what it can read is read with transparency, too.
    except ImageError as error:
        log.warning("%s; it is left out", error)
        return None
    image = cv2.imdecode(np.frombuffer(still_picture(data), np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.shape[2] != 4 or image.dtype != np.uint8:
        return None
    rows, columns = np.nonzero(image[..., 3] > _SEEN)
    if not len(rows) or min(np.ptp(rows), np.ptp(columns)) + 1 < _LEAST:
        return None
    image = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    factor = _LONG_SIDE / max(image.shape[:2])
    if factor < 1:
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    box = np.array([0, 0, image.shape[1], image.shape[0]], np.float32)
    return Cutout(np.ascontiguousarray(image[..., :3]), np.ascontiguousarray(image[..., 3]), box, None)
