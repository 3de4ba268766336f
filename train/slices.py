"""The same figures on parts of the test faces: which kind of picture is the model worst at?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from train import metrics
from train.judging import Judgements
from train.metrics import Flags

SMALLEST_SLICE = 20
"""Groups; a share of fewer is chance and is never named the worst."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A part and how well it goes.

    Attributes:
        name: `size: 20 to 32 px`.
        faces, groups: how many.
        right: share by group on the right side of 0.5, the mean of both classes where there are both.
        uncertain: share by group between the card's thresholds.
    """

    name: str
    faces: int
    groups: int
    right: float
    uncertain: float


def slices_of(judgements: Judgements) -> list[Slice]:
    """All slices that hold anything. Badly worn masks count as right when they are not called mask."""
    found = []
    for name, which in _parts(judgements):
        part = judgements.chosen(which)
        if part.samples:
            found.append(_measured(name, part))
    return found


def worst_slice(slices: list[Slice]) -> Slice | None:
    """The slice with the smallest share right among those with enough groups."""
    large = [part for part in slices if part.groups >= SMALLEST_SLICE]
    return min(large, key=lambda part: part.right, default=None)


def _measured(name: str, part: Judgements) -> Slice:
    p_mask, is_mask, weights = part.p_mask, part.is_mask, part.weights
    both = is_mask.any() and not is_mask.all()
    right = metrics.balanced_accuracy(p_mask, is_mask, weights) if both else metrics.accuracy(p_mask, is_mask, weights)
    thresholds = part.card.thresholds
    uncertain = (
        metrics.decided(p_mask, is_mask, weights, thresholds.mask_above, thresholds.no_mask_below)[1]
        if thresholds
        else float("nan")
    )
    return Slice(name, len(part.samples), len({sample.group for sample in part.samples}), right, uncertain)


def _parts(judgements: Judgements) -> Iterator[tuple[str, Flags]]:
    real, samples = judgements.real_faces, judgements.samples
    sources = np.array([sample.source.partition("@")[0] for sample in samples], dtype=str)
    kinds = np.array([sample.kind for sample in samples], dtype=str)
    for source in sorted(set(sources[real])):
        yield f"source: {source}", real & (sources == source)
    for kind in sorted(set(kinds[real])):
        yield f"kind: {kind}", real & (kinds == kind)
    yield from _ranges("size", judgements.face_px, (0, 20, 32, 64, 1e9), " px", real)
    yield from _ranges("sharpness", judgements.sharpness, (0, 50, 200, 1000, 1e9), "", real)
    yield from _ranges("brightness", judgements.brightness, (0, 70, 120, 180, 256), "", real)
    faces = judgements.is_mask | (judgements.truth == "no_mask")
    yield "mask: real", real & judgements.is_mask
    yield "mask: drawn on", faces & judgements.drawn_on & judgements.is_mask
    yield "mask: none", real & ~judgements.is_mask
    yield "badly worn: real", judgements.badly_worn & ~judgements.drawn_on
    yield "badly worn: drawn on", judgements.badly_worn & judgements.drawn_on
    published = np.array([sample.published_label for sample in samples], dtype=str)
    for kind in ("Mask_Chin", "Mask_Mouth_Chin"):
        yield f"badly worn: {kind}", judgements.badly_worn & (published == kind)
    for flag in sorted({flag for sample in samples for flag in sample.flags} - {"simulated_mask"}):
        tagged = np.array([flag in sample.flags for sample in samples], bool)
        yield f"tagged: {flag}", real & tagged


def _ranges(
    name: str, values: metrics.Floats, edges: tuple[float, ...], unit: str, real: Flags
) -> Iterator[tuple[str, Flags]]:
    for low, high in itertools.pairwise(edges):
        text = f"{low:g} to {high:g}{unit}" if high < 1e9 else f"from {low:g}{unit}"
        yield f"{name}: {text}", real & (values >= low) & (values < high)
