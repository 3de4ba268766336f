"""From samples to batches of pixels: our balanced recipe, and the seeds' plain one. A helper process runs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.vision.classifier import NOT_A_FACE
from train.augment.camera import Camera, degraded
from train.augment.cover import with_hand, with_object
from train.augment.framing import Framing, framed
from train.augment.keras_style import KerasRanges, distorted
from train.augment.masks import PROPER, UNDER_CHIN, UNDER_NOSE, FaceFrame, draw_mask
from train.augment.reveal import reveal_nose
from train.labels import MASK, NO_FACE, NO_MASK
from train.not_faces import NotFaces
from train.regions import RegionFile
from train.samples import Sample
from train.sampling import SHARES, Draw, Sampler, Stratum, class_of
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
        objects, traps: see `NotFaces`.
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
    objects: Path | None = None
    traps: Path | None = None

    @cached_property
    def _file(self) -> RegionFile:
        return RegionFile(self.regions)

    @cached_property
    def _not_faces(self) -> NotFaces:
        return NotFaces(self._file, self.size, self.objects, self.traps)

    @cached_property
    def _sampler(self) -> Sampler:
        shares = {s: w for s, w in self.shares.items() if s is not Stratum.NOT_A_FACE or NOT_A_FACE in self.labels}
        made = {
            Stratum.SYNTHETIC_MASK: self._bare,
            Stratum.SYNTHETIC_INCORRECT: self._bare,
            Stratum.REVEALED: self._frontal_masks if self._bare else [],
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
            targets.append(target_of(class_of(draw.stratum), self.labels))
        return np.stack(pictures), np.array(targets, np.int64)

    def _picture(self, draw: Draw, rng: np.random.Generator) -> NDArray[np.uint8]:
        sample, region = self.samples[draw.index], self._file[draw.index]
        if draw.stratum is Stratum.NOT_A_FACE:
            return degraded(self._not_faces.draw(region, rng), self.camera, rng)
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
