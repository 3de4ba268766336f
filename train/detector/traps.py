"""False alarms of an earlier network on the training pictures, kept as patches to paste."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge.errors import UsageError
from edge.vision.geometry import overlaps
from train.arrays import read_arrays
from train.detector.boxes import share_inside
from train.detector.material import patch_at
from train.detector.paste import Cutout, oval
from train.files import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from train.detector.measure import FindsFaces
    from train.detector.scene import Scene


_PERHAPS_A_FACE: Final = 0.5
"""What a trained network gives such a score on a training photo may well be a face that nobody boxed."""


def mine(detector: FindsFaces, scenes: list[Scene]) -> list[Cutout]:
    """Finds what a detector takes for faces away from every box, the doubtful ones included.

    Args:
        detector: made with a low `min_score`, such as 0.2.
        scenes: training photos.
    """
    patches = []
    for scene in scenes:
        found = [face for face in detector.detect(scene.pixels) if face.score < _PERHAPS_A_FACE]
        if not found:
            continue
        boxes = np.array([(d.box.x, d.box.y, d.box.width, d.box.height) for d in found], np.float32)
        wrong = np.ones(len(boxes), bool)
        if len(scene.boxes):
            meets = (overlaps(boxes, scene.boxes) > 0.05) | (share_inside(boxes, scene.boxes) > 0.2)
            near = np.any(meets | (share_inside(scene.boxes, boxes).T > 0.2), axis=1)
            wrong = np.logical_not(near)
        patches += [patch_at(scene, box) for box in boxes[wrong] if min(box[2:]) >= 8]
    return patches


def save_traps(patches: list[Cutout], path: Path) -> None:
    """Writes patches to a .npz file."""
    pixels = {f"{number:05}": patch.pixels for number, patch in enumerate(patches)}
    with replacing(path) as draft:
        np.savez_compressed(draft, **pixels)  # type: ignore[arg-type]


def load_traps(path: Path) -> list[Cutout]:
    """Reads what `save_traps` wrote.

    Raises:
        UsageError: it is another file, or damaged.
    """
    try:
        return [_trap(name, pixels) for name, pixels in read_arrays(path).items()]
    except ValueError as error:
        raise UsageError(f"{path} is no file of false alarms from `maskgate-train detector mine`: {error}") from error


def _trap(name: str, pixels: NDArray[Any]) -> Cutout:
    """A patch of a file.

    Raises:
        ValueError: it is none.
    """
    if pixels.dtype != np.uint8 or pixels.shape[2:] != (3,) or not pixels.size:
        raise ValueError(f"{name}: expected (height, width, 3) of uint8, got {pixels.shape} of {pixels.dtype}")
    inner = np.array([0.17, 0.17, 0.66, 0.66], np.float32) * np.array(pixels.shape[1::-1] * 2, np.float32)
    return Cutout(pixels, oval((pixels.shape[0], pixels.shape[1]), inner), inner, None)
