"""Heads that look aside, made of heads that look at the camera.

Most ready face crops are frontal, and people before a door are not. When a head turns, its outline hardly moves: what
lies between shifts to one side, where it is squeezed, and the head becomes narrower. A parabola does so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

_OUTLINE: Final = 0.6
"""From the middle of the box, as a share of its side, where nothing shifts: the hair goes further than the box."""

_FURTHEST: Final = 0.45
"""At 0.5 the picture would fold over."""


@dataclass(frozen=True, slots=True)
class Aside:
    """How far a head looks aside.

    Attributes:
        turn: how far its middle shifts to the right, as a share of half its outline; -0.45 to 0.45.
        nod: the same downwards.
        width: what the width is multiplied with, above 0.
    """

    turn: float
    nod: float
    width: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """Turned more often than nodding; the further it is turned, the narrower."""
        turn, nod = np.clip(rng.normal(0, (0.22, 0.1)), -_FURTHEST, _FURTHEST)
        return cls(float(turn), float(nod), 1 - abs(float(turn)) * float(rng.uniform(0.2, 0.6)))


def look_aside(
    layers: list[NDArray[np.uint8]], box: tuple[float, float, float, float], aside: Aside
) -> tuple[list[NDArray[np.uint8]], tuple[float, float, float, float]]:
    """Turns a head.

    Args:
        layers: pictures of one size, such as colours and an opacity.
        box: left, top, width and height of the face in them.
        aside: how far.

    Returns:
        The layers, `aside.width` times as wide, and where the face is in them now.
    """
    height, width = layers[0].shape[:2]
    across, columns = _shifted(width, box[0], box[2], aside.turn)
    down, rows = _shifted(height, box[1], box[3], aside.nod)
    across = np.interp(np.linspace(0, width - 1, round(width * aside.width)), np.arange(width), across)
    x, y = np.meshgrid(across.astype(np.float32), down.astype(np.float32))
    moved = [cv2.remap(layer, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for layer in layers]
    face = (columns[0] * aside.width, rows[0], (columns[1] - columns[0]) * aside.width, rows[1] - rows[0])
    return [np.asarray(layer, np.uint8) for layer in moved], face


def _shifted(length: int, start: float, side: float, shift: float) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Along one axis, where each pixel comes from, and where the box begins and ends afterwards."""
    reach, middle = _OUTLINE * side, start + side / 2
    away = (np.arange(length) - middle) / reach
    before = away - shift * np.maximum(1 - away**2, 0)
    edge = 0.5 / _OUTLINE
    return before * reach + middle, (_after(-edge, shift) * reach + middle, _after(edge, shift) * reach + middle)


def _after(before: float, shift: float) -> float:
    """Where a point within the outline goes: the solution of `after - shift * (1 - after ** 2) = before`."""
    if shift == 0:
        return before
    return (math.sqrt(1 + 4 * shift * (shift + before)) - 1) / (2 * shift)
