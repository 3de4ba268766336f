"""Makes scores say how likely a box is a face.

What the network learns to give is the quality of its box, which seldom exceeds 0.75: the best threshold lay near 0.4.
Platt's method (1999) fits a line to the logits of the validation boxes, right ones against wrong ones; the line is then
built into the last layer of the score (`train.detector.export`). What the agreement of neighbouring places adds is then
fitted to the finished file's boxes, and is for the card (docs/decisions/0018-support.md). So nobody has to know of
either, and 0.5 is the natural threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge.errors import ModelError
from edge.vision.decoding import Support, logits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from train.detector.metrics import Curve

    Floats = NDArray[np.float32]

_STEPS: Final = 100
_RIDGE: Final = 1e-3
_LEAST_SLOPE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Line:
    """New logit = scale * logit + shift."""

    scale: float = 1.0
    shift: float = 0.0


def platt(curves: list[Curve]) -> Line:
    """Fits the line by Newton's method.

    Args:
        curves: boxes with their scores (0 to 1, exclusive) and whether they are right.

    Raises:
        ModelError: all boxes are right, or all are wrong.
    """
    certainty = logits(np.concatenate([each.scores for each in curves])).astype(np.float64)
    right = np.concatenate([each.right for each in curves])
    scale, shift = _regression(np.stack([certainty, np.ones_like(certainty)], axis=1), right, np.zeros_like(certainty))
    return Line(max(scale, _LEAST_SLOPE), shift)


def supported(least: float, own: Floats, total: Floats, right: NDArray[np.bool_]) -> Support:
    """Fits what becomes of a score that no other place agrees with, so that 0.5 stays the natural threshold.

    Args:
        least: the score that a place had to reach.
        own: the score of each box, shape (n,).
        total: the sum of the scores that each stands for, shape (n,).
        right: whether each is right, shape (n,).

    Raises:
        ModelError: all boxes are right, or all are wrong.
    """
    (shift,) = _regression(np.ones((len(own), 1)), right, logits(own) + np.log(total / own))
    return Support(least=least, alone=math.exp(shift))


def _regression(
    design: NDArray[np.float64], right: NDArray[np.bool_], known: NDArray[np.floating[Any]]
) -> tuple[float, ...]:
    """Logistic regression by Newton's method: weights of the columns of a design, beside what is known of the logits.

    The targets are Platt's: a little short of 0 and 1, as if one more box of each sort had been seen.
    """
    positives, negatives = int(right.sum()), int((~right).sum())
    if not positives or not negatives:
        raise ModelError(
            f"of {len(right)} boxes that the network finds on the validation part {positives} are right, "
            "and its scores are fitted to right and wrong ones: train longer"
        )
    target = np.where(right, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    weights = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(known + design @ weights, -30, 30)))
        gradient = design.T @ (chance - target)
        hessian = (design * (chance * (1 - chance))[:, None]).T @ design + _RIDGE * np.eye(len(weights))
        step = np.linalg.solve(hessian, gradient)
        # Where all is sure and wrong the curve is flat, and a whole step would leave it for good.
        weights -= step / max(1.0, np.abs(step).max())
        if np.abs(step).max() < 1e-8:
            break
    return tuple(float(weight) for weight in weights)
