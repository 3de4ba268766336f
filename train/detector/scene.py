"""A picture with what is known of its faces, and the windows that are cut out of it for training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.geometry import overlaps
from train.detector.boxes import (
    BARE,
    DOUBTFUL,
    MARGINS,
    NOTHING,
    Boxes,
    share_inside,
    sizes,
    to_our_rule,
)
from train.detector.data import NO_FACE
from train.detector.second_look import completed, look_at

if TYPE_CHECKING:
    from edge.vision.geometry import Image
    from train.detector.data import Photo

FACE: Final = 1
IGNORE: Final = 0
"""What a box says: here is a face, or here may be one and neither answer is punished."""

MIN_FACE: Final = 6.0
"""Faces below this size (square root of the area, pixels of the network's input) are not asked for and not
forbidden."""

_VISIBLE_FACE: Final = 0.55
_VISIBLE_TRACE: Final = 0.15
"""Share of a box inside the window from which on it is a face, and below which nothing of it counts."""

_SEEN: Final = 0.55
_DOUBTED: Final = 0.15
"""Mean score of the teacher from which on an unboxed face is a face, and from which on it is left open."""


@dataclass(frozen=True, slots=True)
class Scene:
    """BGR pixels; boxes (n, 4) by our rule; for each box FACE or IGNORE, and its kind."""

    pixels: Image
    boxes: Boxes
    roles: NDArray[np.int64]
    kinds: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class View:
    """How a window lies over a scene: the point at its middle, the scale, the turn, and whether it is mirrored."""

    centre: tuple[float, float]
    scale: float
    degrees: float = 0.0
    mirrored: bool = False


def scene_of(photo: Photo, seen: NDArray[np.float32], kind: int = BARE) -> Scene:
    """Puts the annotators' boxes, those of the second look and the teacher's together.

    Args:
        photo: the photo.
        seen: the teacher's rows for it, shape (n, 5). They are not believed where the second look saw nothing, nor in
            a photo that is said to be without faces.
        kind: of the faces that the teacher alone has seen. Nobody said what they wear; BARE keeps them out of the
            swapping of masked faces.
    """
    known = completed(photo)
    boxes, roles, kinds = known.boxes, np.where(known.kinds == DOUBTFUL, IGNORE, FACE), known.kinds
    if photo.source != NO_FACE and len(seen):
        extra = to_our_rule(seen[:, :4], MARGINS["teacher_bare"])
        look = look_at(photo.jpeg)
        unknown = ~_meets(extra, np.concatenate([boxes, look.boxes[look.kinds == NOTHING]]))
        extra, score = extra[unknown & (seen[:, 4] >= _DOUBTED)], seen[unknown & (seen[:, 4] >= _DOUBTED), 4]
        boxes = np.concatenate([boxes, extra])
        roles = np.concatenate([roles, np.where(score >= _SEEN, FACE, IGNORE)])
        kinds = np.concatenate([kinds, np.full(len(extra), kind)])
    return Scene(photo.pixels(), boxes.astype(np.float32), roles.astype(np.int64), kinds.astype(np.int64))


def _meets(extra: Boxes, boxes: Boxes) -> NDArray[np.bool_]:
    """Which of the teacher's boxes show a boxed face: on a masked one it may see the eyes only."""
    if not len(boxes):
        return np.zeros(len(extra), bool)
    inside = (share_inside(extra, boxes) > 0.5) | (share_inside(boxes, extra).T > 0.5)
    return np.asarray(((overlaps(extra, boxes) > 0.25) | inside).any(axis=1), bool)


def window(scene: Scene, view: View, size: tuple[int, int], background: int = 114) -> Scene:
    """Cuts a window out of a scene, scaled, turned and mirrored in one step.

    Args:
        scene: what to look at.
        view: how.
        size: width and height of the window in pixels.
        background: grey value outside of the scene; the letterbox of the finished detector has the same default.
    """
    turn = _matrix(view, size)
    pixels, onto, scale = scene.pixels, turn, view.scale
    while scale < 0.5 and min(pixels.shape[:2]) > 1:
        # warpAffine looks at four pixels only: shrinking further in one step would alias.
        half = np.asarray(cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
        onto = onto * (pixels.shape[1] / half.shape[1], pixels.shape[0] / half.shape[0], 1.0)
        pixels, scale = half, scale * 2
    laid = cv2.warpAffine(pixels, at_middles(onto), size, borderValue=(background,) * 3)
    return keep_visible(Scene(np.asarray(laid, np.uint8), _turned(scene.boxes, turn, view), scene.roles, scene.kinds))


def at_middles(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """A matrix as OpenCV wants it, for which whole numbers are the middles of pixels.

    Args:
        matrix: shape (2, 3), for coordinates as boxes have them: pixel i reaches from i to i + 1.
    """
    moved = matrix[:, :2].sum(axis=1) / 2 - 0.5
    return np.column_stack([matrix[:, :2], matrix[:, 2] + moved])


def keep_visible(scene: Scene) -> Scene:
    """Clips the boxes to the picture; what is cut too far or too small becomes IGNORE, what is outside is dropped."""
    height, width = scene.pixels.shape[:2]
    low = np.clip(scene.boxes[:, :2], 0, (width, height))
    high = np.clip(scene.boxes[:, :2] + scene.boxes[:, 2:], 0, (width, height))
    clipped = np.concatenate([low, high - low], axis=1).astype(np.float32)
    visible = clipped[:, 2:].prod(axis=1) / np.maximum(scene.boxes[:, 2:].prod(axis=1), 1e-6)
    roles = np.where((visible < _VISIBLE_FACE) | (sizes(clipped) < MIN_FACE), IGNORE, scene.roles)
    kept = (visible > _VISIBLE_TRACE) & (clipped[:, 2:].min(axis=1, initial=np.inf) >= 1)
    return Scene(scene.pixels, clipped[kept], roles[kept], scene.kinds[kept])


def _matrix(view: View, size: tuple[int, int]) -> NDArray[np.float64]:
    """Scene to window, shape (2, 3)."""
    angle = math.radians(view.degrees)
    cosine, sine = view.scale * math.cos(angle), view.scale * math.sin(angle)
    side = -1.0 if view.mirrored else 1.0
    turn = np.array([[side * cosine, -side * sine], [sine, cosine]])
    shift = np.array(size) / 2 - turn @ np.array(view.centre)
    return np.column_stack([turn, shift])


def _turned(boxes: Boxes, turn: NDArray[np.float64], view: View) -> Boxes:
    """Boxes in the window: each is taken for an ellipse and gets that one's upright bounding box."""
    if not len(boxes):
        return boxes
    centres = (boxes[:, :2] + boxes[:, 2:] / 2) @ turn[:, :2].T + turn[:, 2]
    angle = math.radians(view.degrees)
    width, height = boxes[:, 2] * view.scale, boxes[:, 3] * view.scale
    wide = np.hypot(width * math.cos(angle), height * math.sin(angle))
    high = np.hypot(width * math.sin(angle), height * math.cos(angle))
    extent = np.stack([wide, high], axis=1)
    return np.concatenate([centres - extent / 2, extent], axis=1).astype(np.float32)


def faces_of(scene: Scene, kind: int) -> NDArray[np.int64]:
    """Indices of the faces of a kind, without those that may be none."""
    return np.flatnonzero((scene.roles == FACE) & (scene.kinds == kind))


def joined(pixels: Image, parts: list[tuple[Scene, tuple[int, int]]]) -> Scene:
    """One picture of several, with the boxes of all: `parts` with the (x, y) at which each of them lies in `pixels`."""
    boxes = [part.boxes + np.array([*corner, 0, 0], np.float32) for part, corner in parts]
    return Scene(
        pixels,
        np.concatenate(boxes).astype(np.float32),
        np.concatenate([part.roles for part, _ in parts]),
        np.concatenate([part.kinds for part, _ in parts]),
    )
