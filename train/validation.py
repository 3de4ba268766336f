"""How good a network is on the validation part while it is trained, on steady views of the faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.vision.classifier import NOT_A_FACE
from train import metrics
from train.architectures import Model, Pixels
from train.labels import INCORRECT, MASK, NO_FACE, NO_MASK
from train.regions import RegionFile
from train.samples import Sample
from train.views import face_view, squashed

SMALLEST_JUDGED = 16
"""Longer side in pixels of the smallest boxed face that is counted; under this the labels themselves are guesses."""


def judged(sample: Sample) -> bool:
    """Whether a sample takes part in figures: it has a label, and a boxed face is not too small."""
    if sample.label not in (MASK, NO_MASK, INCORRECT, NO_FACE) or sample.kind == "clip":
        return False
    return sample.kind != "boxed" or sample.box is None or max(sample.box.width, sample.box.height) >= SMALLEST_JUDGED


@dataclass(frozen=True)
class Validation:
    """Scores of an epoch; `score` is what the best checkpoint has most of."""

    score: float
    loss: float
    accuracy: float
    balanced_accuracy: float
    incorrect_as_mask: float
    faces_dropped: float


class ValidationSet:
    """Views of the validation part, made once.

    Args:
        samples, regions: in the same order.
        margin: of the pipeline; None shows each picture squashed to the square, as the seeds do.
        size: of the input in pixels.
        metric: `balanced` counts groups once and real photos only; `accuracy` counts files, as the seeds do.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        regions: RegionFile,
        labels: tuple[str, ...],
        size: int,
        margin: float | None,
        metric: str = "balanced",
    ) -> None:
        chosen = [index for index, sample in enumerate(samples) if judged(sample)]
        if metric == "accuracy" or NOT_A_FACE not in labels:
            chosen = [index for index in chosen if samples[index].label != NO_FACE]
        self.samples = [samples[index] for index in chosen]
        self._labels, self._metric = labels, metric
        views = []
        for index in chosen:
            region = regions[index]
            if margin is None:
                views.append(squashed(region.image, size))
            else:
                views.append(face_view(samples[index].kind, region.image, region.box, margin, size))
        self.views: NDArray[np.uint8] = np.stack(views)
        self._truth = np.array([sample.label for sample in self.samples])
        self._weights = metrics.group_weights(self.samples)
        drawn = np.array([sample.drawn_on for sample in self.samples])
        self._real = np.isin(self._truth, (MASK, NO_MASK)) & ~drawn

    def validate(self, probabilities: NDArray[np.floating]) -> Validation:
        """Scores of probabilities of shape (n, labels), in the order of `samples`."""
        by_label = {label: probabilities[:, index].astype(np.float64) for index, label in enumerate(self._labels)}
        mask, bare = by_label[MASK], by_label[NO_MASK]
        p_mask = mask / np.maximum(mask + bare, 1e-12)
        is_mask = self._truth == MASK
        wrong_wear = self._truth == INCORRECT
        chosen = self._real if self._metric == "balanced" else np.ones(len(p_mask), bool)
        weights = self._weights if self._metric == "balanced" else np.ones(len(p_mask))
        figures = (p_mask[chosen], is_mask[chosen], weights[chosen])
        accuracy, balanced = metrics.accuracy(*figures), metrics.balanced_accuracy(*figures)
        loss = metrics.log_loss(*figures)
        as_mask = metrics.called_mask(p_mask[wrong_wear], weights[wrong_wear]) if wrong_wear.any() else float("nan")
        dropped = 0.0
        if NOT_A_FACE in by_label:
            lost = by_label[NOT_A_FACE] >= np.maximum(mask, bare)
            dropped = float(np.average(lost[self._real], weights=self._weights[self._real]))
        score = accuracy
        if self._metric == "balanced":
            # A dropped face is as lost as one that is wrong. Bad wear is rare at a door, but not to be forgotten.
            score = balanced - 0.5 * dropped - 0.03 * (0.0 if np.isnan(as_mask) else as_mask) - 0.02 * loss
        return Validation(score, loss, accuracy, balanced, as_mask, dropped)


def predict(model: Model, views: NDArray[np.uint8], pixels: Pixels, batch: int = 64) -> NDArray[np.float32]:
    """Probabilities of a Keras model that gives logits; shape (n, labels). One logit means the second of two labels."""
    parts = []
    for start in range(0, len(views), batch):
        raw = views[start : start + batch].astype(np.float32)
        parts.append(np.asarray(model((raw - pixels.zero_point) * np.float32(pixels.scale), training=False)))
    logits = np.concatenate(parts)
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
