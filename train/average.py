"""Means of weights: a running one within a training (Polyak averaging), and one of several trainings (model soups)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from train.architectures import Model
from train.files import replacing
from train.runs import RunFolder, RunSettings, reading

EVERY = 4
"""Steps between two updates: a copy of the weights costs some milliseconds."""


class WeightAverage:
    """The running mean: steadier on validation than the last step of a short training.

    Args:
        decay: a step; 0 keeps the newest weights.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay**EVERY if decay else 0.0
        self._mean: list[NDArray[np.float32]] | None = None
        self._updates = 0

    def update(self, model: Model) -> None:
        """Takes in the present weights, statistics of batch normalisation included."""
        weights = model.get_weights()
        # A young mean follows faster, so that it does not remember the beginning.
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates)) if self._mean else 0.0
        mean = self._mean or weights
        self._mean = [decay * old + (1 - decay) * new for old, new in zip(mean, weights, strict=True)]
        self._updates += 1

    def exchange(self, model: Model) -> None:
        """Swaps the model's weights and the mean; a second call swaps them back."""
        if self._mean is None:
            return
        present = model.get_weights()
        model.set_weights(self._mean)
        self._mean = present

    def save(self, path: Path) -> None:
        """Writes the mean for `load`."""
        with replacing(path) as draft:
            np.savez(draft, *(self._mean or []), updates=self._updates)

    def load(self, path: Path) -> None:
        """Goes on from a saved mean.

        Raises:
            UsageError: the file is damaged.
        """
        with reading(path), np.load(path) as file:
            self._updates = int(file["updates"])
            self._mean = [file[f"arr_{index}"] for index in range(len(file.files) - 1)] or None


def mean_of(weights: Sequence[Sequence[NDArray[Any]]], shares: Sequence[float] | None = None) -> list[NDArray[Any]]:
    """The mean of what `get_weights` gives of several networks of the same layers.

    Args:
        weights: of each network.
        shares: of each; None for equal ones.
    """
    return [np.average(same, axis=0, weights=shares) for same in zip(*weights, strict=True)]


def mean_model(runs: Sequence[RunFolder]) -> Model:
    """The network whose weights are the mean of the best ones of each run (Wortsman et al. 2022, "Model soups").

    Worth something for runs that began from the same weights, the first of them among them: means of networks that
    learned apart are no network at all.

    Args:
        runs: at least one.

    Raises:
        UsageError: they are not of the same network, or not of the same split.
    """
    first = runs[0].settings()
    for run in runs[1:]:
        if _kind(run.settings()) != _kind(first):
            raise UsageError(f"{run.path} has another network or another split than {runs[0].path}")
    model = runs[0].best_model()
    model.set_weights(mean_of([model.get_weights(), *(run.best_model().get_weights() for run in runs[1:])]))
    return model


def _kind(run: RunSettings) -> tuple[object, ...]:
    return run.arch, run.size, run.alpha, run.outputs, run.labels, run.pixels, run.margin, run.manifest_sha256
