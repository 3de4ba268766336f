"""Whether a frame differs from an earlier one by more than its noise: a cheap answer from a coarse copy."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.geometry import Image

_COLUMNS, _ROWS = 80, 60
"""Of the coarse copy, at least: a face of 24 pixels in 640 x 480 covers three cells by three."""
_LEAST_CELL = 4
"""Pixels: below, noise does not average out."""
_ROWS_A_CELL = 4
"""Rows of the frame that are averaged in each cell; those between are passed over."""
_LEAST_CHANGE = 5.0
"""In grey levels of the most changed channel, for a patch of two cells by two."""
_NOISES = 6.0
"""Or so many times the median change of all cells, whichever is more: the largest that a sensor's noise makes."""
_MOST_NOISE = 6.0
"""A median above this is no noise: the light or the whole picture has changed."""


class ChangeDetector:
    """Compares frames with the one that was kept last.

    Differences are taken on a copy of about 80 x 60 cells, so that noise of single pixels averages out and the cost
    does not depend on the scene. Colour counts: skin before a grey wall of the same brightness is a change.
    """

    def __init__(self) -> None:
        self._kept: NDArray[np.uint8] | None = None
        self._last: NDArray[np.uint8] | None = None

    def changed(self, image: Image) -> bool:
        """Whether the frame (BGR) differs visibly from the kept one; true when there is none of its size."""
        cells = self._last = _cells(image)
        if self._kept is None or self._kept.shape != cells.shape:
            return True
        difference = cv2.blur(cv2.absdiff(cells, self._kept), (2, 2))
        median = float(np.median(difference))
        return median > _MOST_NOISE or float(difference.max()) >= max(_LEAST_CHANGE, _NOISES * median)

    def keep(self) -> None:
        """The frame that was compared last is what the next ones are compared with."""
        self._kept = self._last


def _cells(image: Image) -> NDArray[np.uint8]:
    """Means over squares of a whole number of pixels; what is left over at the right and the lower edge is left out."""
    height, width = image.shape[:2]
    cell = max(_LEAST_CELL, min(width // _COLUMNS, height // _ROWS))
    step = max(1, cell // _ROWS_A_CELL)
    rows, columns = max(1, height // cell), max(1, width // cell)
    part = image[: rows * cell : step, : columns * cell]
    return np.asarray(cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
