"""From the best weights of a run to the int8 file, its card and a report on what quantization cost."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from edge.vision.cards import Calibration, Crop, ModelCard, ModelInput, Thresholds
from train import metrics
from train.architectures import Model, Pixels, load_keras, with_probabilities
from train.calibration import Goal, choose_thresholds, fit_temperature, mask_probability
from train.dataset import Dataset, open_dataset, with_boxes
from train.evaluation import figures_of
from train.judging import Judgements, crop_of, judge
from train.progress import Note, silent
from train.published import seeds_for_card
from train.runs import RunFolder, RunSettings
from train.safety import check_parity, write_if_safe
from train.samples import Sample, write_manifest
from train.sampling import stratum_of
from train.storage import PictureStore
from train.validation import predict

REPRESENTATIVE = 300
"""Training pictures that the ranges of the activations are measured on; more changed nothing on `val`."""

LICENCE = "Apache-2.0 for the file; the pictures it was trained on carry terms of their own, see docs/training.md"


@dataclass(frozen=True)
class Parity:
    """Float against int8 on the validation part: real photos, by group."""

    float_balanced_accuracy: float
    int8_balanced_accuracy: float
    same_side: float
    largest_difference: float
    mean_difference: float
    faces: int


def export(
    run: RunFolder,
    output: Path,
    representative: Path | None = None,
    note: Note = silent,
) -> tuple[ModelCard, Parity]:
    """Writes OUTPUT, its card beside it, and float model, parity and representative list into the run folder.

    Args:
        run: a finished run.
        output: the .tflite file to write.
        representative: a manifest, all of whose pictures are used; by default `REPRESENTATIVE` of the training part.
        note: told in words what happens.

    Raises:
        ModelError: the file is not safe to ship; nothing is written at `output`.
    """
    if output.suffix != ".tflite":
        raise UsageError(f"{output}: the name of a model ends in .tflite")
    settings = run.settings()
    model = run.best_model()
    dataset = with_boxes(open_dataset(manifest_of(run, settings)))
    chosen = _representative(dataset, representative, settings)
    write_manifest(run.path / "representative.csv", chosen.samples)
    note(f"quantizing on {len(chosen.samples)} pictures")
    (run.path / "model.float.tflite").write_bytes(_converter(model).convert())
    draft = run.path / "model.tflite"
    write_if_safe(draft, _quantized(model, chosen, settings), settings.pixels)
    note("measuring int8 against float on val")
    _write_card(draft, _card(output.stem, draft, settings, {}, 1.0, Thresholds(mask_above=0.5, no_mask_below=0.5)))
    validation = dataset.part("val")
    seen = judge(draft, validation, dataset.store())
    parity = _parity(model, seen, dataset.store(), settings)
    (run.path / "parity.json").write_text(json.dumps(parity.__dict__, indent=2) + "\n", encoding="utf-8")
    check_parity(parity.float_balanced_accuracy, parity.int8_balanced_accuracy)
    temperature, thresholds = calibrate(seen)
    _write_card(draft, _card(output.stem, draft, settings, {}, temperature, thresholds))
    note("measuring on test")
    figures = _figures(draft, dataset, parity)
    card = _card(output.stem, draft, settings, figures, temperature, thresholds)
    _write_card(draft, card)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(draft.read_bytes())
    _write_card(output, card)
    return card, parity


def calibrate(seen: Judgements) -> tuple[float, Thresholds]:
    """Temperature and thresholds from the validation part: real photos, badly worn masks on the side of the bare."""
    real = seen.chosen(seen.real_faces)
    temperature = fit_temperature(real.probabilities, seen.card.labels, real.is_mask, real.weights)
    door = seen.chosen((seen.real_faces | seen.badly_worn) & ~seen.drawn_on)
    p_mask = mask_probability(door.probabilities, seen.card.labels, temperature)
    return temperature, choose_thresholds(p_mask, door.is_mask, door.weights, Goal())


def _figures(model: Path, dataset: Dataset, parity: Parity) -> dict[str, Any]:
    test = dataset.part("test")
    figures = figures_of(judge(model, test, dataset.store()))
    for margin in (0.0, 0.35):
        seen = judge(model, [sample for sample in test if sample.kind != "crop"], dataset.store(), margin)
        real = seen.chosen(seen.real_faces)
        figures[f"balanced_accuracy_boxed_margin_{margin:g}"] = round(
            metrics.balanced_accuracy(real.p_mask, real.is_mask, real.weights), 4
        )
    return {
        "seeds": seeds_for_card(),
        "test": figures,
        "val": {name: round(value, 4) for name, value in parity.__dict__.items()},
    }


def manifest_of(run: RunFolder, settings: RunSettings) -> Path:
    """The manifest that the run was made from.

    Raises:
        UsageError: it is gone or has changed.
    """
    path = Path(os.path.normpath(run.path.resolve() / settings.manifest_path))
    if not path.is_file():
        raise UsageError(f"the manifest of the run, {settings.manifest}, is not at {path} any more")
    if hashlib.sha256(path.read_bytes()).hexdigest() != settings.manifest_sha256:
        raise UsageError(
            f"{path} has changed since the run was made; its figures would not be those of the run's split"
        )
    return path


def _representative(dataset: Dataset, given: Path | None, settings: RunSettings) -> Dataset:
    """All of a given list, or training samples drawn evenly from the strata, one a group."""
    if given is not None:
        return with_boxes(open_dataset(given))
    rng = np.random.default_rng(settings.seed)
    train = [sample for sample in dataset.part("train") if stratum_of(sample)]
    by_stratum: dict[str, dict[str, Sample]] = {}
    for index in rng.permutation(len(train)):
        sample = train[int(index)]
        by_stratum.setdefault(str(stratum_of(sample)), {}).setdefault(sample.group, sample)
    each = max(1, REPRESENTATIVE // len(by_stratum))
    chosen = [sample for groups in by_stratum.values() for sample in list(groups.values())[:each]]
    return Dataset(dataset.root, sorted(chosen, key=lambda sample: sample.path))


def _views(dataset: Dataset, settings: RunSettings) -> Iterator[NDArray[np.uint8]]:
    """The representative pictures at margins from tight to loose, after one black and one white picture.

    The two fix the input's range at 0 to 255, so that raw bytes mean what they say.
    """
    size = (settings.size, settings.size)
    for level in (0, 255):
        yield np.full((settings.size, settings.size, 3), level, np.uint8)
    store = dataset.store()
    rng = np.random.default_rng(settings.seed)
    for sample in dataset.samples:
        yield crop_of(sample, store.image(sample.path), float(rng.uniform(0.0, 0.35)), size)


def _converter(model: Model) -> Any:
    load_keras()
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_keras_model(with_probabilities(model))


def _quantized(model: Model, representative: Dataset, settings: RunSettings) -> bytes:
    import tensorflow as tf

    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [scaled(view, settings.pixels)[np.newaxis]] for view in _views(representative, settings)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    # The seeds end in Dense layers; with one scale each they run everywhere (see train.safety).
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True  # noqa: SLF001  Has no public name.
    return bytes(converter.convert())


def scaled(view: NDArray[np.uint8], pixels: Pixels) -> NDArray[np.float32]:
    """Bytes as the float network takes them.

    The range of the representative pictures decides the scale of the input, so black and white must come out exactly as
    the card says: (0 - zero) * scale and (255 - zero) * scale.
    """
    return np.asarray((view.astype(np.float32) - pixels.zero_point) * np.float32(pixels.scale), np.float32)


def _parity(model: Model, seen: Judgements, store: PictureStore, settings: RunSettings) -> Parity:
    real = seen.chosen(seen.real_faces)
    size = (settings.size, settings.size)
    margin = seen.card.crop.margin
    views = np.stack([crop_of(sample, store.image(sample.path), margin, size) for sample in real.samples])
    floats = predict(model, views, settings.pixels)
    p_float = mask_probability(floats, settings.labels, 1.0)
    p_int8 = mask_probability(real.probabilities, settings.labels, 1.0)
    difference = np.abs(floats - real.probabilities)
    return Parity(
        float_balanced_accuracy=metrics.balanced_accuracy(p_float, real.is_mask, real.weights),
        int8_balanced_accuracy=metrics.balanced_accuracy(p_int8, real.is_mask, real.weights),
        same_side=float(np.average((p_float >= 0.5) == (p_int8 >= 0.5), weights=real.weights)),
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        faces=len(real.samples),
    )


def _card(
    name: str, file: Path, settings: RunSettings, figures: dict[str, Any], temperature: float, thresholds: Thresholds
) -> ModelCard:
    return ModelCard(
        name=name,
        task="mask-classifier",
        version="1",
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        input=ModelInput(
            width=settings.size,
            height=settings.size,
            channels="RGB",
            dtype="uint8",
            scale=settings.pixels.scale,
            zero_point=settings.pixels.zero_point,
        ),
        labels=settings.labels,
        calibration=Calibration(temperature=temperature),
        thresholds=thresholds,
        crop=Crop(margin=settings.margin or 0.0),
        metrics=figures,
        training={
            "data": {"manifest": settings.manifest, "sha256": settings.manifest_sha256},
            "seed": settings.seed,
            "command": settings.command,
            "weights": settings.weights,
            "preset": settings.preset,
            "alpha": settings.alpha,
            **settings.details,
        },
        licence=LICENCE,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _write_card(model: Path, card: ModelCard) -> None:
    model.with_suffix(".json").write_text(json.dumps(card.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
