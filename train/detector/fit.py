"""A run: its folder, what it begins with, and its steps until the end."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from edge.errors import UsageError
from train.detector.architecture import load_trunk
from train.detector.export import training_batches
from train.detector.fake_quantisation import check_backend
from train.detector.feeder import Feeder
from train.detector.material import gather
from train.detector.soft_labels import SoftLabels
from train.detector.sources import made_of
from train.detector.stem import imitate
from train.detector.teacher import CACHE_FOLDER
from train.detector.trainer import CHECKPOINT, FitOptions, Trainer
from train.files import claimed, write_output
from train.weights import load_weights, save_weights

if TYPE_CHECKING:
    from pathlib import Path

    from train.detector.material import Material
    from train.detector.paste import Cutout

log = logging.getLogger(__name__)

AVERAGE_FILE: Final = "average.weights.h5"
"""The averaged weights: what is exported."""

OPTIONS_FILE: Final = "options.json"
_OTHER_RUN: Final = "run.json"
"""What `maskgate-train fit` writes into the folder of a mask classifier."""

_CHECKPOINT_EVERY: Final = 100
"""Steps; a checkpoint takes a tenth of a second."""

_LOG_EVERY: Final = 100
_SHOWN: Final = (288, 384)
"""Height and width in pixels at which photos are shown to measure how large activations get."""


def fit(data: Path, teacher: Path, weights: Path | None, run: Path, options: FitOptions) -> Path:
    """Trains a detector.

    Args:
        data: the folder of MANIFEST.csv.
        teacher: YuNet's .onnx file.
        weights: Keras weights of MobileNetV2 alpha 0.35 without its top, needed where the options name no others.
        run: folder for the results; a run that was interrupted goes on where its last checkpoint was.
        options: see `FitOptions`.

    Returns:
        The file of averaged weights.

    Raises:
        UsageError: the folder holds a run with other options or sources, or something else, there are no first weights,
            the data lacks what is learned from, or `as_int8` is asked of another backend than TensorFlow.
        UnavailableError: another process trains in this folder.
        ModelError: the network diverged; the folder keeps what it was at the last checkpoint.
    """
    if options.as_int8:
        check_backend()
    first = options.start or weights
    if first is None:
        raise UsageError("--weights: give the file of ImageNet weights to begin with, or others with --start")
    if run.resolve() == (run.parent / CACHE_FOLDER).resolve():  # The two are locked, and one would wait for the other.
        raise UsageError(f"{run} is where the answers of the teacher are kept; give another -o")
    with claimed(run):
        sources = made_of(data, teacher, first, trunk=options.start is None)
        _check_folder(run, options, sources)
        return _fit(data, teacher, first, run, options, sources)


def _fit(data: Path, teacher: Path, first: Path, run: Path, options: FitOptions, sources: dict[str, str]) -> Path:
    from train.detector.traps import load_traps

    trainer = Trainer(options, run)
    # Before the data, which takes minutes: what is wrong with one of these files is told at once.
    resumed = trainer.resume()
    imagenet = None if resumed else _take_weights(trainer, first)
    traps = load_traps(options.traps) if options.traps else []
    material = gather(
        data, "train", teacher, run.parent / CACHE_FOLDER, options.objects, options.face_free, options.unboxed
    )
    _check_material(material, data)
    log.info(
        "%d photos, %d that nobody boxed, %d without a face, %d faces, %d heads, %d objects, %d traps",
        *map(len, (material.scenes, material.unboxed, material.empty)),
        *map(len, (material.faces, material.heads, material.objects, traps)),
    )
    if resumed:
        log.info("going on from step %d", trainer.step)
    else:
        write_output(run / OPTIONS_FILE, json.dumps(_as_json(options) | sources, indent=1) + "\n")
        _begin(trainer, material, imagenet)
    if options.as_int8:
        trainer.compute_as_int8(training_batches(data, _SHOWN))
    shares = (options.teacher_share, options.masked_share)
    soft = SoftLabels(teacher, *shares) if any(shares) else None
    _loop(trainer, material, traps, soft, run)
    return _save_average(trainer, run)


def recorded_options(run: Path) -> dict[str, Any]:
    """What a run was made with: `FitOptions` as JSON, and its sources (`made_of`) unless an earlier version made it.

    Raises:
        UsageError: the folder holds no run of the detector.
    """
    try:
        recorded = json.loads((run / OPTIONS_FILE).read_text(encoding="utf-8"))
        return {**recorded, "seed": int(recorded["seed"]), "start": recorded["start"], "command": recorded["command"]}
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


def _check_folder(run: Path, options: FitOptions, sources: dict[str, str]) -> None:
    """Refuses a folder that holds anything but a run with these options and sources.

    Command and feeders may be others; of its sources a run of an earlier version does not tell.
    """
    if (run / OPTIONS_FILE).exists():
        there, now = recorded_options(run), _as_json(options) | sources
        names = sorted((there.keys() | now.keys()) - {"command", "feeders"} - (sources.keys() - there.keys()))
        other = [
            f"{name} ({there.get(name)}, now {now.get(name)})" for name in names if there.get(name) != now.get(name)
        ]
        if other:
            raise UsageError(f"{run} holds a run with other options: {', '.join(other)}; give another -o")
    elif (run / _OTHER_RUN).exists() or (run / CHECKPOINT).exists():
        raise UsageError(f"{run} holds something else than a run of the detector; give another -o")


def _check_material(material: Material, data: Path) -> None:
    """Refuses data without one of the sorts of pictures that the sampler draws from."""
    faces = {"bare face crops": material.bare(), "masked face crops": material.masked(), "heads": material.heads}
    missing = [name for name, found in {"face-free photos": material.empty, **faces}.items() if not found]
    if missing:
        raise UsageError(f"the train part of {data} has no {', no '.join(missing)}")


def _take_weights(trainer: Trainer, first: Path) -> Any:
    """Gives the network its first weights.

    Returns:
        MobileNetV2 with its ImageNet weights, or None if these are not where the network begins.
    """
    if trainer.options.start:
        load_weights(trainer.model, first, "the detector")
        return None
    return load_trunk(trainer.model, first)


def _begin(trainer: Trainer, material: Material, imagenet: Any) -> None:
    """Keeps the network's first weights in a checkpoint: the stem's lesson takes a while."""
    options = trainer.options
    if not options.start:
        with Feeder(material, options.size, options.batch, options.seed + 1, options.mix) as feeder:
            imitate(trainer.model, imagenet, feeder, options.stem_steps)
    trainer.begin_average()
    trainer.save()


def _loop(trainer: Trainer, material: Material, traps: list[Cutout], soft: SoftLabels | None, run: Path) -> None:
    """Steps until the end, with a line of figures and a checkpoint every hundred."""
    options, began = trainer.options, time.monotonic()
    mean: list[float] = []
    first = trainer.step
    seed = options.seed + 1000 + first
    with Feeder(material, options.size, options.batch, seed, options.mix, traps, options.feeders, soft) as feeder:
        while trainer.step < options.steps:
            losses = trainer.learn(feeder.next())
            mean = [0.98 * old + 0.02 * new for old, new in zip(mean or losses, losses, strict=True)]
            done = trainer.step
            if done % _LOG_EVERY == 0:
                pace = (done - first) * options.batch / (time.monotonic() - began)
                log.info("step %d: score %.3f, box %.3f, %.1f pictures/s", done, *mean, pace)
            if done % _CHECKPOINT_EVERY == 0 or done == options.steps:
                trainer.save()
                _save_average(trainer, run)


def _save_average(trainer: Trainer, run: Path) -> Path:
    save_weights(trainer.average, run / AVERAGE_FILE)
    return run / AVERAGE_FILE
