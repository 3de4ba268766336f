"""Boxes, and the square of pixels that is cut around one for a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
"""Shape (height, width, 3), blue-green-red as OpenCV reads it. Models see RGB; their small input is what is swapped."""


_LARGEST_SIDE = 4096


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels; `x`, `y` is its upper left corner."""

    x: int
    y: int
    width: int
    height: int

    @property
    def centre(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2

    def clipped(self, width: int, height: int) -> Box | None:
        """The part inside a picture of `width` x `height` pixels, None if there is none."""
        left, top = max(self.x, 0), max(self.y, 0)
        right, bottom = min(self.x + self.width, width), min(self.y + self.height, height)
        if right <= left or bottom <= top:
            return None
        return Box(left, top, right - left, bottom - top)


def whole(image: Image) -> Box:
    """The box that is the picture itself."""
    return Box(0, 0, image.shape[1], image.shape[0])


def _shared(a: Box, b: Box) -> int:
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    return max(0, width) * max(0, height)


def intersection_over_union(a: Box, b: Box) -> float:
    """Overlap of two boxes, 0 (apart) to 1 (the same)."""
    shared = _shared(a, b)
    return shared / (a.width * a.height + b.width * b.height - shared)


def covered(a: Box, b: Box) -> float:
    """How much of the smaller of two boxes lies inside the other, 0 to 1."""
    return _shared(a, b) / min(a.width * a.height, b.width * b.height)


def overlaps(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of every box of one set with every box of the other.

    Args:
        a: shape (n, 4), left, top, width, height.
        b: shape (m, 4).

    Returns:
        Shape (n, m), 0 to 1.
    """
    a, b = np.reshape(a, (-1, 4)), np.reshape(b, (-1, 4))
    shared = shared_areas(a, b)
    union = (a[:, 2] * a[:, 3])[:, None] + b[:, 2] * b[:, 3] - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float32)


def shared_areas(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """What every box of one set shares with every box of the other, in square pixels; shapes as in `overlaps`."""
    left, top, width, height = a.T[:, :, None]
    x, y, wide, high = b.T[:, None]
    across = np.minimum(left + width, x + wide) - np.maximum(left, x)
    down = np.minimum(top + height, y + high) - np.maximum(top, y)
    return np.asarray(np.maximum(across, 0) * np.maximum(down, 0), np.float32)


def face_input(image: Image, box: Box, margin: float, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Cuts the square around a face and brings it to a model's input. Serving and training both call this.

    Args:
        image: the picture, BGR.
        box: the face, in pixels of the picture; may reach outside.
        margin: what is added on each side, as a share of the longer side of the box (0.1 makes the square 1.2 times as
            long). Outside the picture its edge pixels are repeated.
        size: width and height of the result in pixels.

    Returns:
        RGB, shape (size[1], size[0], 3).
    """
    side = max(1, round(max(box.width, box.height) * (1 + 2 * margin)))
    if side > _LARGEST_SIDE:
        # A square far larger than any model's input would be made of padding for the most part; shrink first.
        scale = _LARGEST_SIDE / side
        small = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        shrunk = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.uint8)
        scaled = Box(*(round(value * scale) for value in (box.x, box.y, box.width, box.height)))
        return face_input(shrunk, scaled, margin, size)
    centre_x, centre_y = box.centre
    left, top = round(centre_x - side / 2), round(centre_y - side / 2)
    height, width = image.shape[:2]
    inside: Image = image[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)]
    if inside.size == 0:
        raise ValueError(f"{box} lies outside the picture of {width} x {height} pixels")
    if inside.shape[:2] != (side, side):
        above, before = max(-top, 0), max(-left, 0)
        inside = np.asarray(
            cv2.copyMakeBorder(
                inside,
                above,
                side - above - inside.shape[0],
                before,
                side - before - inside.shape[1],
                cv2.BORDER_REPLICATE,
            ),
            np.uint8,
        )
    return np.asarray(cv2.cvtColor(resized(inside, size), cv2.COLOR_BGR2RGB), np.uint8)


def resized(image: Image, size: tuple[int, int]) -> Image:
    """Resizes in at most two cheap steps: whole-number area averaging first, for less would alias, then linear.

    Area averaging by any other ratio takes four times as long.
    """
    factor = min(image.shape[1] // size[0], image.shape[0] // size[1])
    if factor >= 2:
        height, width = image.shape[0] // factor * factor, image.shape[1] // factor * factor
        inner = (width // factor, height // factor)
        image = np.asarray(cv2.resize(image[:height, :width], inner, interpolation=cv2.INTER_AREA), np.uint8)
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
