"""The training loop: warm the stem up, learn, keep a running average, look at the validation photos now and then."""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge.errors import UsageError
from train.detector.architecture import build, load_trunk
from train.detector.export import training_batches
from train.detector.fake_quantisation import rounded_kernel, rounding_twin
from train.detector.feeder import Feeder
from train.detector.loss import DetectorLoss
from train.detector.material import gather
from train.detector.sampler import Mix
from train.detector.stem import imitate

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from train.detector.feeder import Batch
    from train.detector.material import Material
    from train.detector.paste import Cutout

log = logging.getLogger(__name__)

AVERAGE_FILE: Final = "average.weights.h5"
"""The averaged weights: what is exported."""

_OPTIONS_FILE: Final = "options.json"
_CHECKPOINTS: Final = "checkpoints"
_OTHER_RUN: Final = "run.json"
"""What `maskgate-train fit` writes into the folder of a mask classifier."""

_CHECKPOINT_EVERY: Final = 100
"""Steps; a checkpoint takes about half a second."""

_CURE: Final = "begin anew with another -o, or delete the folder"
_AVERAGE_DECAY: Final = 0.9985
_SHOWN: Final = (288, 384)
"""Height and width in pixels at which photos are shown to measure how large activations get."""

_LOG_EVERY: Final = 100
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
        self._manager = tf.train.CheckpointManager(tf.train.Checkpoint(**parts), str(run / _CHECKPOINTS), max_to_keep=2)
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


def fit(data: Path, teacher: Path, weights: Path, run: Path, options: FitOptions) -> Path:
    """Trains a detector.

    Args:
        data: the folder of MANIFEST.csv.
        teacher: YuNet's .onnx file.
        weights: Keras weights of MobileNetV2 alpha 0.35 without its top.
        run: folder for the results; a run that was interrupted goes on where its last checkpoint was.
        options: see `FitOptions`.

    Returns:
        The file of averaged weights.

    Raises:
        UsageError: the folder holds a run with other options or something else, or the data lacks what is learned from.
    """
    from train.detector.traps import load_traps

    _check_folder(run, options)
    material = gather(data, "train", teacher, run.parent / "detector-cache", options.objects)
    _check_material(material, data)
    traps = load_traps(options.traps) if options.traps else []
    log.info(
        "%d photos, %d without a face, %d faces, %d heads, %d objects, %d traps",
        *(
            len(each)
            for each in (material.scenes, material.empty, material.faces, material.heads, material.objects, traps)
        ),
    )
    trainer = Trainer(options, run)
    if trainer.resume():
        log.info("going on from step %d", int(trainer.step))
    else:
        _begin(trainer, material, weights, run)
    if options.as_int8:
        trainer.compute_as_int8(training_batches(data, _SHOWN))
    _loop(trainer, material, traps, run)
    trainer.average.save_weights(str(run / AVERAGE_FILE))
    return run / AVERAGE_FILE


def recorded_options(run: Path) -> dict[str, Any]:
    """What a run was made with: `FitOptions` as JSON.

    Raises:
        UsageError: the folder holds no run of the detector.
    """
    try:
        recorded = json.loads((run / _OPTIONS_FILE).read_text(encoding="utf-8"))
        return {**recorded, "seed": int(recorded["seed"])}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{run} is no run folder of `maskgate-train detector fit`: {error}") from error


def averaged_weights(run: Path) -> Path:
    """The file of a run's averaged weights.

    Raises:
        UsageError: there is none yet.
    """
    path = run / AVERAGE_FILE
    if not path.is_file():
        raise UsageError(f"{run} has no {AVERAGE_FILE}: let `maskgate-train detector fit` learn for a while first")
    return path


def _as_json(options: FitOptions) -> dict[str, Any]:
    return dict(json.loads(json.dumps(asdict(options), default=str)))


def _check_folder(run: Path, options: FitOptions) -> None:
    """Refuses a folder that holds anything but a run with these options; the command may be another."""
    if (run / _OPTIONS_FILE).exists():
        there, now = recorded_options(run), _as_json(options)
        names = sorted((there.keys() | now.keys()) - {"command"})
        other = [
            f"{name} ({there.get(name)}, now {now.get(name)})" for name in names if there.get(name) != now.get(name)
        ]
        if other:
            raise UsageError(f"{run} holds a run with other options: {', '.join(other)}; give another -o")
    elif (run / _OTHER_RUN).exists() or any((run / _CHECKPOINTS).glob("*.index")):
        raise UsageError(f"{run} holds something else than a run of the detector; give another -o")


def _check_material(material: Material, data: Path) -> None:
    """Refuses data without one of the sorts of pictures that the sampler draws from."""
    faces = {"bare face crops": material.bare(), "masked face crops": material.masked(), "heads": material.heads}
    missing = [name for name, found in {"face-free photos": material.empty, **faces}.items() if not found]
    if missing:
        raise UsageError(f"the train part of {data} has no {', no '.join(missing)}")


def _begin(trainer: Trainer, material: Material, weights: Path, run: Path) -> None:
    """Records the options, and keeps the network's first weights in a checkpoint: the stem's lesson takes a while."""
    options = trainer.options
    run.mkdir(parents=True, exist_ok=True)
    (run / _OPTIONS_FILE).write_text(json.dumps(_as_json(options), indent=1) + "\n", encoding="utf-8")
    if options.start:
        trainer.model.load_weights(str(options.start))
    else:
        imagenet = load_trunk(trainer.model, weights)
        with Feeder(material, options.size, options.batch, options.seed + 1, options.mix) as feeder:
            imitate(trainer.model, imagenet, feeder, options.stem_steps)
    trainer.begin_average()
    trainer.save()


def _loop(trainer: Trainer, material: Material, traps: list[Cutout], run: Path) -> None:
    """Steps until the end, with a line of figures and a checkpoint every hundred."""
    options, began, mean = trainer.options, time.monotonic(), [0.0, 0.0]
    first = int(trainer.step)
    with Feeder(material, options.size, options.batch, options.seed + 1000 + first, options.mix, traps) as feeder:
        while int(trainer.step) < options.steps:
            losses = trainer.learn(feeder.next())
            mean = [0.98 * old + 0.02 * new for old, new in zip(mean, losses, strict=True)]
            done = int(trainer.step)
            if done % _LOG_EVERY == 0:
                pace = (done - first) * options.batch / (time.monotonic() - began)
                log.info("step %d: score %.3f, box %.3f, %.1f pictures/s", done, *mean, pace)
            if done % _CHECKPOINT_EVERY == 0 or done == options.steps:
                trainer.save()
                trainer.average.save_weights(str(run / AVERAGE_FILE))
