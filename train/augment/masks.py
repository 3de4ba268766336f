"""Masks drawn on bare faces, worn properly and badly: neither person nor style of picture shall give the class away.

A mask lies in a frame of the face: origin between the eyes, one axis along the eyes, one down to the mouth. Heights are
in eye-to-mouth distances (nose tip about 0.6, mouth 1, chin 1.75), widths in eye distances.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.geometry import Image
from train.regions import Region

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Wear:
    """How a mask sits.

    Attributes:
        top: range of the upper edge at the nose, in eye-to-mouth distances.
        bottom: range of the lower edge.
        proper: nose and mouth are covered.
    """

    top: tuple[float, float]
    bottom: tuple[float, float]
    proper: bool


PROPER = Wear((0.16, 0.44), (1.5, 1.95), proper=True)
UNDER_NOSE = Wear((0.6, 0.84), (1.55, 2.0), proper=False)
UNDER_CHIN = Wear((1.25, 1.5), (1.95, 2.3), proper=False)

_COLOURS_BGR = np.array(
    [
        *([205, 180, 130], [215, 200, 160], [225, 190, 120]),  # surgical blues
        *([240, 240, 240], [225, 228, 230], [250, 250, 250]),  # whites
        *([25, 25, 25], [40, 38, 36], [60, 60, 62], [15, 15, 18]),  # blacks
        *(
            [120, 120, 120],
            [90, 70, 60],
            [70, 40, 120],
            [170, 150, 220],
            [110, 140, 90],
            [140, 170, 200],
            [40, 40, 150],
        ),
    ],
    np.float32,
)


class FaceFrame:
    """The frame of a face from its landmarks, shape (5, 2) as in `Region`."""

    def __init__(self, landmarks: Floats) -> None:
        left_eye, right_eye, nose, left_mouth, right_mouth = landmarks
        self.origin = (left_eye + right_eye) / 2
        mouth = (left_mouth + right_mouth) / 2
        self.down = mouth - self.origin
        self.length = float(np.hypot(*self.down))
        eyes = right_eye - left_eye
        # A head turned aside brings the eyes together; the face does not become that narrow.
        self.width = max(float(np.hypot(*eyes)), 0.75 * self.length)
        unit = self.down / max(self.length, 1e-6)
        across = np.array([unit[1], -unit[0]])
        self.across = (across if across @ eyes > 0 else -across) * self.width
        # How far the nose tip lies beside the middle line, in eye distances: the turn of the head.
        self.turn = float(np.clip((nose - self.origin) @ self.across / self.width**2, -0.6, 0.6))

    def points(self, places: Floats) -> Floats:
        """Pixels of places given as (across, down), shape (n, 2)."""
        middle = self.origin + places[:, :1] * self.across + places[:, 1:] * self.down
        return np.asarray(middle, np.float32)


def draw_mask(region: Region, wear: Wear, rng: np.random.Generator) -> Region:
    """Draws one mask of random make on a bare face.

    Args:
        region: must have landmarks.
        wear: where it sits.
        rng: of shape, colour and light.

    Raises:
        ValueError: the landmarks are not known.
    """
    if region.landmarks is None:
        raise ValueError("a mask needs the landmarks of the face")
    frame = FaceFrame(region.landmarks)
    outline, straps = _outline(frame, wear, rng)
    image = region.image.astype(np.float32)
    cover = _coverage(region.image.shape[:2], outline, frame.length)
    paint = _fabric(region.image, frame, outline, rng)
    if rng.random() < 0.7:
        _draw_straps(image, straps, frame, rng)
    shadow = cv2.GaussianBlur(cover, (0, 0), max(1.0, frame.length * 0.06))
    image *= 1 - rng.uniform(0.1, 0.35) * shadow[..., np.newaxis]
    image = image * (1 - cover) + paint * cover
    return Region(np.clip(image, 0, 255).astype(np.uint8), region.box, region.landmarks, region.face_px)


def _outline(frame: FaceFrame, wear: Wear, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Corner points in pixels, shape (n, 2), and four strap ends: upper left, lower left, upper right, lower right."""
    top, bottom = rng.uniform(*wear.top), rng.uniform(*wear.bottom)
    peak = rng.uniform(0.0, 0.22) if wear.proper else rng.uniform(0.0, 0.05)
    sides = top + peak + rng.uniform(0.0, 0.15)
    jaw = min(bottom - 0.15, rng.uniform(1.15, 1.5) if wear.proper else bottom - rng.uniform(0.15, 0.4))
    jaw = max(jaw, sides + 0.15)
    half = rng.uniform(0.88, 1.12)
    lower = half * rng.uniform(0.72, 0.92)
    chin = half * rng.uniform(0.3, 0.55)
    bulge = rng.uniform(-0.02, 0.1)
    left, right = 1 + 0.75 * frame.turn, 1 - 0.75 * frame.turn
    nose = 0.55 * frame.turn
    places = np.array(
        [
            *((nose, top), (nose + 0.22, top + 0.35 * peak), (half * 0.6 * right, sides - 0.03), (half * right, sides)),
            *(
                (half * right * (1 + bulge), (sides + jaw) / 2),
                (lower * right, jaw),
                (chin * right + nose, bottom - 0.06),
            ),
            (0.7 * nose, bottom),
            *(
                (-chin * left + nose, bottom - 0.06),
                (-lower * left, jaw),
                (-half * left * (1 + bulge), (sides + jaw) / 2),
            ),
            *((-half * left, sides), (-half * 0.6 * left, sides - 0.03), (nose - 0.22, top + 0.35 * peak)),
        ],
        np.float32,
    )
    ears = np.array(
        [
            *((-1.35 * left, rng.uniform(0.0, 0.35)), (-1.3 * left, rng.uniform(0.6, 1.0))),
            *((1.35 * right, rng.uniform(0.0, 0.35)), (1.3 * right, rng.uniform(0.6, 1.0))),
        ],
        np.float32,
    )
    return _smooth(frame.points(places)), np.concatenate([frame.points(places[[11, 9, 3, 5]]), frame.points(ears)])


def _smooth(corners: Floats) -> Floats:
    """Chaikin's corner cutting, twice; closed."""
    for _ in range(2):
        following = np.roll(corners, -1, axis=0)
        corners = np.stack([0.8 * corners + 0.2 * following, 0.2 * corners + 0.8 * following], axis=1).reshape(-1, 2)
    return corners


def _coverage(shape: tuple[int, ...], outline: Floats, length: float) -> Floats:
    """1 inside the mask, 0 outside, soft over about a pixel; shape (height, width, 1)."""
    cover = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(cover, [(outline * 16).round().astype(np.int32)], 255, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(cover, (0, 0), max(0.5, length / 70))
    return np.asarray(soft[..., np.newaxis] / np.float32(255), np.float32)


def _fabric(image: Image, frame: FaceFrame, outline: Floats, rng: np.random.Generator) -> Floats:
    """Colour, pattern, folds and light of the cloth over the whole picture, BGR."""
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    across = ((x - frame.origin[0]) * frame.across[0] + (y - frame.origin[1]) * frame.across[1]) / frame.width**2
    down = ((x - frame.origin[0]) * frame.down[0] + (y - frame.origin[1]) * frame.down[1]) / frame.length**2
    colour = _COLOURS_BGR[rng.integers(len(_COLOURS_BGR))] * rng.uniform(0.85, 1.1) + rng.normal(0, 8, 3)
    paint = np.empty((height, width, 3), np.float32)
    paint[:] = colour
    if rng.random() < 0.3:
        other = rng.uniform(0, 255, 3).astype(np.float32)
        paint = np.where(_pattern(across, down, rng)[..., np.newaxis], other, paint)
    light = 1 - rng.uniform(0.05, 0.35) * np.clip(np.abs(across - 0.5 * frame.turn), 0, 1.2) ** 2
    if rng.random() < 0.55:  # The folds of a surgical mask run across.
        light += rng.uniform(0.02, 0.09) * np.sin(
            2 * np.pi * down * rng.uniform(2.2, 4) + across**2 * rng.uniform(0, 3)
        )
    if rng.random() < 0.5:  # The ridge down the middle of a respirator or a sewn mask.
        light += rng.uniform(0.03, 0.12) * np.exp(-(((across - 0.55 * frame.turn) / 0.06) ** 2))
    light *= _light_of_face(image, outline, rng)
    light += rng.normal(0, 0.015, light.shape)
    return np.asarray(paint * light[..., np.newaxis], np.float32)


def _pattern(across: Floats, down: Floats, rng: np.random.Generator) -> NDArray[np.bool_]:
    rate = rng.uniform(3, 9)
    kind = rng.integers(4)
    if kind == 0:
        return np.asarray(np.sin(2 * np.pi * rate * (across + rng.uniform(-1, 1) * down)) > 0.3)
    if kind == 1:
        return np.asarray((np.sin(2 * np.pi * rate * across) > 0) ^ (np.sin(2 * np.pi * rate * down) > 0))
    if kind == 2:
        return np.asarray(np.sin(2 * np.pi * rate * across) + np.sin(2 * np.pi * rate * down) > 1.1)
    speckle = rng.standard_normal((12, 12)).astype(np.float32)
    field = cv2.resize(speckle, (across.shape[1], across.shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field > 0.4)


def _light_of_face(image: Image, outline: Floats, rng: np.random.Generator) -> Floats:
    """Brightness of the face below the mask, blurred and relative: the mask is lit as the face is."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    spread = max(2.0, float(np.ptp(outline[:, 0])) / 8)
    blurred = cv2.GaussianBlur(grey, (0, 0), spread)
    columns = np.clip(outline[:, 0].round().astype(int), 0, image.shape[1] - 1)
    rows = np.clip(outline[:, 1].round().astype(int), 0, image.shape[0] - 1)
    mean = max(20.0, float(blurred[rows, columns].mean()))
    relative = np.clip(blurred / mean, 0.5, 1.4) ** rng.uniform(0.4, 1.0)
    # A dark scene has a dark mask.
    return np.asarray(relative * np.clip(mean / 130, 0.45, 1.15), np.float32)


def _draw_straps(image: Floats, ends: Floats, frame: FaceFrame, rng: np.random.Generator) -> None:
    colour = tuple(float(value) for value in (np.full(3, 235.0) if rng.random() < 0.6 else rng.uniform(20, 120, 3)))
    width = max(1, round(frame.length * rng.uniform(0.02, 0.045)))
    for start, end in zip(ends[:4], ends[[4, 5, 6, 7]], strict=True):
        from_x, from_y, to_x, to_y = (round(float(value)) for value in (*start, *end))
        cv2.line(image, (from_x, from_y), (to_x, to_y), colour, width, cv2.LINE_AA)
