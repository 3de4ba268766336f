"""What learns, in Keras' own terms: the network with its loss, its two rates, and the course of the rate.

Nothing here is TensorFlow's: with ``KERAS_BACKEND=jax`` a network learns on a GPU that TensorFlow does not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import keras
import numpy as np
from keras import ops

if TYPE_CHECKING:
    from train.detector.loss import DetectorLoss

_CLIP_NORM: Final = 20.0
_TRUNK: Final = "block_"
_TRUNK_SHARE: Final = 0.5
"""The ImageNet blocks learn at this share of the rate of the new layers."""


class Learner(keras.Model):  # type: ignore[misc]
    """A detector that learns from `train.detector.feeder.Batch`.

    Its input is pixels (n, size, size, 3), its targets are the faces and the ignored boxes of the batch.

    Args:
        network: from `architecture.build`; trained in place.
        loss: for pictures of one size.
    """

    def __init__(self, network: Any, loss: DetectorLoss) -> None:
        super().__init__()
        self.network = network
        self._costs = loss
        self._means = [keras.metrics.Mean(name="score"), keras.metrics.Mean(name="box")]

    def call(self, pixels: Any, training: Any = None) -> Any:
        """The network's six tensors for raw pixels."""
        return self.network(ops.cast(pixels, "float32") / 127.5 - 1, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: Any = None
    ) -> Any:
        """Score loss and box loss together; each is a metric of its own, too."""
        del x, sample_weight, training
        costs = self._costs(y_pred, *y)
        for mean, cost in zip(self._means, costs, strict=True):
            mean.update_state(cost)
        return costs[0] + costs[1]


class TwoRates(keras.optimizers.Adam):  # type: ignore[misc]
    """Adam with clipped gradients that moves the ImageNet blocks more slowly than the rest: Keras has no rate a layer.

    Args:
        rate: of the new layers; a number or a schedule.
    """

    def __init__(self, rate: Any) -> None:
        super().__init__(rate, global_clipnorm=_CLIP_NORM)

    def build(self, variables: Any) -> None:
        """Learns which variables there will be."""
        super().build(variables)
        self._shares = [_TRUNK_SHARE if each.path.startswith(_TRUNK) else 1.0 for each in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable, which on TensorFlow has lost its path here."""
        share = self._shares[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * share)


class WarmCosine(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A rate that rises evenly and falls along a cosine to zero.

    Args:
        rate: the highest.
        warm: steps to reach it.
        steps: all of them.
    """

    def __init__(self, rate: float, warm: int, steps: int) -> None:
        self._rate, self._warm, self._steps = rate, warm, steps

    def __call__(self, step: Any) -> Any:
        """The rate of a step, from 0 on."""
        done = ops.cast(step, "float32")
        rising = ops.minimum(1.0, (done + 1) / self._warm)
        return self._rate * rising * (0.5 + 0.5 * ops.cos(np.pi * ops.minimum(1.0, done / self._steps)))
