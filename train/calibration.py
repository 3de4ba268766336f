"""Temperature and thresholds, both found on the validation part with the int8 file that will be shipped."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.vision.cards import Thresholds
from edge.vision.classifier import NOT_A_FACE, calibrated
from train import metrics
from train.labels import MASK, NO_MASK
from train.metrics import Flags, Floats
from train.samples import Sample

log = logging.getLogger(__name__)

_TEMPERATURES = np.exp(np.linspace(np.log(0.3), np.log(4), 80))
_LEAST_SURE = 0.75
"""No face is decided at less than this, however good the validation part looks. At 0.6 a skull on a shirt and a hand
beside a face, neither of which `val` has, were said to be bare faces."""

_MOST_SURE = 0.99


def mask_probability(probabilities: NDArray[np.floating], labels: tuple[str, ...], temperature: float) -> Floats:
    """What the daemon calls `p_mask`, by its own function; `probabilities` has shape (n, labels)."""
    if not len(probabilities):
        return np.zeros(0)
    mask, bare = labels.index("mask"), labels.index("no_mask")
    scaled = np.stack([calibrated(np.asarray(row, np.float32), temperature) for row in probabilities])
    return np.asarray(scaled[:, mask] / (scaled[:, mask] + scaled[:, bare]))


def fit_temperature(
    probabilities: NDArray[np.floating], labels: tuple[str, ...], is_mask: Flags, weights: Floats
) -> float:
    """The temperature with the smallest log loss (Guo et al. 2017), to about 3 %."""
    losses = [
        metrics.log_loss(mask_probability(probabilities, labels, float(temperature)), is_mask, weights)
        for temperature in _TEMPERATURES
    ]
    return round(float(_TEMPERATURES[int(np.argmin(losses))]), 3)


def favours(
    probabilities: NDArray[np.floating], samples: Sequence[Sample], labels: tuple[str, ...]
) -> dict[str, float]:
    """What to add to the logit of each label so that no class is favoured and hardly a face is dropped.

    Badly worn masks count with the bare faces: what fits the two classes alone calls half of them masks.

    Args:
        probabilities: of the uncalibrated network, shape (n, labels).
        samples: real photos, masked, bare or badly worn.
        labels: of the columns.
    """
    is_mask, weights = np.array([sample.label == MASK for sample in samples]), metrics.group_weights(samples)
    shift = fit_shift(probabilities, labels, is_mask, weights)
    added = {MASK: shift / 2, NO_MASK: -shift / 2}
    tilted = probabilities * np.exp([added.get(label, 0.0) for label in labels])
    return added | {NOT_A_FACE: fit_reserve(tilted / tilted.sum(axis=1, keepdims=True), labels, weights)}


_SHIFTS = np.arange(-1.0, 2.001, 0.05)
_FLAT = 1.02


def fit_shift(probabilities: NDArray[np.floating], labels: tuple[str, ...], is_mask: Flags, weights: Floats) -> float:
    """What to add to the logarithm of mask against bare so that neither class is favoured.

    The badly worn masks among the training pictures pull towards "no mask", more than at a door. The shift has the
    smallest log loss with both classes weighing the same; it moves into the bias of the network's head.
    """
    temperature = fit_temperature(probabilities, labels, is_mask, weights)
    p_mask = np.clip(mask_probability(probabilities, labels, temperature), 1e-6, 1 - 1e-6)
    logits = np.log(p_mask / (1 - p_mask))
    balanced = np.where(is_mask, weights / weights[is_mask].sum(), weights / weights[~is_mask].sum())
    losses = [metrics.log_loss(1 / (1 + np.exp(-logits - shift / temperature)), is_mask, balanced) for shift in _SHIFTS]
    # The valley is flat. Of what is nearly best the smallest shift, so that badly worn masks gain least from it.
    good = _SHIFTS[np.array(losses) <= min(losses) * _FLAT]
    return round(float(good[np.abs(good).argmin()]), 2)


_DROPPED = 0.002
_MOST_RESERVE = 2.0
"""Share of real faces that may be taken for none, and how far the label is held back for it at most. A face that is
dropped is lost, a skull on a shirt that stays may become a verdict. At 0.001 a single odd portrait of `val` decided for
all; of the 2,237 faces that the detector finds there none is dropped at 0.002."""


def fit_reserve(probabilities: NDArray[np.floating], labels: tuple[str, ...], weights: Floats) -> float:
    """What to add to the logit of `not_a_face`, never above zero, so that hardly a real face is dropped.

    Args:
        probabilities: of real faces, shape (n, labels).
        labels: of the columns.
        weights: of the faces.
    """
    if NOT_A_FACE not in labels:
        return 0.0
    logs = np.log(np.clip(probabilities.astype(np.float64), 1e-9, 1))
    at = labels.index(NOT_A_FACE)
    lead = logs[:, at] - np.delete(logs, at, axis=1).max(axis=1)
    order = np.argsort(-lead)
    dropped = np.cumsum(weights[order]) / weights.sum()
    # The first face whose share is beyond the goal must stay, and all behind it.
    first = lead[order][int(np.searchsorted(dropped, _DROPPED, side="right"))]
    return round(float(np.clip(-first - 0.01, -_MOST_RESERVE, 0.0)), 2)


@dataclass(frozen=True, slots=True)
class Goal:
    """At most this share wrong among the decided; each side of the band is held to it by itself.

    Half of the one in a hundred that is promised: pictures from elsewhere are wrong about twice as often as those of
    `val`, which come from the sources of the training part.
    """

    wrong: float = 0.005


def choose_thresholds(p_mask: Floats, is_mask: Flags, weights: Floats, goal: Goal = Goal()) -> Thresholds:
    """The widest decided ranges on both sides that hold the goal.

    Each side is held to the goal, not only their sum: a door that sees mostly bare faces must trust them as well. A
    side that nothing holds to it is named in the log, and is the narrowest.
    """
    above = _edge(p_mask, is_mask, weights, goal.wrong)
    below = _edge(1 - p_mask, ~is_mask, weights, goal.wrong)
    for side, edge, value in (("mask_above", above, _MOST_SURE), ("no_mask_below", below, 1 - _MOST_SURE)):
        if edge is None:
            log.warning(
                "no %s holds the goal of at most %g %% wrong; it is %.2f, and more than that will be wrong, or hardly "
                "a face decided: train on more pictures, or look at the labels",
                *(side, goal.wrong * 100, value),
            )
    return Thresholds(
        mask_above=round(_MOST_SURE if above is None else above, 3),
        no_mask_below=round(1 - (_MOST_SURE if below is None else below), 3),
    )


def _edge(score: Floats, right: Flags, weights: Floats, wrong: float) -> float | None:
    """The lowest edge, at least `_LEAST_SURE`, above which at most the given share of weight is wrong; None if none is.

    An edge with nothing above it does not count.
    """
    for edge in np.arange(_LEAST_SURE, _MOST_SURE + 0.001, 0.005):
        inside = score >= edge
        total = float(weights[inside].sum())
        if total and float(weights[inside & ~right].sum()) / total <= wrong:
            return float(edge)
    return None
