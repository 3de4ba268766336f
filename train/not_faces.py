"""Pictures for the label `not_a_face`: what a detector hands over by mistake, as far as there are samples of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.geometry import Box, face_input
from train.detector.objects import read_objects
from train.detector.paste import Cutout
from train.detector.traps import load_traps
from train.regions import Region, RegionFile

_WALL, _BODY, _OBJECT, _TRAP = 0.06, 0.19, 0.3, 0.15
"""How often each comes, where it can be had; the rest are squares of the drawn picture."""

_LEAST_OBJECT, _MOST_OBJECT = 0.5, 1.8
"""Size of an object, square root of its area, in sides of the picture."""


@dataclass
class NotFaces:
    """Makes one picture at a time.

    Args:
        regions: of all samples; a body is cut from below a face.
        size: side of the pictures in pixels.
        objects: folder of cut-out things and animals (`train.detector.objects`), None for none.
        traps: file of what a detector took for faces (`train.detector.traps`), None for none.
    """

    regions: RegionFile
    size: int
    objects: Path | None = None
    traps: Path | None = None

    @cached_property
    def _objects(self) -> list[Cutout]:
        return read_objects(self.objects) if self.objects else []

    @cached_property
    def _traps(self) -> list[Cutout]:
        return load_traps(self.traps) if self.traps else []

    def draw(self, region: Region, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A random square of a picture without people; now and then something else.

        Args:
            region: the picture without people.
            rng: of the choice.

        Returns:
            RGB, shape (size, size, 3).
        """
        chance = rng.random()
        if chance < _WALL:
            return _wall(self.size, rng)
        chance -= _WALL
        if chance < _BODY:
            body = self._body(rng)
            return self._square(region, rng) if body is None else body
        chance -= _BODY
        if self._objects and chance < _OBJECT:
            return self._object(self._square(region, rng), rng)
        chance -= _OBJECT
        if self._traps and 0 <= chance < _TRAP:
            return self._trap(rng)
        return self._square(region, rng)

    def _square(self, region: Region, rng: np.random.Generator) -> NDArray[np.uint8]:
        height, width = region.image.shape[:2]
        side = max(1, round(min(height, width) * np.exp(rng.uniform(np.log(0.12), 0))))
        box = Box(int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1)), side, side)
        return face_input(region.image, box, 0.0, (self.size, self.size))

    def _body(self, rng: np.random.Generator) -> NDArray[np.uint8] | None:
        """Clothes or a shoulder under a face whose box is known; None if the region ends there."""
        region = self.regions[int(rng.integers(len(self.regions)))]
        if region.box is None:
            return None
        box = region.box
        side = round(max(box.width, box.height) * rng.uniform(0.4, 0.65))
        left = round(box.x + box.width / 2 - side / 2 + rng.uniform(-0.8, 0.8) * box.width)
        patch = Box(left, round(box.y + box.height * 1.08), side, side)
        inside = patch.clipped(region.image.shape[1], region.image.shape[0])
        if inside is None or inside.width * inside.height < 0.8 * side * side:
            return None
        return face_input(region.image, patch, 0.0, (self.size, self.size))

    def _object(self, ground: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """A thing or an animal, whole or a part of it, upright or nearly so, before a picture or a plain colour."""
        thing = self._objects[int(rng.integers(len(self._objects)))]
        height, width = thing.pixels.shape[:2]
        if rng.random() < 0.4:
            ground = np.empty_like(ground)
            ground[:] = rng.integers(0, 256, 3)
        scale = self.size * np.exp(rng.uniform(np.log(_LEAST_OBJECT), np.log(_MOST_OBJECT))) / np.sqrt(width * height)
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(0, 15)), float(scale))
        slack = np.maximum(np.array([width, height]) * scale - self.size, 0.2 * self.size) / 2
        matrix[:, 2] += self.size / 2 - np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * slack
        size = (self.size, self.size)
        laid = cv2.warpAffine(thing.pixels, matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
        weight = cv2.warpAffine(thing.alpha, matrix, size)[..., np.newaxis].astype(np.float32) / 255
        return np.asarray(ground + (laid[..., ::-1] - ground.astype(np.float32)) * weight, np.uint8)

    def _trap(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """What the detector's box held, framed as the daemon would, and a little looser or tighter."""
        trap = self._traps[int(rng.integers(len(self._traps)))]
        box = Box(*(round(float(value)) for value in trap.box))
        return face_input(trap.pixels, box, float(rng.uniform(0.0, 0.25)), (self.size, self.size))


def _wall(size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Smooth random colours: walls, sky, a lens cap."""
    cells = int(rng.integers(1, 6))
    colours = rng.integers(0, 256, (cells, cells, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(colours, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)
