"""The scene of `maskgate demo`: people walk up to a door and pass it, one bare, the next one masked.

The portrait is of Grace Hopper (United States Navy photograph, public domain, the one that matplotlib ships as sample
data); the mask is drawn. Nothing else is needed, and nobody has to stand before a camera.
"""

from __future__ import annotations

import math
from importlib.resources import files

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.geometry import Image
from edge.vision.image import decode

DEMO_URL = "demo:"
WIDTH, HEIGHT, FPS = 640, 480, 10
PASSAGE_S = 5.0
"""One person from edge to edge; the scene holds nobody for a moment between two."""
_WALK_SHARE = 0.8
_MASK_CORNERS = "190,238 225,226 266,216 308,226 345,238 340,290 312,326 268,346 226,330 198,294"
_MASK = np.array([point.split(",") for point in _MASK_CORNERS.split()], np.int32)
"""Outline of the drawn mask in pixels of the portrait: cheek to cheek, bridge of the nose to below the chin."""
_STRAPS = (((192, 242), (168, 220)), ((198, 290), (172, 250)), ((343, 242), (362, 222)), ((338, 288), (358, 250)))
_MASK_BGR = (214, 196, 168)


def portrait() -> Image:
    """The bare portrait, 512 x 600 pixels."""
    return decode((files("edge.sources") / "demo_portrait.jpg").read_bytes())


def masked(picture: Image) -> Image:
    """The portrait with a pleated mask drawn over nose, mouth and chin."""
    drawn = picture.copy()
    for start, end in _STRAPS:
        cv2.line(drawn, start, end, (235, 230, 225), 3, cv2.LINE_AA)
    cv2.fillPoly(drawn, [_MASK], _MASK_BGR, cv2.LINE_AA)
    shade: NDArray[np.float32] = np.zeros(picture.shape[:2], np.float32)
    for y in (255, 275, 295):
        cv2.ellipse(shade, (267, y - 14), (74, 22), 0, 20, 160, 0.35, 5, cv2.LINE_AA)
    cv2.polylines(shade, [_MASK], isClosed=True, color=0.4, thickness=4, lineType=cv2.LINE_AA)
    sides = np.abs(np.arange(picture.shape[1], dtype=np.float32) - 267) / 90
    inside = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(inside, [_MASK], 1)
    folds = np.maximum(cv2.GaussianBlur(shade, (0, 0), 2), 0.25 * np.minimum(sides, 1) ** 2) * inside
    return np.asarray(drawn * (1 - folds[..., np.newaxis]), np.uint8)


class DemoCapture:
    """A `Capture` that draws its frames: 640 x 480 at 10 a second, for ever."""

    frame_interval_s = 1 / FPS

    def __init__(self) -> None:
        bare = portrait()
        self._people = (bare, masked(bare))
        self._alpha = _cut_out(bare.shape[0], bare.shape[1])
        self._background = _hall()
        self._drawn = -1

    def grab(self) -> bool:
        self._drawn += 1
        return True

    def retrieve(self) -> Image:
        second = self._drawn / FPS
        frame = self._background.copy()
        passage, progress = divmod(second / PASSAGE_S, 1)
        if progress < _WALK_SHARE:
            self._draw_person(frame, self._people[int(passage) % 2], progress / _WALK_SHARE)
        # What a sensor adds; without it a pause would look like a frozen camera.
        noise = np.random.default_rng(self._drawn).integers(-3, 4, frame.shape, np.int16)
        return np.asarray(np.clip(frame + noise, 0, 255), np.uint8)

    def release(self) -> None:
        """Holds nothing."""

    def _draw_person(self, frame: Image, person: Image, progress: float) -> None:
        scale = 0.45 + 0.25 * math.sin(math.pi * progress)
        size = (round(person.shape[1] * scale), round(person.shape[0] * scale))
        picture = cv2.resize(person, size, interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(self._alpha, size, interpolation=cv2.INTER_AREA)[..., np.newaxis]
        left = round(-size[0] + progress * (WIDTH + size[0]))
        top = round(HEIGHT - size[1] + 6 * math.sin(progress * 40))
        x0, x1 = max(left, 0), min(left + size[0], WIDTH)
        y0, y1 = max(top, 0), min(top + size[1], HEIGHT)
        if x1 <= x0 or y1 <= y0:
            return
        part = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
        below = frame[y0:y1, x0:x1]
        frame[y0:y1, x0:x1] = picture[part] * alpha[part] + below * (1 - alpha[part])


def _cut_out(height: int, width: int) -> NDArray[np.float32]:
    """Opacity of head and shoulders, 0 to 1, soft at the edge."""
    alpha = np.zeros((height, width), np.float32)
    cv2.ellipse(alpha, (262, 180), (122, 172), 0, 0, 360, 1.0, -1)
    cv2.ellipse(alpha, (262, 640), (270, 330), 0, 0, 360, 1.0, -1)
    return np.asarray(cv2.GaussianBlur(alpha, (0, 0), 6), np.float32)


def _hall() -> Image:
    """An entrance hall: a wall that darkens downwards, a floor, a door with two panes."""
    rows = np.linspace(205, 165, HEIGHT, dtype=np.float32)[:, np.newaxis]
    wall = np.repeat(rows, WIDTH, axis=1)
    hall = np.dstack([wall, wall * 0.98, wall * 0.94]).astype(np.uint8)
    cv2.rectangle(hall, (0, 410), (WIDTH, HEIGHT), (120, 128, 135), -1)
    cv2.rectangle(hall, (230, 60), (410, 410), (150, 140, 120), -1)
    for left in (242, 325):
        cv2.rectangle(hall, (left, 75), (left + 73, 400), (225, 218, 205), -1)
    return hall
