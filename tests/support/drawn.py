"""Faces drawn with a few strokes, for tests that train: anyone has them, and a small network learns them at once."""

from __future__ import annotations

import cv2
import numpy as np

from edge.vision.geometry import Box, Image
from train.regions import Region


def drawn_face(rng: np.random.Generator, *, masked: bool, size: int = 96) -> Image:
    """An oval with eyes and a mouth, or with a blue cloth over its lower half; BGR."""
    # A room of its own behind each face: no two are near copies.
    room = rng.integers(0, 256, (5, 5, 3)).astype(np.uint8)
    image = np.asarray(cv2.resize(room, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)
    skin = tuple(int(value) for value in rng.integers(90, 220) * np.array([0.6, 0.75, 1.0]))
    unit = size / 96
    centre = (round(48 * unit), round(50 * unit))
    cv2.ellipse(image, centre, (round(26 * unit), round(40 * unit)), 0, 0, 360, skin, -1, cv2.LINE_AA)
    for x in (36, 60):
        cv2.circle(image, (round(x * unit), round(40 * unit)), round(4 * unit), (20, 20, 20), -1, cv2.LINE_AA)
    if masked:
        corners = np.array([(22, 52), (48, 46), (74, 52), (66, 84), (48, 90), (30, 84)]) * unit
        cv2.fillPoly(image, [corners.round().astype(np.int32)], (235, 150, 60), cv2.LINE_AA)
    else:
        cv2.ellipse(
            image, (centre[0], round(70 * unit)), (round(10 * unit), round(4 * unit)), 0, 0, 360, (40, 40, 170), -1
        )
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def face_region(*, masked: bool, seed: int = 0) -> Region:
    """A drawn face with its box and landmarks."""
    image = drawn_face(np.random.default_rng(seed), masked=masked)
    landmarks = np.array([(36, 40), (60, 40), (48, 55), (39, 70), (57, 70)], np.float32)
    return Region(image, Box(18, 10, 60, 80), landmarks, 80)
