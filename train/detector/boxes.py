"""Boxes as arrays, and the one rule by which every source's boxes are brought to ours.

Our box reaches from the hair line to the chin (or the lower edge of the mask) and from ear to ear. No source draws it
so: one begins at the brows, one takes the whole head with its hair, and YuNet's box is taken from the bare face and
sits too high on a masked one. `MARGINS` says, for each source, what has to be added on each side (negative: cut off),
as a share of the width or the height of the source's box. docs/detector.md tells how the figures were found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.vision.geometry import shared_areas

Boxes: TypeAlias = NDArray[np.float32]
"""Shape (n, 4): left, top, width, height in pixels."""

MASK: Final = 0
BARE: Final = 1
INCORRECT: Final = 2
"""Kinds of a face; a mask worn below the nose or under the chin is of a kind of its own."""

UNTOLD: Final = 3
DOUBTFUL: Final = 4
NOTHING: Final = 5
"""What only a second look says (`train.detector.second_look`): a face of which cannot be told what it wears; perhaps a
face; and no face, whatever a detector took it for."""

GUESSED: Final = 6
"""A face that a teacher alone has boxed, in a photo that nobody has; bare, as far as is known."""


@dataclass(frozen=True, slots=True)
class Margins:
    """What is added to each side of a box, as shares of its width (left, right) and height (top, bottom)."""

    left: float
    top: float
    right: float
    bottom: float


MARGINS: Final = {
    "andrewmvd": Margins(0.0, 0.12, 0.0, 0.0),
    "macwin": Margins(-0.06, -0.14, -0.06, -0.03),
    "teacher_mask": Margins(0.035, -0.055, 0.035, 0.06),
    "teacher_bare": Margins(0.035, -0.045, 0.035, 0.015),
    "second_look": Margins(-0.02, -0.02, -0.02, -0.02),  # boxes as our detector gives them, which have grown by 4 %
}


def to_our_rule(boxes: Boxes, margins: Margins) -> Boxes:
    """Moves the sides of boxes by shares of their size.

    Args:
        boxes: shape (n, 4), left, top, width, height.
        margins: what to add on each side.

    Returns:
        The same shape.
    """
    left, top, width, height = np.asarray(boxes, np.float32).reshape(-1, 4).T
    return np.stack(
        [
            left - margins.left * width,
            top - margins.top * height,
            width * (1 + margins.left + margins.right),
            height * (1 + margins.top + margins.bottom),
        ],
        axis=1,
    ).astype(np.float32)


def share_inside(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """How much of every box of `a` lies inside every box of `b`: shape (n, m), 0 to 1."""
    a, b = np.reshape(a, (-1, 4)), np.reshape(b, (-1, 4))
    return np.asarray(shared_areas(a, b) / np.maximum(a[:, 2] * a[:, 3], 1e-9)[:, None], np.float32)


def sizes(boxes: Boxes) -> NDArray[np.float32]:
    """Square root of the area of each box, in pixels: shape (n,)."""
    area = np.asarray(boxes).reshape(-1, 4)[:, 2:].prod(axis=1)
    return np.asarray(np.sqrt(np.clip(area, 0, None)), np.float32)
