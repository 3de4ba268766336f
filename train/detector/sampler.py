"""Makes training pictures: which photo, which part of it at which size, what is pasted in, and mosaics."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from edge.vision.geometry import Box
from edge.vision.snapshot import CELLS, FACE_CELLS, mosaic
from train.augment.aside import Aside, look_aside
from train.detector.boxes import BARE, GUESSED, MASK, sizes
from train.detector.material import patch_without_face
from train.detector.mix import Mix
from train.detector.paste import Cutout, Place, free_place, paste, portrait, swap
from train.detector.scene import FACE, Scene, View, faces_of, joined, keep_visible, window

if TYPE_CHECKING:
    from train.detector.material import Material

NETWORK_LONG_SIDE: Final = 368
"""Pixels to which a finished detector brings the long side of a photo, about: training scales are spread round it."""

_SMALLEST, _LARGEST = 8.0, 300.0
"""Face sizes that windows are aimed at, pixels of the network's input; drawn evenly by octave."""

_LEAST_HIDDEN: Final = 14.0
"""Pixels of a face from which on it may be partly hidden: of a smaller one nothing would be left."""

_OBJECTS: Final = 0.6
"""Share of the face-free windows that get cut-out objects, where there are any."""


@dataclass
class Sampler:
    """Draws pictures from the material.

    Attributes:
        material: scenes and cut-outs of the training split.
        size: side of the square pictures in pixels.
        rng: source of chance.
        mix: shares.
        traps: patches that an earlier network took for faces.
    """

    material: Material
    size: int
    rng: np.random.Generator
    mix: Mix = field(default_factory=Mix)
    traps: list[Cutout] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._bare = self.material.bare()
        self._masked = self.material.masked()
        weights = np.array([_weight(scene) for scene in self.material.scenes])
        self._cumulated = np.cumsum(weights) / weights.sum()

    def draw(self) -> Scene:
        """One training picture of `size` x `size` pixels, before the faults of a camera."""
        mix = self.mix
        kinds = (self._mosaic, self._head_grid, self._close_up, self._emptied)
        chance = self.rng.random()
        for share, kind in zip((mix.mosaic, mix.heads, mix.close, mix.empty), kinds, strict=True):
            if chance < share:
                scene = kind()
                break
            chance -= share
        else:
            scene = self._photo((self.size, self.size))
        return self._coarse(scene) if self.rng.random() < mix.coarse else scene

    def _photo(self, size: tuple[int, int]) -> Scene:
        """A window of a photo with faces, some of them exchanged, now and then a patch without one."""
        if self.material.unboxed and self.rng.random() < self.mix.unboxed:
            scene = self.material.unboxed[int(self.rng.integers(len(self.material.unboxed)))]
            leaving, coming = GUESSED, self._masked
        else:
            scene = self.material.scenes[int(np.searchsorted(self._cumulated, self.rng.random()))]
            leaving, coming = MASK, self._bare
        scene = window(scene, self._view(scene, size), size, self._background())
        for index in faces_of(scene, leaving)[::-1]:
            if self.rng.random() < self.mix.swapped and sizes(scene.boxes[[index]])[0] >= 8:
                degrees = float(self.rng.normal(0, 7))
                scene = swap(scene, int(index), self._one_of(coming), degrees, mirrored=self.rng.random() < 0.5)
        if self.rng.random() < self.mix.hidden:
            scene = self._hidden(scene)
        if self.rng.random() < 0.25:
            scene = self._distracted(scene)
        return keep_visible(scene)

    def _hidden(self, scene: Scene) -> Scene:
        """A head before the lower half or a side of a face, as people stand in a crowd; both are to be found."""
        faces = np.flatnonzero((scene.roles == FACE) & (sizes(scene.boxes) >= _LEAST_HIDDEN))
        if not len(faces):
            return scene
        box = scene.boxes[int(self.rng.choice(faces))]
        face = self._one_of(self._bare if self.rng.random() < 0.5 else self._masked)
        size = float(sizes(box[None])[0]) * float(np.exp(self.rng.uniform(np.log(0.8), np.log(1.7))))
        # Half of the way between the two middles is hidden: about a third of the face behind.
        reach = 0.36 * (box[2:] + size)
        side, below = self.rng.choice([-1, 0, 1]) * self.rng.uniform(0.85, 1.1), self.rng.uniform(0.0, 1.1)
        if not side:
            below = max(below, 0.95)
        x, y = box[:2] + box[2:] / 2 + reach * (side, below)
        place = Place((float(x), float(y)), size, float(self.rng.normal(0, 7)), self.rng.random() < 0.5)
        return paste(scene, face, place)

    def _view(self, scene: Scene, size: tuple[int, int]) -> View:
        """A place and a scale: half of the time aimed at a face of a chosen size, else near the scale of use."""
        height, width = scene.pixels.shape[:2]
        scale = NETWORK_LONG_SIDE / max(height, width)
        faces = np.flatnonzero(scene.roles == FACE)
        chance = self.rng.random()
        if len(faces) and chance < 0.85:
            box = scene.boxes[int(self.rng.choice(faces))]
            extent = float(sizes(box[None])[0])
            if chance < 0.5:
                largest = min(_LARGEST, 0.9 * min(size), extent * scale * 3)
                smallest = min(max(_SMALLEST, extent * scale * 0.45), largest)
                scale = float(np.exp(self.rng.uniform(np.log(smallest), np.log(largest)))) / extent
            else:
                scale *= float(np.exp(self.rng.uniform(np.log(0.55), np.log(2.2))))
            reach = 0.5 * np.array(size) / scale
            centre = box[:2] + box[2:] / 2 + self.rng.uniform(-1, 1, 2) * np.maximum(reach - 0.3 * extent, 0)
        else:
            scale *= float(np.exp(self.rng.uniform(np.log(0.55), np.log(1.8))))
            centre = self.rng.uniform(0.15, 0.85, 2) * (width, height)
        # A window that reaches far beyond the photo teaches nothing: pull it back in.
        reach = 0.5 * np.array(size) / scale
        extent_of_scene = np.array([width, height])
        low = np.minimum(reach, extent_of_scene / 2) * 0.9
        centre = np.clip(centre, low, extent_of_scene - low)
        return View((float(centre[0]), float(centre[1])), scale, self._degrees(), self.rng.random() < 0.5)

    def _coarse(self, scene: Scene) -> Scene:
        """A picture as `privacy.snapshots` publishes it: a mosaic in the colours of faces, without one."""
        faces = [Box(*(int(side) for side in box)) for box in scene.boxes]
        # Cells of a twentieth of the frame: a third of the windows show all of it, the others a part.
        frame = self.size * max(1.0, float(self.rng.uniform(0.6, 2)))
        faces.append(Box(0, 0, int(frame * FACE_CELLS / CELLS), 1))
        pixels = cv2.resize(mosaic(scene.pixels, faces), (self.size, self.size), interpolation=cv2.INTER_NEAREST)
        return Scene(np.asarray(pixels, np.uint8), scene.boxes[:0], scene.roles[:0], scene.kinds[:0])

    def _one_of(self, pool: list[Cutout]) -> Cutout:
        """A face of the pool, half of the time looking aside."""
        face = pool[int(self.rng.integers(len(pool)))]
        if self.rng.random() < 0.5:
            return face
        box: tuple[float, float, float, float] = tuple(face.box.tolist())
        (pixels, alpha), moved = look_aside([face.pixels, face.alpha], box, Aside.draw(self.rng))
        return Cutout(pixels, alpha, np.array(moved, np.float32), face.kind)

    def _degrees(self) -> float:
        chance = self.rng.random()
        if chance < 0.45:
            return 0.0
        if chance < 0.85:
            return float(self.rng.normal(0, 8))
        return float(self.rng.uniform(-35, 35))

    def _background(self) -> int:
        return int(self.rng.choice([0, 114, 255], p=[0.25, 0.6, 0.15]))

    def _mosaic(self) -> Scene:
        """Four windows with a random cross between them."""
        cut = (self.rng.uniform(0.35, 0.65, 2) * self.size).astype(int)
        pixels = np.empty((self.size, self.size, 3), np.uint8)
        parts = []
        for left, right in ((0, int(cut[0])), (int(cut[0]), self.size)):
            for top, bottom in ((0, int(cut[1])), (int(cut[1]), self.size)):
                size = (right - left, bottom - top)
                part = self._photo(size) if self.rng.random() < 0.85 else self._head(size)
                pixels[top:bottom, left:right] = part.pixels
                parts.append((part, (left, top)))
        return joined(pixels, parts)

    def _head_grid(self) -> Scene:
        """Two by two up to seven by seven heads as photographed, some smaller than their places, on plain ground."""
        count = int(self.rng.integers(2, 8))
        largest = 1.0 if self.rng.random() < 0.5 else float(np.exp(self.rng.uniform(np.log(0.3), 0)))
        lines = np.linspace(0, self.size, count + 1).astype(int)
        pixels = np.empty((self.size, self.size, 3), np.uint8)
        parts = []
        for top, bottom in pairwise(lines):
            for left, right in pairwise(lines):
                part = self._head((int(right - left), int(bottom - top)), largest)
                pixels[top:bottom, left:right] = part.pixels
                parts.append((part, (int(left), int(top))))
        return joined(pixels, parts)

    def _head(self, size: tuple[int, int], largest: float = 1.0) -> Scene:
        scene = portrait(self._one_of(self.material.heads))
        height, width = scene.pixels.shape[:2]
        scale = max(size[0] / width, size[1] / height) * float(self.rng.uniform(0.9, 1.25)) * largest
        jitter = self.rng.uniform(-0.08, 0.08, 2)
        centre = ((0.5 + jitter[0]) * width, (0.5 + jitter[1]) * height)
        view = View(centre, scale, self._degrees(), self.rng.random() < 0.5)
        return window(scene, view, size, self._background())

    def _close_up(self) -> Scene:
        """A whole face crop at any size up to the window's, half of the time in the corner as the letterbox has it."""
        scene = portrait(self._one_of(self.material.faces))
        extent = np.array(scene.pixels.shape[1::-1], float)
        scale = self.size / float(extent.max()) * float(np.exp(self.rng.uniform(np.log(0.3), np.log(1.05))))
        reach = 0.5 * self.size / scale
        slack = np.maximum(reach - extent / 2, 0)
        offset = slack if self.rng.random() < 0.5 else self.rng.uniform(-1, 1, 2) * slack
        centre = extent / 2 + offset
        view = View((float(centre[0]), float(centre[1])), scale, self._degrees(), self.rng.random() < 0.5)
        return window(scene, view, (self.size, self.size), self._background())

    def _emptied(self) -> Scene:
        """A window of a photo without faces; half of the time some are pasted in, and patches without one as well."""
        scene = self.material.empty[int(self.rng.integers(len(self.material.empty)))]
        height, width = scene.pixels.shape[:2]
        # Nothing here has a right way up or a right size: whatever it is turned to, it is no face.
        scale = NETWORK_LONG_SIDE / max(height, width) * float(np.exp(self.rng.uniform(np.log(0.6), np.log(3.5))))
        centre = self.rng.uniform(0.2, 0.8, 2) * (width, height)
        degrees = self._degrees() if self.rng.random() < 0.7 else float(self.rng.uniform(-180, 180))
        view = View((float(centre[0]), float(centre[1])), scale, degrees, self.rng.random() < 0.5)
        scene = window(scene, view, (self.size, self.size), self._background())
        if self.material.objects and self.rng.random() < _OBJECTS:
            scene = self._with_objects(scene)
        if self.rng.random() < 0.5:
            for _ in range(int(self.rng.integers(1, 5))):
                scene = self._pasted(scene)
        if self.rng.random() < 0.6:
            scene = self._distracted(scene)
        return keep_visible(scene)

    def _with_objects(self, scene: Scene) -> Scene:
        """One to four things or animals, from a face's size to larger than the window; now and then on plain ground."""
        if self.rng.random() < 0.3:
            pixels = np.empty_like(scene.pixels)
            pixels[:] = self.rng.integers(0, 256, 3) if self.rng.random() < 0.6 else 255
            scene = Scene(pixels, scene.boxes, scene.roles, scene.kinds)
        for _ in range(int(self.rng.integers(1, 5))):
            thing = self.material.objects[int(self.rng.integers(len(self.material.objects)))]
            size = float(np.exp(self.rng.uniform(np.log(24), np.log(2 * self.size))))
            x, y = self.rng.uniform(0.05, 0.95, 2) * self.size
            degrees = self._degrees() if self.rng.random() < 0.8 else float(self.rng.uniform(-180, 180))
            tone = np.exp(self.rng.normal(0, 0.2, 3)).astype(np.float32)
            scene = paste(scene, thing, Place((float(x), float(y)), size, degrees, self.rng.random() < 0.5), tone)
        return scene

    def _pasted(self, scene: Scene) -> Scene:
        pool = self._bare if self.rng.random() < 0.6 else self._masked
        size = float(np.exp(self.rng.uniform(np.log(9), np.log(170))))
        centre = free_place(scene, size, self.rng)
        if centre is None:
            return scene
        place = Place(centre, size, self._degrees(), self.rng.random() < 0.5)
        return paste(scene, self._one_of(pool), place, np.exp(self.rng.normal(0, 0.15, 3)).astype(np.float32))

    def _distracted(self, scene: Scene) -> Scene:
        """One to three patches without a face, with the seams of pasted faces."""
        for _ in range(int(self.rng.integers(1, 4))):
            patch = self._patch()
            size = float(np.exp(self.rng.uniform(np.log(10), np.log(110))))
            centre = free_place(scene, size, self.rng)
            if patch is not None and centre is not None:
                scene = paste(scene, patch, Place(centre, size, self._degrees(), self.rng.random() < 0.5))
        return scene

    def _patch(self) -> Cutout | None:
        if self.material.objects and self.rng.random() < 0.35:
            return self.material.objects[int(self.rng.integers(len(self.material.objects)))]
        if self.traps and self.rng.random() < 0.6:
            return self.traps[int(self.rng.integers(len(self.traps)))]
        pool = self.material.scenes if self.rng.random() < 0.6 else self.material.empty
        return patch_without_face(pool[int(self.rng.integers(len(pool)))], self.rng)


def _weight(scene: Scene) -> float:
    """How often a photo is drawn: more if it shows bare faces, which the photos have fewer of."""
    bare = int(((scene.kinds == BARE) & (scene.roles == FACE)).sum())
    return 1.0 + min(bare, 3) * 0.7
