"""Distillation: a larger network that has been trained says how much of each label it sees in the same pictures.

Hinton et al. 2015, and Beyer et al. 2022 ("a good teacher is patient and consistent"): the teacher answers to exactly
the picture that the student is shown, faults of the camera included. There is no temperature: both networks are trained
against smoothed labels, which keeps the answers from being all or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from train.architectures import Model
from train.runs import RunFolder, RunSettings

Floats = NDArray[np.float32]

SHARE = 0.7
"""Of what the student is to answer, how much is the teacher's answer; the rest is the label."""


@dataclass(frozen=True)
class Teacher:
    """Gives the answers that a student learns.

    Args:
        model: gives logits for the same labels and pixels as the student.
        share: of the teacher's answer, 0 to 1.
    """

    model: Model
    share: float = SHARE

    def soften(self, values: Floats, wanted: Floats) -> Floats:
        """What the student is to answer.

        Args:
            values: the pictures as both networks take them, (n, size, size, 3).
            wanted: one-hot rows, (n, labels).
        """
        logits = np.asarray(self.model.predict_on_batch(values), np.float32)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        answers = powers / powers.sum(axis=1, keepdims=True)
        return np.asarray(self.share * answers + (1 - self.share) * wanted, np.float32)


def teacher_of(run: RunFolder, student: RunSettings) -> Teacher:
    """The best network of an earlier run.

    Raises:
        UsageError: it has other labels or another input, or was trained on another split.
    """
    settings = run.settings()
    same = (settings.labels, settings.size, settings.pixels) == (student.labels, student.size, student.pixels)
    if not same or settings.outputs == 1:
        raise UsageError(f"{run.path} cannot teach this network: its labels or its input are others")
    if settings.manifest_sha256 != student.manifest_sha256:
        raise UsageError(f"{run.path} was trained on another split; what it has seen may be in val or test here")
    return Teacher(run.best_model())
