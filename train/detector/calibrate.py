"""Makes scores say how likely a box is a face.

What the network learns to give is the quality of its box, which seldom exceeds 0.75: the best threshold lay near 0.4.
Platt's method (1999) fits a line to the logits of the validation boxes, right ones against wrong ones; the line is then
built into the last layer of the score (`train.detector.export`), so that nobody has to know of it and 0.5 is the
natural threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from train.detector.metrics import Curve

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
        ValueError: all boxes are right, or all are wrong.
    """
    scores = np.concatenate([each.scores for each in curves]).astype(np.float64)
    right = np.concatenate([each.right for each in curves])
    if right.all() or not right.any():
        raise ValueError(f"expected right and wrong boxes, got {int(right.sum())} right ones of {len(right)}")
    logits = np.log(np.clip(scores, 1e-6, 1 - 1e-6) / np.clip(1 - scores, 1e-6, 1))
    # Platt's targets: a little short of 0 and 1, as if one more box of each sort had been seen.
    positives, negatives = right.sum(), (~right).sum()
    target = np.where(right, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    line = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ line, -30, 30)))
        gradient = design.T @ (chance - target)
        hessian = (design * (chance * (1 - chance))[:, None]).T @ design + _RIDGE * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        line -= step
        if np.abs(step).max() < 1e-8:
            break
    return Line(float(max(line[0], _LEAST_SLOPE)), float(line[1]))
