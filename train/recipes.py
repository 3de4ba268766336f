"""From samples to batches of pixels: our balanced recipe, and the seeds' plain one. A helper process runs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.classifier import NOT_A_FACE
from edge.vision.geometry import Box, face_input
from train.augment.camera import Camera, degraded
from train.augment.cover import with_hand, with_object
from train.augment.framing import Framing, framed
from train.augment.keras_style import KerasRanges, distorted
from train.augment.masks import PROPER, UNDER_CHIN, UNDER_NOSE, FaceFrame, draw_mask
from train.augment.reveal import reveal_nose
from train.labels import MASK, NO_FACE, NO_MASK
from train.regions import Region, RegionFile
from train.samples import Sample
from train.sampling import SHARES, Draw, Sampler, Stratum
from train.views import squashed

Batch: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""RGB pixels of shape (n, size, size, 3) and indices into the labels of shape (n,)."""

_HAND_SHARE = 0.08
_OBJECT_SHARE = 0.12
_FRONTAL = 0.3
"""Turn of the head, in eye distances that the nose lies aside."""


def target_of(label: str, labels: Sequence[str]) -> int:
    """Index of the model's output for a sample's label: worn badly counts as no mask.

    Raises:
        ValueError: the model has no output for it.
    """
    name = {MASK: MASK, NO_FACE: NOT_A_FACE}.get(label, NO_MASK)
    if name not in labels:
        raise ValueError(f"the labels {list(labels)} have no place for {label}")
    return labels.index(name)


class Recipe(Protocol):
    """Makes the batches of an epoch; the same epoch and step give the same batch."""

    @property
    def steps(self) -> int: ...

    def batch(self, epoch: int, step: int) -> Batch: ...


@dataclass
class BalancedRecipe:
    """Our own: see `train.sampling` for what is drawn and `train.augment` for what is done to it.

    Args:
        samples, regions: the training part, in the same order; `regions` is the path of a `RegionFile`.
        labels: of the model; without `not_a_face` that stratum is left out.
        size: of the model's input in pixels.
        batch_size, steps: pictures a batch, batches an epoch.
        seed: of everything drawn.
        boost: see `Sampler`.
    """

    samples: list[Sample]
    regions: Path
    labels: tuple[str, ...]
    size: int
    batch_size: int
    steps: int
    seed: int
    shares: dict[Stratum, float] = field(default_factory=lambda: dict(SHARES))
    framing: Framing = field(default_factory=Framing)
    camera: Camera = field(default_factory=Camera)
    boost: dict[int, float] = field(default_factory=dict)

    @cached_property
    def _file(self) -> RegionFile:
        return RegionFile(self.regions)

    @cached_property
    def _sampler(self) -> Sampler:
        shares = {s: w for s, w in self.shares.items() if s is not Stratum.NOT_A_FACE or NOT_A_FACE in self.labels}
        made = {
            Stratum.SYNTHETIC_MASK: self._bare,
            Stratum.SYNTHETIC_INCORRECT: self._bare,
            Stratum.REVEALED: self._frontal_masks,
        }
        return Sampler(self.samples, made, shares, self.boost)

    @cached_property
    def _bare(self) -> list[int]:
        """Bare faces whose landmarks are known: a mask can be drawn on them."""
        return [i for i, s in enumerate(self.samples) if s.label == NO_MASK and self._file[i].landmarks is not None]

    @cached_property
    def _frontal_masks(self) -> list[int]:
        """Real masks on faces that look at the camera: a nose can be laid over them."""
        return [
            index
            for index, sample in enumerate(self.samples)
            if sample.label == MASK
            and not sample.flags & {"simulated_mask", "not_photo"}
            and (landmarks := self._file[index].landmarks) is not None
            and abs(FaceFrame(landmarks).turn) < _FRONTAL
        ]

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def batch(self, epoch: int, step: int) -> Batch:
        """Batch `step` of an epoch."""
        rng = np.random.default_rng([self.seed, epoch, step])
        pictures, targets = [], []
        for _ in range(self.batch_size):
            draw = self._sampler.draw(rng)
            pictures.append(self._picture(draw, rng))
            targets.append(self._target(draw))
        return np.stack(pictures), np.array(targets, np.int64)

    def _target(self, draw: Draw) -> int:
        if draw.stratum is Stratum.SYNTHETIC_MASK:
            return target_of(MASK, self.labels)
        if draw.stratum in (Stratum.SYNTHETIC_INCORRECT, Stratum.REVEALED):
            return target_of(NO_MASK, self.labels)
        return target_of(self.samples[draw.index].label, self.labels)

    def _picture(self, draw: Draw, rng: np.random.Generator) -> NDArray[np.uint8]:
        sample, region = self.samples[draw.index], self._file[draw.index]
        if draw.stratum is Stratum.NOT_A_FACE:
            return degraded(self._no_face(region, rng), self.camera, rng)
        if draw.stratum is Stratum.SYNTHETIC_MASK:
            region = draw_mask(region, PROPER, rng)
        elif draw.stratum is Stratum.SYNTHETIC_INCORRECT:
            region = draw_mask(region, UNDER_NOSE if rng.random() < 0.7 else UNDER_CHIN, rng)
        elif draw.stratum is Stratum.REVEALED:
            region = reveal_nose(region, self._file[self._bare[int(rng.integers(len(self._bare)))]], rng)
        elif sample.label == NO_MASK and region.landmarks is not None and rng.random() < _HAND_SHARE:
            region = with_hand(region, rng)
        face = framed(region, sample.kind, self.framing, self.size, rng)
        if rng.random() < _OBJECT_SHARE:
            face = with_object(face, rng)
        return degraded(face, self.camera, rng)

    def _no_face(self, region: Region, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A random square of a picture without people; now and then the body below a face, or a plain wall."""
        chance = rng.random()
        if chance < 0.06:
            return _wall(self.size, rng)
        if chance < 0.25:
            body = self._body(rng)
            if body is not None:
                return body
        height, width = region.image.shape[:2]
        side = round(min(height, width) * np.exp(rng.uniform(np.log(0.12), 0)))
        box = Box(int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1)), side, side)
        return face_input(region.image, box, 0.0, (self.size, self.size))

    def _body(self, rng: np.random.Generator) -> NDArray[np.uint8] | None:
        """Clothes or a shoulder under a face whose box is known; None if the region ends there."""
        index = int(rng.integers(len(self.samples)))
        region = self._file[index]
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


def _wall(size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Smooth random colours: walls, sky, a lens cap."""
    cells = int(rng.integers(1, 6))
    colours = rng.integers(0, 256, (cells, cells, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(colours, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)


@dataclass
class PlainRecipe:
    """The seeds' way: each file once an epoch in random order, squashed to a square, every copy counted."""

    samples: list[Sample]
    regions: Path
    labels: tuple[str, ...]
    size: int
    batch_size: int
    seed: int
    ranges: KerasRanges

    @property
    def steps(self) -> int:
        return -(-len(self.samples) // self.batch_size)

    @cached_property
    def _file(self) -> RegionFile:
        return RegionFile(self.regions)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def batch(self, epoch: int, step: int) -> Batch:
        """Batch `step` of an epoch; the last one may be smaller."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.samples))
        rng = np.random.default_rng([self.seed, epoch, step])
        chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
        pictures = [distorted(squashed(self._file[int(index)].image, self.size), self.ranges, rng) for index in chosen]
        targets = [target_of(self.samples[int(index)].label, self.labels) for index in chosen]
        return np.stack(pictures), np.array(targets, np.int64)
