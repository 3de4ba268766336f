"""Real masks worn badly, made of two faces: the nose of a bare one is laid over the upper part of a worn mask.

Badly worn masks are rare in every data set, and those drawn by a program look like drawings. Here the cloth is real;
what is laid over it is skin of the right tone, down to below the nose or, now and then, to below the mouth.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.geometry import Image
from train.augment.masks import FaceFrame
from train.regions import Region

_MOUTH_SHARE = 0.15
"""How often the mouth is bared as well."""


def reveal_nose(masked: Region, bare: Region, rng: np.random.Generator) -> Region:
    """The masked face with the nose of another person over its mask.

    Args:
        masked: wears a mask properly; landmarks known.
        bare: shows its nose; landmarks known.
        rng: of the height of the new edge.

    Returns:
        A badly worn mask, in the frame of `masked`.

    Raises:
        ValueError: the landmarks of one are not known.
    """
    if masked.landmarks is None or bare.landmarks is None:
        raise ValueError("both faces need landmarks")
    height, width = masked.image.shape[:2]
    # Eyes and corners of the mouth; a turn, a scale and a shift, so that the nose keeps its shape.
    corners = [0, 1, 3, 4]
    matrix, _ = cv2.estimateAffinePartial2D(bare.landmarks[corners], masked.landmarks[corners])
    if matrix is None:
        return masked
    moved = cv2.warpAffine(bare.image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    frame = FaceFrame(masked.landmarks)
    edge = rng.uniform(1.2, 1.4) if rng.random() < _MOUTH_SHARE else rng.uniform(0.66, 0.86)
    cover = _cover((height, width), frame, edge, rng)
    skin = _toned(np.asarray(moved, np.uint8), masked.image, frame)
    image = masked.image * (1 - cover) + skin * cover
    return Region(np.clip(image, 0, 255).astype(np.uint8), masked.box, masked.landmarks, masked.face_px)


def _cover(shape: tuple[int, int], frame: FaceFrame, edge: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Where the skin goes, (height, width, 1): from the eyes to `edge` with the cheeks; sharp below, soft above."""
    half = rng.uniform(0.8, 1.0)
    left, right, nose = 1 + 0.75 * frame.turn, 1 - 0.75 * frame.turn, 0.5 * frame.turn
    dip = rng.uniform(-0.08, 0.12)
    places = np.array(
        [
            *((-half * left, 0.12), (half * right, 0.12), (half * right, edge - 0.18)),
            *((nose + 0.35, edge - 0.02), (nose, edge + dip), (nose - 0.35, edge - 0.02), (-half * left, edge - 0.18)),
        ],
        np.float32,
    )
    hard = np.zeros(shape, np.uint8)
    cv2.fillPoly(hard, [frame.points(places).round().astype(np.int32)], 255, cv2.LINE_AA)
    sharp = cv2.GaussianBlur(hard, (0, 0), max(0.6, frame.length / 60)).astype(np.float32)
    soft = cv2.GaussianBlur(hard, (0, 0), max(1.0, frame.length / 9)).astype(np.float32)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    down = ((x - frame.origin[0]) * frame.down[0] + (y - frame.origin[1]) * frame.down[1]) / frame.length**2
    share = np.clip((down - edge + 0.35) / 0.15, 0, 1)
    return np.asarray((share * sharp + (1 - share) * soft)[..., np.newaxis] / np.float32(255), np.float32)


def _toned(source: Image, target: Image, frame: FaceFrame) -> NDArray[np.float32]:
    """The source with mean and spread of the target's colours around the eyes (Reinhard et al. 2001, in Lab)."""
    places = np.array([(-0.8, -0.35), (0.8, -0.35), (0.8, 0.15), (-0.8, 0.15)], np.float32)
    mask = np.zeros(target.shape[:2], np.uint8)
    cv2.fillPoly(mask, [frame.points(places).round().astype(np.int32)], 255)
    if not mask.any():
        return source.astype(np.float32)
    from_lab, to_lab = (cv2.cvtColor(image, cv2.COLOR_BGR2LAB).astype(np.float32) for image in (source, target))
    (mean, spread), (wanted, wanted_spread) = (cv2.meanStdDev(lab, mask=mask) for lab in (from_lab, to_lab))
    gain = np.clip(wanted_spread / np.maximum(spread, 1), 0.6, 1.6)
    lab = (from_lab - mean.T[np.newaxis]) * gain.T[np.newaxis] + wanted.T[np.newaxis]
    return cv2.cvtColor(np.clip(lab, 0, 255).astype(np.uint8), cv2.COLOR_LAB2BGR).astype(np.float32)
