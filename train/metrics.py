"""Figures of a mask classifier. Everything takes weights, so that a group with fifty copies counts as one picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from train.samples import Sample

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def group_weights(samples: Sequence[Sample]) -> Floats:
    """One over the number of samples of the same group and label; shape (n,).

    A group can hold both labels (the same person bare and with a drawn-on mask): each counts.
    """
    sizes = Counter((sample.group, sample.label) for sample in samples)
    return np.array([1 / sizes[sample.group, sample.label] for sample in samples], np.float64)


def _share(hits: Flags, weights: Floats) -> float:
    total = float(weights.sum())
    return float((hits * weights).sum() / total) if total else float("nan")


def balanced_accuracy(p_mask: Floats, is_mask: Flags, weights: Floats) -> float:
    """Mean of the shares of masked and of bare faces that are on the right side of 0.5; nan if a class is missing."""
    right = (p_mask >= 0.5) == is_mask
    return (_share(right[is_mask], weights[is_mask]) + _share(right[~is_mask], weights[~is_mask])) / 2


def accuracy(p_mask: Floats, is_mask: Flags, weights: Floats) -> float:
    """Share on the right side of 0.5."""
    return _share((p_mask >= 0.5) == is_mask, weights)


def called_mask(p_mask: Floats, weights: Floats) -> float:
    """Share at 0.5 or above; for faces with a badly worn mask the share that goes wrong."""
    return _share(p_mask >= 0.5, weights)


def decided(
    p_mask: Floats, is_mask: Flags, weights: Floats, mask_above: float, no_mask_below: float
) -> tuple[float, float]:
    """Share of wrong ones among the decided, and share of the undecided."""
    says_mask, says_bare = p_mask >= mask_above, p_mask <= no_mask_below
    known = says_mask | says_bare
    return _share((says_mask != is_mask)[known], weights[known]), _share(~known, weights)


def calibration_error(p_mask: Floats, is_mask: Flags, weights: Floats, bins: int = 15) -> float:
    """Expected calibration error (Naeini et al. 2015) of the more likely label, equal bins from 0.5 to 1."""
    confidence = np.maximum(p_mask, 1 - p_mask)
    right = (p_mask >= 0.5) == is_mask
    place = np.minimum(((confidence - 0.5) * 2 * bins).astype(int), bins - 1)
    error = 0.0
    for index in range(bins):
        inside = place == index
        if inside.any():
            share = float(weights[inside].sum() / weights.sum())
            gap = _share(right[inside], weights[inside]) - float(
                np.average(confidence[inside], weights=weights[inside])
            )
            error += share * abs(gap)
    return error


def log_loss(p_mask: Floats, is_mask: Flags, weights: Floats) -> float:
    """Mean negative logarithm of the probability of the truth."""
    likelihood = np.clip(np.where(is_mask, p_mask, 1 - p_mask), 1e-6, 1)
    return float(np.average(-np.log(likelihood), weights=weights))


def confusion(p_mask: Floats, is_mask: Flags, weights: Floats) -> list[list[float]]:
    """Rows: truth mask, no_mask. Columns: said mask, said no_mask. Sums of weights."""
    says = p_mask >= 0.5
    return [
        [float(weights[(is_mask == truth) & (says == said)].sum()) for said in (True, False)] for truth in (True, False)
    ]


def roc(p_mask: Floats, is_mask: Flags, weights: Floats) -> tuple[Floats, Floats, float]:
    """False-mask rate, true-mask rate at falling thresholds, and the area under the curve."""
    order = np.argsort(-p_mask, kind="stable")
    values, truth, weight = p_mask[order], is_mask[order], weights[order]
    ends = np.append(np.nonzero(np.diff(values))[0], len(values) - 1)
    hits = np.cumsum(weight * truth)[ends] / max((weight * truth).sum(), 1e-12)
    false = np.cumsum(weight * ~truth)[ends] / max((weight * ~truth).sum(), 1e-12)
    false, hits = np.insert(false, 0, 0.0), np.insert(hits, 0, 0.0)
    return false, hits, float(np.trapezoid(hits, false))
