"""One network that learns: its optimizer, its running average, and a checkpoint that survives an interruption."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge.errors import ModelError, UsageError
from train.arrays import read_arrays
from train.detector.architecture import build
from train.detector.loss import DetectorLoss
from train.detector.mix import Mix
from train.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from train.detector.feeder import Batch

CHECKPOINT: Final = "checkpoint.npz"
"""File in the folder of the run."""

_CURE: Final = "begin anew with another -o, or delete the folder"
_AVERAGE_DECAY: Final = 0.9985
"""A step."""

_AVERAGE_EVERY: Final = 10
"""Steps: the average is that slow, and some hundred small tensors take a while each time."""


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
        face_free: folder of further pictures without a face, None for none.
        unboxed: folder of further photos with faces that nobody boxed, None for none.
        teacher_share: of the teacher's score in what a face's score is to be (`train.detector.soft_labels`), 0 to 1.
        masked_share: the same for faces that wear something, None for no other.
        as_int8: whether to compute with the rounding of the int8 file (`train.detector.fake_quantisation`).
        feeders: processes that make pictures.
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
    face_free: Path | None = None
    unboxed: Path | None = None
    teacher_share: float = 0.0
    masked_share: float | None = None
    as_int8: bool = False
    feeders: int = 1
    command: str = ""


class Trainer:
    """The network, its optimizer and its running average, with a checkpoint that survives an interruption.

    Args:
        options: see `FitOptions`.
        run: folder for checkpoint and results.
    """

    def __init__(self, options: FitOptions, run: Path) -> None:
        import keras

        from train.detector.learner import Learner, TwoRates, WarmCosine

        keras.utils.set_random_seed(options.seed)
        self.options = options
        self._file = run / CHECKPOINT
        self.model, self.average = build(), build()
        self._loss = DetectorLoss(options.size)
        self._learner: Any = Learner(self.model, self._loss)
        self._optimizer = TwoRates(WarmCosine(options.rate, options.warm, options.steps))
        self._optimizer.build(self.model.trainable_variables)
        self._learner.compile(self._optimizer)

    @property
    def step(self) -> int:
        """Batches learned from so far."""
        return int(self._optimizer.iterations)

    def resume(self) -> bool:
        """Goes on from the checkpoint, if there is one; step 0 is one, the stem's first lesson is done by then.

        Raises:
            UsageError: the checkpoint is damaged or of another network.
        """
        if not self._file.exists():
            return False
        kept = self._kept()
        try:
            values = list(read_arrays(self._file).values())
        except ValueError as error:
            raise UsageError(f"{self._file} is damaged ({error}); {_CURE}") from error
        if [value.shape for value in values] != [tuple(variable.shape) for variable in kept]:
            raise UsageError(f"{self._file} is of another network; {_CURE}")
        for variable, value in zip(kept, values, strict=True):
            variable.assign(value)
        return True

    def save(self) -> None:
        """Writes a checkpoint.

        Raises:
            ModelError: the network has diverged; the checkpoint before stays.
        """
        if not all(np.isfinite(weight).all() for weight in [*self.model.get_weights(), *self.average.get_weights()]):
            raise self._diverged("a weight")
        values = {f"{number:04}": np.asarray(variable) for number, variable in enumerate(self._kept())}
        with replacing(self._file) as draft:
            np.savez(draft, **values)  # type: ignore[arg-type]

    def _kept(self) -> list[Any]:
        return [*self.model.variables, *self.average.variables, *self._optimizer.variables]

    def compute_as_int8(self, pictures: Iterable[NDArray[np.uint8]]) -> None:
        """Learns from now on with the rounding of the int8 file; to be called before the first step.

        Args:
            pictures: RGB batches (n, height, width, 3) that show how large activations get.
        """
        from train.detector.fake_quantisation import rounding_learner

        self._learner = rounding_learner(self.model, self._loss, pictures)
        self._learner.compile(self._optimizer)

    def begin_average(self) -> None:
        """Sets the running average to the present weights."""
        self.average.set_weights(self.model.get_weights())

    def learn(self, batch: Batch) -> tuple[float, float]:
        """One step.

        Returns:
            Score loss and box loss.

        Raises:
            ModelError: the network has diverged.
        """
        targets = (batch.faces, batch.ignored, batch.certainty, batch.framed)
        costs = self._learner.train_on_batch(batch.pixels, targets, return_dict=True)
        losses = float(costs["score"]), float(costs["box"])
        if not all(map(math.isfinite, losses)):
            raise self._diverged("the loss")
        if self.step % _AVERAGE_EVERY == 0 or self.step == self.options.steps:
            self._follow()
        return losses

    def _diverged(self, what: str) -> ModelError:
        return ModelError(
            f"step {self.step}: {what} is no finite number, the network has diverged; {self._file.parent} keeps what it"
            " was at the last checkpoint. Begin anew at a lower --rate, with another -o"
        )

    def _follow(self) -> None:
        """Brings the running average nearer to the present weights; the more quickly, the fewer steps it has seen."""
        decay = min(_AVERAGE_DECAY, (1 + self.step) / (20 + self.step)) ** _AVERAGE_EVERY
        for mean, value in zip(self.average.variables, self.model.variables, strict=True):
            mean.assign(mean * decay + value * (1 - decay))
