"""Things in front of a face that are no mask: a hand at the mouth, a cup, a phone, another head's edge."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.geometry import Image
from train.regions import Region


def with_object(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Hides a part near the edge of a framed face, small enough that the label can still be seen.

    Args:
        image: shape (n, n, 3).
        rng: of place, form and colour.
    """
    size = image.shape[0]
    picture = image.copy()
    colour = tuple(int(value) for value in rng.integers(0, 256, 3))
    along, depth = rng.uniform(0.1, 0.9) * size, rng.uniform(0.0, 0.18) * size
    centre = [(along, depth), (along, size - depth), (depth, along), (size - depth, along)][rng.integers(4)]
    axes = rng.uniform(0.06, 0.22, 2) * size
    if rng.random() < 0.5:
        point = (round(centre[0]), round(centre[1]))
        cv2.ellipse(
            picture, point, (round(axes[0]), round(axes[1])), rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA
        )
    else:
        corners = cv2.boxPoints((centre, (axes[0] * 2, axes[1] * 2), rng.uniform(0, 180)))
        cv2.fillPoly(picture, [corners.round().astype(np.int32)], colour, cv2.LINE_AA)
    return picture


def with_hand(region: Region, rng: np.random.Generator) -> Region:
    """A hand of the person's own colour over the mouth of a bare face: palm, fingers, a shadow between them.

    The region's landmarks must be known; the label stays what it was.
    """
    if region.landmarks is None:
        raise ValueError("a hand needs the landmarks of the face")
    image: Image = region.image.copy()
    eyes, mouth = region.landmarks[:2].mean(axis=0), region.landmarks[3:].mean(axis=0)
    reach = float(np.hypot(*(mouth - eyes)))
    skin = _skin(region.image, region.landmarks, rng)
    side = -1 if rng.random() < 0.5 else 1
    palm = mouth + np.array([side * rng.uniform(0.1, 0.8), rng.uniform(-0.1, 0.7)]) * reach
    turn = rng.uniform(-50, 50) - 90
    for number in range(4, -1, -1):
        angle = np.deg2rad(turn + (number - 2) * rng.uniform(9, 16))
        tip = palm + np.array([np.cos(angle), np.sin(angle)]) * reach * rng.uniform(0.8, 1.15)
        shade = skin * rng.uniform(0.8, 1.1)
        _limb(image, palm, tip, reach * 0.2 + 2, skin * 0.6)
        _limb(image, palm, tip, reach * 0.2, shade)
    _limb(image, palm, palm + np.array([rng.uniform(-0.3, 0.3), 1.6]) * reach, reach * rng.uniform(0.6, 0.85), skin)
    softened = cv2.GaussianBlur(image, (0, 0), max(0.6, reach / 60))
    return Region(np.asarray(softened, np.uint8), region.box, region.landmarks, region.face_px)


def _skin(image: Image, landmarks: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float64]:
    """The colour between eyes and nose tip, a little varied."""
    x, y = (landmarks[:2].mean(axis=0) + landmarks[2]) / 2
    row, column = int(np.clip(y, 0, image.shape[0] - 1)), int(np.clip(x, 0, image.shape[1] - 1))
    patch = image[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
    return np.asarray(patch.reshape(-1, 3).mean(axis=0) * rng.uniform(0.8, 1.15))


def _limb(
    image: Image, start: NDArray[np.floating], end: NDArray[np.floating], width: float, colour: NDArray[np.floating]
) -> None:
    points = [(round(float(x)), round(float(y))) for x, y in (start, end)]
    paint = tuple(float(np.clip(value, 0, 255)) for value in colour)
    cv2.line(image, points[0], points[1], paint, max(1, round(width)), cv2.LINE_AA)
