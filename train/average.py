"""A running mean of the weights (Polyak averaging): steadier on validation than the last step of a short training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.architectures import Model

EVERY = 4
"""Steps between two updates: a copy of the weights costs some milliseconds."""


class WeightAverage:
    """The mean itself.

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
        np.savez(path, *(self._mean or []), updates=self._updates)

    def load(self, path: Path) -> None:
        """Goes on from a saved mean."""
        with np.load(path) as file:
            self._updates = int(file["updates"])
            self._mean = [file[f"arr_{index}"] for index in range(len(file.files) - 1)] or None
