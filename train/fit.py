"""Trains a network: phases, validation after each epoch, best weights kept, and a run that can be taken up again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.errors import UsageError
from train.architectures import Model, load_keras
from train.average import EVERY, WeightAverage
from train.batches import BatchHelper
from train.files import replacing
from train.presets import Phase, Preset
from train.progress import Count, uncounted
from train.recipes import Recipe
from train.runs import EpochRecord, RunFolder, RunState, reading
from train.teacher import Teacher
from train.validation import ValidationSet, predict

_MOMENTUM = 0.95
"""Of batch normalisation. Keras's 0.999 needs thousands of steps; a short fine-tune would keep foreign statistics."""


def _no_step(done: int, total: int, loss: float) -> None:
    """Nobody watches."""


def _no_epoch(record: EpochRecord, best: bool) -> None:  # noqa: FBT001
    """Nobody watches."""


@dataclass(frozen=True)
class Progress:
    """Told of each picture that is read before the first step, and of each step; its total is of this epoch."""

    step: Callable[[int, int, float], None] = _no_step
    epoch: Callable[[EpochRecord, bool], None] = _no_epoch
    read: Count = uncounted


class Trainer:
    """One run.

    Args:
        model: gives logits.
        preset: phases, rates, stopping.
        recipe: the training batches.
        validation: never the test part.
        run: where everything is written.
        seed: of what dropout leaves out.
        teacher: a larger network whose answers are learned, too; the history's training accuracy is then how often the
            network agrees with label and teacher taken together.
    """

    def __init__(
        self,
        model: Model,
        preset: Preset,
        recipe: Recipe,
        validation: ValidationSet,
        run: RunFolder,
        progress: Progress,
        seed: int,
        teacher: Teacher | None = None,
    ) -> None:
        self._model, self._preset, self._recipe = model, preset, recipe
        self._validation, self._run, self._progress = validation, run, progress
        self._seed, self._teacher = seed, teacher
        self._average = WeightAverage(preset.average)
        self._records: list[EpochRecord] = []
        self._best = -math.inf

    def train(self) -> list[EpochRecord]:
        """Trains from the beginning, or from where the run folder's state says that it was interrupted.

        Raises:
            UsageError: a file to go on from is damaged, or an epoch ends without a score.
        """
        state = self._resume()
        with BatchHelper(self._recipe, first_epoch=len(self._records)) as helper:
            for index, phase in enumerate(self._preset.phases):
                if index < state.phase:
                    continue
                first, since_best = (state.epochs, state.since_best) if index == state.phase else (0, 0)
                if first == 0:
                    prepare_phase(self._model, phase, self._preset)
                self._train_phase(index, phase, first, since_best, helper)
        return self._records

    def _train_phase(self, index: int, phase: Phase, first: int, since_best: int, helper: BatchHelper) -> None:
        for epoch in range(first, phase.epochs):
            record, best = self._train_epoch(phase, epoch, helper)
            since_best = 0 if best else since_best + 1
            ended = epoch + 1 == phase.epochs or self._should_stop(record, since_best)
            self._save_state(*((index + 1, 0, 0) if ended else (index, epoch + 1, since_best)))
            self._progress.epoch(record, best)
            if ended:
                return

    def _train_epoch(self, phase: Phase, epoch: int, helper: BatchHelper) -> tuple[EpochRecord, bool]:
        began = time.monotonic()
        steps = self._recipe.steps
        seen, losses, hits = 0, 0.0, 0.0
        rate = phase.rate
        _seed_dropout(self._model, self._seed, len(self._records))
        for step, (pixels, targets) in enumerate(helper.epoch()):
            rate = _rate(phase, epoch * steps + step, phase.epochs * steps)
            self._model.optimizer.learning_rate.assign(rate)
            values = (pixels.astype(np.float32) - self._preset.pixels.zero_point) * np.float32(
                self._preset.pixels.scale
            )
            wanted = _wanted(targets, self._preset)
            if self._teacher:
                wanted = self._teacher.soften(values, wanted)
            loss, accuracy = self._model.train_on_batch(values, wanted)
            # Keras gives the figures of this batch alone.
            seen, losses, hits = seen + len(targets), losses + loss * len(targets), hits + accuracy * len(targets)
            if self._preset.average and step % EVERY == 0:
                self._average.update(self._model)
            self._progress.step(step + 1, steps, float(loss))
        record, best = self._validate(phase, float(losses / seen), float(hits / seen), rate, began)
        return record, best

    def _validate(
        self, phase: Phase, loss: float, accuracy: float, rate: float, began: float
    ) -> tuple[EpochRecord, bool]:
        self._average.exchange(self._model)
        scores = self._validation.validate(predict(self._model, self._validation.views, self._preset.pixels))
        if not math.isfinite(scores.score):
            raise UsageError(
                f"the score of epoch {len(self._records) + 1} on val is no number (training loss {loss:g}): the "
                "weights that it began from hold such, or the training ran away; give other --weights or another "
                "--seed, and another folder with -o"
            )
        best = scores.score > self._best
        if best:
            self._best = scores.score
            self._run.save_best(self._model)
        self._average.exchange(self._model)
        record = EpochRecord(
            epoch=len(self._records) + 1,
            phase=phase.name,
            loss=loss,
            accuracy=accuracy,
            val_loss=scores.loss,
            val_accuracy=scores.accuracy,
            val_balanced_accuracy=scores.balanced_accuracy,
            val_incorrect_as_mask=scores.incorrect_as_mask,
            val_faces_dropped=scores.faces_dropped,
            score=scores.score,
            rate=rate,
            seconds=time.monotonic() - began,
        )
        self._records.append(record)
        self._run.write_history(self._records)
        return record, best

    def _should_stop(self, record: EpochRecord, since_best: int) -> bool:
        preset = self._preset
        if preset.stop_at is not None and record.accuracy >= preset.stop_at:
            return preset.stop_on == "train" or record.val_accuracy >= preset.stop_at
        return bool(preset.patience) and since_best >= preset.patience

    def _save_state(self, phase: int, epochs: int, since_best: int) -> None:
        done = len(self._records)
        with replacing(self._run.last_model(done)) as draft:
            self._model.save(str(draft))
        self._average.save(self._run.average(done))
        # Last: whoever finds this file finds the other two complete.
        self._run.write_state(RunState(phase, epochs, self._best, done, since_best))

    def _resume(self) -> RunState:
        state = self._run.read_state()
        if not state.done:
            # From now on the folder is known for one that is being trained.
            self._run.write_state(state)
            return state
        model = self._run.last_model(state.done)
        with reading(model):
            self._model = load_keras().saving.load_model(str(model))
        self._average.load(self._run.average(state.done))
        # A line more than the state has is of an epoch whose end was not saved.
        self._records = self._run.history()[: state.done]
        if len(self._records) < state.done:
            raise UsageError(
                f"the history of {self._run.path} has lost epochs: delete the run folder, or give another one with -o"
            )
        self._best = state.best
        return state


def prepare_phase(model: Model, phase: Phase, preset: Preset) -> None:
    """Freezes and thaws layers as the phase says, and compiles. A frozen batch normalisation keeps its statistics."""
    keras = load_keras()
    head = _head_start(model)
    start = head if phase.train_from < 0 else phase.train_from
    for index, layer in enumerate(model.layers):
        layer.trainable = index >= start
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _MOMENTUM
            if phase.batch_norm == "frozen":
                layer.trainable = False
    kinds = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}
    model.compile(optimizer=kinds[phase.optimizer](phase.rate), loss=_loss(preset), metrics=[_accuracy(preset)])


def _seed_dropout(model: Model, seed: int, epoch: int) -> None:
    """Makes what dropout leaves out in an epoch the same after an interruption, of which Keras saves nothing."""
    for index, layer in enumerate(model.layers):
        if isinstance(layer, load_keras().layers.Dropout):
            layer.seed_generator.state.assign(np.random.SeedSequence([seed, epoch, index]).generate_state(2))


def _head_start(model: Model) -> int:
    """Index of the first layer behind the backbone: the one after MobileNetV2's last activation, 0 for a plain CNN."""
    names = [layer.name for layer in model.layers]
    return names.index("out_relu") + 1 if "out_relu" in names else 0


def _loss(preset: Preset) -> Any:
    """On logits, always: a softmax inside a loss that applies another one has a floor of 0.3133 (seeds, row 14)."""
    losses = load_keras().losses
    if preset.outputs == 1:
        return losses.BinaryCrossentropy(from_logits=True, label_smoothing=preset.smoothing)
    return losses.CategoricalCrossentropy(from_logits=True, label_smoothing=preset.smoothing)


def _accuracy(preset: Preset) -> Any:
    metrics = load_keras().metrics
    if preset.outputs == 1:
        return metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
    return metrics.CategoricalAccuracy(name="accuracy")


def _wanted(targets: np.ndarray, preset: Preset) -> np.ndarray:
    """What the loss compares with: one column for one output, one-hot rows otherwise."""
    if preset.outputs == 1:
        return targets.astype(np.float32)[:, np.newaxis]
    return np.asarray(np.eye(preset.outputs, dtype=np.float32)[targets])


def _rate(phase: Phase, step: int, steps: int) -> float:
    if phase.decay == "none":
        return phase.rate
    warm = min(1.0, (step + 1) / 100)
    return phase.rate * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
