"""Where the square around a face falls: what detectors get wrong, and what people do with their heads."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.geometry import Box, face_input, whole
from train.augment.aside import Aside, look_aside
from train.regions import Region


@dataclass(frozen=True, slots=True)
class Framing:
    """Ranges, all drawn evenly unless said.

    Attributes:
        margins: share of the longer side of the box added on each side.
        shift: of the box centre, share of its longer side, both ways. A detector's boxes lie up to 0.17 off the
            published ones of some source, most of it up or down; the margin hides a part of that.
        angle: standard deviation of the turn in degrees, cut off at three times that.
        stretch: of width against height, natural logarithm, both ways; published crops are often squashed to squares.
        whole_share: how often a published crop is shown as it is, instead of by the face box in it.
        outside: how far the square may reach beyond the pixels there are, as a share of its side.
        aside: how often the head looks aside.
    """

    margins: tuple[float, float] = (-0.08, 0.45)
    shift: float = 0.11
    angle: float = 9.0
    stretch: float = 0.12
    whole_share: float = 0.5
    outside: float = 0.06
    aside: float = 0.35


def framed(region: Region, kind: str, framing: Framing, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One random view of a face.

    Args:
        region: the face with its surroundings.
        kind: of the sample; the whole of a published `crop` is a fair view, too.
        framing: the ranges.
        size: side of the result in pixels.
        rng: of the view.

    Returns:
        RGB, shape (size, size, 3).
    """
    if rng.random() < framing.aside:
        region = _looking_aside(region, rng)
    if region.box is None or (kind == "crop" and rng.random() < framing.whole_share):
        box, margin = whole(region.image), rng.uniform(-0.14, 0.0)
    else:
        box, margin = region.box, rng.uniform(*framing.margins)
        margin = min(margin, max(framing.margins[0], _room(region, box) + framing.outside))
    side = max(box.width, box.height)
    image = region.image
    if rng.random() < 0.7:
        image = _turned(image, box, framing, rng)
    moved = Box(
        round(box.x + side * rng.uniform(-framing.shift, framing.shift)),
        round(box.y + side * rng.uniform(-framing.shift, framing.shift)),
        box.width,
        box.height,
    )
    view = face_input(np.asarray(image, np.uint8), moved, margin, (size, size))
    return np.ascontiguousarray(view[:, ::-1]) if rng.random() < 0.5 else view


def _looking_aside(region: Region, rng: np.random.Generator) -> Region:
    face = region.face
    (image,), moved = look_aside([region.image], (face.x, face.y, face.width, face.height), Aside.draw(rng))
    box = None if region.box is None else Box(*(round(value) for value in moved))
    return Region(image, box, None, region.face_px)


def _room(region: Region, box: Box) -> float:
    """The margin at which the square meets the second nearest side of the region; one side may be cut off."""
    height, width = region.image.shape[:2]
    centre_x, centre_y = box.centre
    gaps = sorted((centre_x, width - centre_x, centre_y, height - centre_y))
    return float(gaps[1] / max(box.width, box.height) - 0.5)


def _turned(image: NDArray[np.uint8], box: Box, framing: Framing, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turned and stretched about the centre of the box; the picture keeps its size."""
    angle = float(np.clip(rng.normal(0, framing.angle), -3 * framing.angle, 3 * framing.angle))
    stretch = float(np.exp(rng.uniform(-framing.stretch, framing.stretch)))
    matrix = cv2.getRotationMatrix2D(box.centre, angle, 1.0)
    squash = np.diag([stretch, 1 / stretch])
    centre = np.array(box.centre)
    linear = matrix[:, :2] @ squash
    affine = np.column_stack([linear, centre - linear @ centre])
    size = (image.shape[1], image.shape[0])
    return np.asarray(
        cv2.warpAffine(image, affine, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )
