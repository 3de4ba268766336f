"""One network that learns: its optimizers, its running average, and checkpoints that survive an interruption."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge.errors import UsageError
from train.detector.architecture import build
from train.detector.fake_quantisation import rounded_kernel, rounding_twin
from train.detector.loss import DetectorLoss
from train.detector.sampler import Mix

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from train.detector.feeder import Batch

CHECKPOINTS: Final = "checkpoints"
"""Folder in that of the run."""

_CURE: Final = "begin anew with another -o, or delete the folder"
_AVERAGE_DECAY: Final = 0.9985
_CLIP_NORM: Final = 20.0
_TRUNK_SHARE: Final = 0.5
"""The ImageNet blocks learn at this share of the rate of the new layers."""


@dataclass(frozen=True, slots=True)
class FitOptions:
    """How a network is trained.

    Attributes:
        steps: batches.
        batch: pictures in a batch.
        size: side of the training pictures in pixels.
        rate: highest learning rate (Adam), reached after `warm` steps and brought to zero along a cosine.
        warm: steps to reach it.
        stem_steps: batches of the stem's first lesson; none when going on from other weights.
        seed: of weights and pictures.
        mix: shares of the kinds of training pictures.
        start: weights to go on from; None begins with the ImageNet trunk.
        traps: file of false alarms (`train.detector.traps`) to paste, None for none.
        objects: folder of cut-out objects (`train.detector.objects`) to paste, None for none.
        as_int8: whether to compute with the rounding of the int8 file (`train.detector.fake_quantisation`).
        command: how the run was started, for the card.
    """

    steps: int = 6000
    batch: int = 16
    size: int = 256
    rate: float = 2e-3
    warm: int = 200
    stem_steps: int = 350
    seed: int = 1
    mix: Mix = field(default_factory=Mix)
    start: Path | None = None
    traps: Path | None = None
    objects: Path | None = None
    as_int8: bool = False
    command: str = ""


class Trainer:
    """The network, its optimizer and its running average, with checkpoints that survive an interruption.

    Args:
        options: see `FitOptions`.
        run: folder for checkpoints and results.
    """

    def __init__(self, options: FitOptions, run: Path) -> None:
        import keras
        import tensorflow as tf

        keras.utils.set_random_seed(options.seed)
        self.options = options
        self.model, self.average = build(), build()
        self._loss = DetectorLoss(options.size)
        # Two optimizers, because Keras has no rate a layer: the ImageNet blocks move more slowly.
        self._new, self._old = keras.optimizers.Adam(options.rate), keras.optimizers.Adam(options.rate)
        trunk = [v for v in self.model.trainable_variables if v.path.startswith("block_")]
        known = {id(v) for v in trunk}
        self._trunk, self._rest = trunk, [v for v in self.model.trainable_variables if id(v) not in known]
        self._new.build(self._rest)
        self._old.build(self._trunk)
        self.step = tf.Variable(0, dtype=tf.int64)
        parts = {"model": self.model, "average": self.average, "new": self._new, "old": self._old, "step": self.step}
        self._manager = tf.train.CheckpointManager(tf.train.Checkpoint(**parts), str(run / CHECKPOINTS), max_to_keep=2)
        self._forward = partial(self.model, training=True)
        self._rounded_kernels: list[Any] = []
        self._learn = tf.function(self._one_step)

    def resume(self) -> bool:
        """Goes on from the last checkpoint, if there is one; step 0 is one, the stem's first lesson is done by then.

        Raises:
            UsageError: the checkpoint is damaged.
        """
        import tensorflow as tf

        folder = Path(self._manager.directory)
        try:
            path = self._manager.restore_or_initialize()
        except (tf.errors.OpError, LookupError, ValueError) as error:
            raise UsageError(f"{folder}: the last checkpoint is damaged ({error}); {_CURE}") from error
        if path is None and any(folder.glob("*.index")):  # else its weights would be overwritten without a word
            raise UsageError(f"{folder}: its list of checkpoints is damaged; {_CURE}")
        return path is not None

    def save(self) -> None:
        """Writes a checkpoint."""
        self._manager.save()

    def compute_as_int8(self, pictures: Iterable[NDArray[np.uint8]]) -> None:
        """Learns from now on with the rounding of the int8 file; to be called before the first step.

        Args:
            pictures: RGB batches (n, height, width, 3) that show how large activations get.
        """
        self._forward = partial(rounding_twin(self.model, pictures), training=False)
        self._rounded_kernels = [each for each in self.model.trainable_variables if len(each.shape) == 4]

    def begin_average(self) -> None:
        """Sets the running average to the present weights."""
        self.average.set_weights(self.model.get_weights())

    def learn(self, batch: Batch) -> tuple[float, float]:
        """One step.

        Returns:
            Score loss and box loss.
        """
        import tensorflow as tf

        done, options = int(self.step), self.options
        rate = options.rate * min(1.0, (done + 1) / options.warm)
        rate *= 0.5 + 0.5 * math.cos(math.pi * min(1.0, done / options.steps))
        self._new.learning_rate.assign(rate)
        self._old.learning_rate.assign(rate * _TRUNK_SHARE)
        decay = min(_AVERAGE_DECAY, (1 + done) / (20 + done))
        score, box = self._learn(
            tf.constant(batch.pixels),
            tf.constant(batch.faces),
            tf.constant(batch.ignored),
            tf.constant(decay, tf.float32),
        )
        self.step.assign_add(1)
        return float(score), float(box)

    def _one_step(self, pixels: Any, faces: Any, ignored: Any, decay: Any) -> tuple[Any, Any]:
        import tensorflow as tf

        images = tf.cast(pixels, tf.float32) / 127.5 - 1
        exact = [tf.identity(kernel) for kernel in self._rounded_kernels]
        for kernel, value in zip(self._rounded_kernels, exact, strict=True):
            kernel.assign(rounded_kernel(value))
        with tf.GradientTape() as tape:
            score, box = self._loss(self._forward(images), faces, ignored)
            total = score + box
        gradients = tape.gradient(total, self._rest + self._trunk)
        for kernel, value in zip(self._rounded_kernels, exact, strict=True):
            kernel.assign(value)
        gradients, _ = tf.clip_by_global_norm(gradients, _CLIP_NORM)
        self._new.apply_gradients(zip(gradients[: len(self._rest)], self._rest, strict=True))
        self._old.apply_gradients(zip(gradients[len(self._rest) :], self._trunk, strict=True))
        for mean, value in zip(self.average.variables, self.model.variables, strict=True):
            mean.assign(mean * decay + tf.cast(value, mean.dtype) * (1 - decay))
        return score, box
