"""Single faces and other patches, put into scenes with soft edges.

Pasting is how faces of every size get to places where the photos have none, and how bare faces get onto people: where
the photos show a masked head, a bare face takes its place (`swap`), so that hair, shoulders and crowd stay as they
were. Patches without a face are pasted in the same way, or the network would learn the seam instead of the face.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.geometry import overlaps
from train.detector.boxes import BARE, Boxes, sizes
from train.detector.scene import FACE, IGNORE, MIN_FACE, Scene, at_middles

if TYPE_CHECKING:
    from edge.vision.geometry import Image

_HAIR: Final = 0.22
"""How far beyond the box the oval of a pasted face reaches, as a share of the box."""

_MOST_HIDDEN: Final = 0.6
"""Share of a face under what is pasted before it, beyond which it is not asked for any more."""

_TONE_STRENGTH: Final = 0.6
_TONE_LIMITS: Final = (0.5, 1.7)


@dataclass(frozen=True, slots=True)
class Cutout:
    """Something to paste.

    Attributes:
        pixels: BGR.
        alpha: shape (height, width), 0 (left out) to 255 (pasted).
        box: the face in it (left, top, width, height by our rule), or what stands for it in a patch without a face.
        kind: of the face; None for a patch without one.
    """

    pixels: Image
    alpha: NDArray[np.uint8]
    box: NDArray[np.float32]
    kind: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cut-out goes: middle and size (square root of the area) of its box in pixels, turn, mirroring."""

    centre: tuple[float, float]
    size: float
    degrees: float = 0.0
    mirrored: bool = False


def portrait(face: Cutout) -> Scene:
    """A face crop as a scene of its own."""
    kind = BARE if face.kind is None else face.kind
    return Scene(face.pixels, face.box[None], np.array([FACE]), np.array([kind]))


def oval(shape: tuple[int, int], box: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Alpha of a face with its hair line: an oval round the box with a soft edge.

    Args:
        shape: height and width of the cut-out.
        box: left, top, width, height in it.
    """
    height, width = shape
    y, x = np.ogrid[:height, :width]
    half_x, half_y = box[2] / 2 * (1 + _HAIR), box[3] / 2 * (1 + _HAIR)
    across, down = x + 0.5 - box[0] - box[2] / 2, y + 0.5 - box[1] - box[3] / 2
    radius = np.sqrt((across / half_x) ** 2 + (down / half_y) ** 2)
    return np.asarray(np.clip((1.08 - radius) / 0.16, 0, 1) * 255, np.uint8)


def soft_rectangle(shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Alpha of a whole cut-out, head and shoulders: 1 inside, falling off over an eighth at the edges."""
    height, width = shape
    rows = np.minimum(np.arange(height) + 1, np.arange(height, 0, -1)) / (height / 8)
    columns = np.minimum(np.arange(width) + 1, np.arange(width, 0, -1)) / (width / 8)
    return np.asarray(np.clip(np.minimum(rows[:, None], columns[None, :]), 0, 1) * 255, np.uint8)


def paste(scene: Scene, cutout: Cutout, place: Place, tone: NDArray[np.float32] | None = None) -> Scene:
    """Pastes into a copy of the scene and adds the face's box.

    Args:
        scene: where to.
        cutout: what.
        place: position, size and turn.
        tone: a factor for each of blue, green, red.
    """
    pixels, alpha, box = _shrunk(cutout, place.size)
    scale = place.size / math.sqrt(box[2] * box[3])
    height, width = scene.pixels.shape[:2]
    angle = math.radians(place.degrees)
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    side = -1.0 if place.mirrored else 1.0
    turn = np.array([[side * cosine, -side * sine], [sine, cosine]])
    shift = np.array(place.centre) - turn @ (box[:2] + box[2:] / 2)
    corners = np.array([[0, 0], [pixels.shape[1], 0], [0, pixels.shape[0]], pixels.shape[1::-1]]) @ turn.T + shift
    left, top = np.clip(np.floor(corners.min(axis=0)), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(axis=0)), 0, (width, height)).astype(int)
    if right - left < 2 or bottom - top < 2:
        return scene
    matrix = at_middles(np.column_stack([turn, shift - (left, top)]))
    area = (int(right - left), int(bottom - top))
    laid = cv2.warpAffine(pixels, matrix, area, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    weight = cv2.warpAffine(alpha, matrix, area)[..., None].astype(np.float32) / 255
    if tone is not None:
        laid = laid * tone
    out = scene.pixels.copy()
    part = out[top:bottom, left:right]
    part[:] = np.clip(part + (laid - part) * weight, 0, 255).astype(np.uint8)
    hidden = _hidden(scene, weight[..., 0] > 0.5, (int(left), int(top)))
    roles = np.where((scene.roles == FACE) & (hidden > _MOST_HIDDEN), IGNORE, scene.roles)
    if cutout.kind is None:
        return Scene(out, scene.boxes, roles, scene.kinds)
    extent = scale * np.array(
        [
            math.hypot(box[2] * math.cos(angle), box[3] * math.sin(angle)),
            math.hypot(box[2] * math.sin(angle), box[3] * math.cos(angle)),
        ]
    )
    added = np.concatenate([np.array(place.centre) - extent / 2, extent]).astype(np.float32)
    return Scene(
        out,
        np.concatenate([scene.boxes, added[None]]),
        np.append(roles, FACE),
        np.append(scene.kinds, cutout.kind),
    )


def _hidden(scene: Scene, opaque: NDArray[np.bool_], at: tuple[int, int]) -> NDArray[np.float64]:
    """How much of each box, 0 to 1, lies under what is opaque in a part of the scene whose corner is `at`."""
    shares = np.zeros(len(scene.boxes))
    for number, (left, top, width, height) in enumerate(scene.boxes):
        columns = slice(max(0, round(left - at[0])), max(0, round(left + width - at[0])))
        rows = slice(max(0, round(top - at[1])), max(0, round(top + height - at[1])))
        shares[number] = opaque[rows, columns].sum() / max(1.0, width * height)
    return shares


def swap(scene: Scene, index: int, cutout: Cutout, degrees: float, *, mirrored: bool) -> Scene:
    """Puts a face in the place of the one at `index`, in the skin tone of its forehead.

    Args:
        scene: the scene.
        index: the face that goes.
        cutout: the face that comes.
        degrees: turn of the coming face.
        mirrored: whether it is mirrored.
    """
    box = scene.boxes[index]
    place = Place(
        (float(box[0] + box[2] / 2), float(box[1] + box[3] / 2)), float(sizes(box[None])[0]), degrees, mirrored
    )
    rest = np.delete(np.arange(len(scene.boxes)), index)
    without = Scene(scene.pixels, scene.boxes[rest], scene.roles[rest], scene.kinds[rest])
    return paste(without, cutout, place, skin_tone(scene.pixels, box, cutout))


def skin_tone(pixels: Image, box: NDArray[np.float32], cutout: Cutout) -> NDArray[np.float32]:
    """Factors for blue, green, red that bring a cut-out's forehead near to that of the face in a box."""
    there, here = _forehead(pixels, box), _forehead(cutout.pixels, cutout.box)
    return np.asarray(np.clip((there / here) ** _TONE_STRENGTH, *_TONE_LIMITS), np.float32)


def _forehead(pixels: Image, box: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean colour of the upper middle of a box, at least 1 in each channel."""
    left, top, width, height = box
    rows = slice(max(0, int(top + 0.12 * height)), max(1, int(top + 0.45 * height) + 1))
    columns = slice(max(0, int(left + 0.25 * width)), max(1, int(left + 0.75 * width) + 1))
    part = pixels[rows, columns].reshape(-1, 3)
    if not len(part):
        return np.full(3, 128, np.float32)
    return np.asarray(np.maximum(part.mean(axis=0), 1), np.float32)


def free_place(scene: Scene, size: float, rng: np.random.Generator, tries: int = 6) -> tuple[float, float] | None:
    """A middle for a face of a size that meets no other box, or None if `tries` throws found none."""
    height, width = scene.pixels.shape[:2]
    if 0.4 * size > min(height, width):  # no room: more than a fifth on each side would hang out
        return None
    for _ in range(tries):
        x, y = rng.uniform(0.2 * size, width - 0.2 * size), rng.uniform(0.2 * size, height - 0.2 * size)
        box: Boxes = np.array([[x - 0.65 * size, y - 0.75 * size, 1.3 * size, 1.5 * size]], np.float32)
        if not len(scene.boxes) or not (overlaps(box, scene.boxes) > 0).any():
            return float(x), float(y)
    return None


def _shrunk(cutout: Cutout, size: float) -> tuple[Image, NDArray[np.uint8], NDArray[np.float32]]:
    """The cut-out brought near to its final size by area averaging: the turn itself would alias below one half."""
    factor = max(size, MIN_FACE) / math.sqrt(cutout.box[2] * cutout.box[3])
    if factor > 0.6:
        return cutout.pixels, cutout.alpha, cutout.box
    target = tuple(max(2, round(side * factor)) for side in cutout.pixels.shape[1::-1])
    ratio = np.array([target[0] / cutout.pixels.shape[1], target[1] / cutout.pixels.shape[0]] * 2, np.float32)
    pixels = np.asarray(cv2.resize(cutout.pixels, target, interpolation=cv2.INTER_AREA), np.uint8)
    alpha = np.asarray(cv2.resize(cutout.alpha, target, interpolation=cv2.INTER_AREA), np.uint8)
    return pixels, alpha, cutout.box * ratio
