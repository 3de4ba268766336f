"""Drawings for the reports, each as the bytes of a PNG. matplotlib is imported on use."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from edge.errors import UnavailableError
from train import metrics
from train.judging import Judgements
from train.runs import EpochRecord


def _axes(count: int, width: float = 4.6, height: float = 3.4) -> tuple[Any, list[Any]]:
    try:
        import matplotlib as mpl
    except ModuleNotFoundError as error:
        raise UnavailableError("plots need matplotlib, which is not here: install maskgate[train]") from error
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, count, figsize=(width * count, height), layout="constrained", squeeze=False)
    return figure, list(axes[0])


def _png(figure: Any) -> bytes:
    from matplotlib import pyplot as plt

    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    plt.close(figure)
    return out.getvalue()


def curves(history: Sequence[EpochRecord]) -> bytes:
    """Accuracy and loss of training and validation by epoch; phases are divided by a line."""
    figure, (left, right) = _axes(2)
    epochs = [record.epoch for record in history]
    for axis, name in ((left, "accuracy"), (right, "loss")):
        axis.plot(epochs, [getattr(record, name) for record in history], "o-", ms=3, label="training")
        axis.plot(epochs, [getattr(record, f"val_{name}") for record in history], "o-", ms=3, label="validation")
        for before, after in pairwise(history):
            if before.phase != after.phase:
                axis.axvline(before.epoch + 0.5, color="grey", lw=0.8, ls=":")
        axis.set(xlabel="epoch", title=name)
        axis.legend()
    left.plot(epochs, [record.val_balanced_accuracy for record in history], "--", lw=1, label="validation, balanced")
    left.legend()
    return _png(figure)


def confusion_matrix(judgements: Judgements) -> bytes:
    """Truth against answer of the real faces, in groups."""
    table = np.array(metrics.confusion(judgements.p_mask, judgements.is_mask, judgements.weights))
    figure, (axis,) = _axes(1, 3.6)
    axis.imshow(table / np.maximum(table.sum(axis=1, keepdims=True), 1e-9), cmap="Blues", vmin=0, vmax=1)
    names = ["mask", "no mask"]
    axis.set(xticks=[0, 1], yticks=[0, 1], xticklabels=names, yticklabels=names, xlabel="said", ylabel="truth")
    for row, column in np.ndindex(2, 2):
        axis.text(column, row, f"{table[row, column]:.1f}", ha="center", va="center", color="black")
    axis.set_title("groups")
    return _png(figure)


def reliability(judgements: Judgements, bins: int = 10) -> bytes:
    """How often the more likely label is right, by how sure the model is."""
    p_mask, is_mask, weights = judgements.p_mask, judgements.is_mask, judgements.weights
    confidence, right = np.maximum(p_mask, 1 - p_mask), (p_mask >= 0.5) == is_mask
    place = np.minimum(((confidence - 0.5) * 2 * bins).astype(int), bins - 1)
    figure, (axis, below) = _axes(2, 4)
    sure, hit = [], []
    for index in range(bins):
        inside = place == index
        if inside.any():
            sure.append(np.average(confidence[inside], weights=weights[inside]))
            hit.append(np.average(right[inside], weights=weights[inside]))
    axis.plot([0.5, 1], [0.5, 1], color="grey", lw=0.8)
    axis.plot(sure, hit, "o-")
    error = metrics.calibration_error(p_mask, is_mask, weights)
    axis.set(xlabel="confidence", ylabel="share right", title=f"calibration error {error:.4f}")
    below.hist([p_mask[is_mask], p_mask[~is_mask]], bins=25, range=(0, 1), label=["mask", "no mask"], log=True)
    thresholds = judgements.card.thresholds
    if thresholds:
        for edge in (thresholds.mask_above, thresholds.no_mask_below):
            below.axvline(edge, color="grey", lw=0.8, ls=":")
    below.set(xlabel="p_mask", title="faces")
    below.legend()
    return _png(figure)


def receiver(judgements: Judgements) -> bytes:
    """Receiver operating characteristic of the real faces."""
    false, hits, area = metrics.roc(judgements.p_mask, judgements.is_mask, judgements.weights)
    figure, (axis,) = _axes(1, 4)
    axis.plot(false, hits)
    axis.set(xlabel="bare faces called mask", ylabel="masks called mask", title=f"area {area:.4f}", xscale="symlog")
    axis.set_xscale("symlog", linthresh=0.01)
    axis.set_ylim(0.8, 1.003)
    return _png(figure)


def bars(names: Sequence[str], values: Sequence[float], title: str) -> bytes:
    """One bar a name."""
    figure, (axis,) = _axes(1, 5.5)
    axis.barh(list(names)[::-1], list(values)[::-1])
    axis.set_title(title)
    return _png(figure)


def histograms(series: Sequence[tuple[str, Sequence[float]]]) -> bytes:
    """One histogram a title."""
    figure, axes = _axes(len(series), 3.6)
    for axis, (title, values) in zip(axes, series, strict=True):
        axis.hist(values, bins=30)
        axis.set_title(title)
    return _png(figure)
