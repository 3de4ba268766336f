"""The figures of an int8 file on one part of a manifest, as they go into card, JSON and report."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from train import metrics
from train.judging import Judgements
from train.slices import Slice, slices_of, worst_slice


def figures_of(judgements: Judgements) -> dict[str, Any]:
    """All figures by name, rounded to four digits. Shares are by group and between 0 and 1; nan becomes None.

    Real photos only, apart from the entries that say otherwise. A face that is dropped as no face is counted in
    `faces_dropped`, and besides by its probability like any other.
    """
    real = judgements.chosen(judgements.real_faces)
    drawn = judgements.chosen(judgements.drawn_on & ~judgements.badly_worn)
    worn = judgements.chosen(judgements.badly_worn)
    worn_real = judgements.chosen(judgements.badly_worn & ~judgements.drawn_on)
    empty = judgements.chosen(judgements.without_face)
    values = (real.p_mask, real.is_mask, real.weights)
    thresholds = judgements.card.thresholds
    wrong, uncertain = (
        metrics.decided(*values, thresholds.mask_above, thresholds.no_mask_below) if thresholds else (np.nan, np.nan)
    )
    parts = slices_of(judgements)
    worst = worst_slice([part for part in parts if not part.name.startswith("badly worn")])
    figures: dict[str, Any] = {
        "faces": len(real.samples),
        "groups": len({sample.group for sample in real.samples}),
        "balanced_accuracy": metrics.balanced_accuracy(*values),
        "accuracy": metrics.accuracy(*values),
        "mask_recall": _right(real, real.is_mask),
        "no_mask_recall": _right(real, ~real.is_mask),
        "wrong_among_decided": wrong,
        "uncertain": uncertain,
        "calibration_error": metrics.calibration_error(*values) if len(real.samples) else np.nan,
        "area_under_roc": metrics.roc(*values)[2] if len(real.samples) else np.nan,
        "faces_dropped": _mean(real.dropped, real.weights),
        "drawn_on_accuracy": metrics.accuracy(drawn.p_mask, drawn.is_mask, drawn.weights) if drawn.samples else np.nan,
        "badly_worn_called_mask": metrics.called_mask(worn.p_mask, worn.weights) if worn.samples else np.nan,
        "badly_worn_real_called_mask": (
            metrics.called_mask(worn_real.p_mask, worn_real.weights) if worn_real.samples else np.nan
        ),
        "pictures_without_face_dropped": _mean(empty.dropped, empty.weights),
        "skipped": len(judgements.unreadable),
        "worst_slice": _named(worst) if worst else None,
        "slices": [_named(part) for part in parts],
    }
    return {name: _rounded(value) for name, value in figures.items()}


def _right(judgements: Judgements, which: metrics.Flags) -> float:
    part = judgements.chosen(which)
    return metrics.accuracy(part.p_mask, part.is_mask, part.weights)


def _named(part: Slice) -> dict[str, Any]:
    return {name: _rounded(value) for name, value in asdict(part).items()}


def _mean(which: metrics.Flags, weights: metrics.Floats) -> float:
    return float(np.average(which, weights=weights)) if len(which) else float("nan")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 4)
    return value
