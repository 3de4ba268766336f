"""What training pictures are made of, decoded once: scenes, cut-out faces and heads, patches without a face."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from train.detector.boxes import BARE, GUESSED, MARGINS, Boxes, share_inside, sizes, to_our_rule
from train.detector.data import NO_FACE, NOBODY, Face, read_face_free, read_faces, read_folder, read_photos
from train.detector.objects import read_objects
from train.detector.paste import Cutout, oval, soft_rectangle
from train.detector.scene import Scene, scene_of
from train.detector.teacher import labels
from train.packages import at_most

if TYPE_CHECKING:
    from pathlib import Path

_CROP_SIZE: Final = (160,)
"""Face crops are small and hold one face: the teacher looks at one size only."""

_LONG_SIDE: Final = 960
"""Of pictures that somebody adds, in pixels: no window sees more of one, and a thousand of a camera fill any memory."""

_NOBODY: Final = np.zeros((0, 5), np.float32)
"""What the teacher sees in a picture that it need not look at."""

_SURE: Final = 0.5
_HEAD_ROOM: Final = 1.45
"""A cut-out whose sides are that much longer than the face's shows the whole head and is pasted whole."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a training picture may be made of.

    Attributes:
        scenes: photos with faces.
        empty: photos without a face.
        faces: cut-out faces to paste into scenes.
        heads: those of them that show the whole head, to be used as scenes of their own.
        objects: cut-out things and animals, to paste as what is no face.
        unboxed: photos in which the teacher alone has seen faces, taken for bare ones.
    """

    scenes: list[Scene]
    empty: list[Scene]
    faces: list[Cutout]
    heads: list[Cutout]
    objects: list[Cutout] = field(default_factory=list)
    unboxed: list[Scene] = field(default_factory=list)

    def bare(self) -> list[Cutout]:
        """The cut-out faces that wear nothing."""
        return [face for face in self.faces if face.kind == BARE]

    def masked(self) -> list[Cutout]:
        """The other cut-out faces."""
        return [face for face in self.faces if face.kind != BARE]


def gather(
    data: Path,
    split: str,
    teacher: Path,
    cache: Path,
    objects: Path | None = None,
    face_free: Path | None = None,
    unboxed: Path | None = None,
) -> Material:
    """Reads and decodes the material of one split.

    Args:
        data: the folder of MANIFEST.csv.
        split: train or val.
        teacher: YuNet's .onnx file.
        cache: folder where the teacher's answers are kept.
        objects: folder of `train.detector.objects`, None for none.
        face_free: folder of further pictures without a face, None for none.
        unboxed: folder of further photos with faces, None for none.
    """
    photos, empty = read_photos(data, split), read_face_free(data, split)
    backgrounds = read_folder(face_free, NO_FACE) if face_free else []
    further = read_folder(unboxed, NOBODY) if unboxed else []
    seen = labels(teacher, [*photos, *empty, *further], cache)
    crops = read_faces(data, split)
    seen_in_crops = labels(teacher, crops, cache, _CROP_SIZE)
    faces, heads = [], []
    for crop in crops:
        cutout = _cutout(crop, seen_in_crops[crop.name])
        if cutout is None:
            continue
        faces.append(cutout)
        if crop.framing != "crop" or _shows_head(cutout):
            heads.append(cutout)
    return Material(
        scenes=[scene_of(photo, seen[photo.name]) for photo in photos],
        # Animals and objects that detectors fire on come twice.
        empty=[scene_of(photo, seen[photo.name]) for photo in empty for _ in range(1 + photo.bait)]
        + [_smaller(scene_of(photo, _NOBODY)) for photo in backgrounds],
        faces=faces,
        heads=heads,
        objects=read_objects(objects) if objects else [],
        unboxed=[_smaller(scene_of(photo, seen[photo.name], GUESSED)) for photo in further],
    )


def _smaller(scene: Scene) -> Scene:
    pixels = at_most(scene.pixels, _LONG_SIDE)
    ratio = np.array([pixels.shape[1] / scene.pixels.shape[1], pixels.shape[0] / scene.pixels.shape[0]] * 2, np.float32)
    return Scene(pixels, scene.boxes * ratio, scene.roles, scene.kinds)


def patch_without_face(scene: Scene, rng: np.random.Generator) -> Cutout | None:
    """A square of a photo that meets no box, to be pasted like a face; None if eight throws found none."""
    height, width = scene.pixels.shape[:2]
    for _ in range(8):
        side = float(np.exp(rng.uniform(np.log(16), np.log(max(17, min(height, width) * 0.6)))))
        x, y = rng.uniform(0, max(1, width - side)), rng.uniform(0, max(1, height - side))
        box: Boxes = np.array([[x, y, side, side]], np.float32)
        if not len(scene.boxes) or not (share_inside(scene.boxes, box) > 0).any():
            return _patch(scene, box[0])
    return None


def patch_at(scene: Scene, box: NDArray[np.float32]) -> Cutout:
    """A piece of a photo round a box that a network mistook for a face, with a quarter of its size on each side."""
    left, top, width, height = box
    return _patch(scene, np.array([left - width / 4, top - height / 4, width * 1.5, height * 1.5], np.float32))


def _patch(scene: Scene, box: NDArray[np.float32]) -> Cutout:
    height, width = scene.pixels.shape[:2]
    left, top = max(0, int(box[0])), max(0, int(box[1]))
    right, bottom = min(width, int(box[0] + box[2]) + 1), min(height, int(box[1] + box[3]) + 1)
    pixels = scene.pixels[top:bottom, left:right].copy()
    inner = np.array([0.17, 0.17, 0.66, 0.66], np.float32) * np.array(pixels.shape[1::-1] * 2, np.float32)
    return Cutout(pixels, oval((pixels.shape[0], pixels.shape[1]), inner), inner, None)


def _cutout(crop: Face, seen: NDArray[np.float32]) -> Cutout | None:
    """A crop with the box of the one face that the teacher is sure of, or None."""
    if not len(seen) or seen[:, 4].max() < _SURE:
        return None
    rule = MARGINS["teacher_bare" if crop.kind == BARE else "teacher_mask"]
    box = to_our_rule(seen[[int(seen[:, 4].argmax())], :4], rule)[0]
    pixels = crop.pixels()
    height, width = pixels.shape[:2]
    centre = box[:2] + box[2:] / 2
    if (
        not (0.2 * width < centre[0] < 0.8 * width and 0.2 * height < centre[1] < 0.8 * height)
        or sizes(box[None])[0] < 24
    ):
        return None
    low = np.maximum(box[:2], 0)
    high = np.minimum(box[:2] + box[2:], (width, height))
    box = np.concatenate([low, high - low]).astype(np.float32)
    cutout = Cutout(pixels, oval((height, width), box), box, crop.kind)
    if _shows_head(cutout):
        return Cutout(pixels, np.maximum(cutout.alpha, soft_rectangle((height, width))), box, crop.kind)
    return cutout


def _shows_head(cutout: Cutout) -> bool:
    height, width = cutout.pixels.shape[:2]
    return bool(width > _HEAD_ROOM * cutout.box[2] and height > _HEAD_ROOM * cutout.box[3])
