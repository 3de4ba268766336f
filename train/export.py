"""From the best weights of a run to the int8 file, its card and a report on what quantization cost."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError, UsageError
from edge.vision.cards import Calibration, ModelCard, Thresholds
from train import metrics
from train.architectures import Model
from train.average import mean_model
from train.calibration import choose_thresholds, favours, fit_temperature, mask_probability
from train.cards import card_of, check_card_place, write_card, write_model
from train.dataset import Dataset, open_dataset, with_boxes
from train.evaluation import figures_of
from train.files import check_name, check_output, write_output
from train.judging import Judgements, judge
from train.labels import INCORRECT, MASK, NO_MASK
from train.progress import Count, Note, silent, uncounted
from train.published import seeds_for_card
from train.quantize import float_file, int8_file, readable, representative_given, representative_of, temporary_in
from train.runs import RunFolder, RunSettings
from train.safety import check_parity, write_if_safe
from train.samples import Sample, rebased, write_manifest
from train.storage import PictureStore
from train.validation import judged, predict
from train.views import face_view

_TIGHT, _LOOSE = 0.0, 0.35
"""Margins between which a detector's boxes lie; thresholds must hold for both."""


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
    average: Sequence[RunFolder] = (),
    note: Note = silent,
    progress: Count = uncounted,
) -> tuple[ModelCard, Parity]:
    """Writes OUTPUT, its card beside it, and float model, parity and representative list into the run folder.

    Args:
        run: a finished run.
        output: the .tflite file to write.
        representative: a manifest, whose pictures for training are used (`representative_given`); by default some of
            the training part.
        average: runs whose weights are averaged with those of `run` (`mean_model`).
        note: told in words what happens.
        progress: told how many pictures of a step are done.

    Raises:
        ModelError: the file is not safe to ship; nothing is written at `output`.
        UsageError: `output` has another suffix or would be written over something else, a run is none, the runs cannot
            be averaged, `val` holds no pictures of both classes that can be read, or `representative` none to take.
    """
    if output.suffix != ".tflite":
        raise UsageError(f"{output}: the name of a model ends in .tflite")
    settings = run.settings()
    output.parent.mkdir(parents=True, exist_ok=True)
    _check_outputs(output, run, average)
    model = mean_model([run, *average])
    dataset = with_boxes(open_dataset(manifest_of(run, settings)))
    shifts = _centre(model, dataset, settings, progress)
    # A folder of its own: two exports at once do not meet, and a file that is refused leaves nothing.
    with TemporaryDirectory(dir=run.path, prefix=".export-") as folder:
        draft = Path(folder) / "model.tflite"
        _convert(run, model, dataset, representative, draft, note)
        others = [other.settings() for other in average]
        card = card_of(output.stem, draft, settings, shifts, others, representative)
        write_card(draft, card)
        note("measuring int8 against float on val")
        seen = judge(draft, dataset.part("val"), dataset.store(), progress=progress)
        _name(seen.unreadable, note)
        _check_both(seen.chosen(seen.real_faces).samples, dataset)
        parity = _parity(model, seen, dataset.store(), settings)
        write_output(run.path / "parity.json", json.dumps(asdict(parity), indent=2) + "\n")
        check_parity(parity.float_balanced_accuracy, parity.int8_balanced_accuracy)
        temperature, thresholds = calibrate(draft, seen, dataset, progress)
        card = card.model_copy(update={"calibration": Calibration(temperature=temperature), "thresholds": thresholds})
        write_card(draft, card)
        note("measuring on test")
        tested = judge(draft, dataset.part("test"), dataset.store(), progress=progress)
        _name(tested.unreadable, note)
        card = card.model_copy(update={"metrics": _figures(draft, tested, dataset, parity, progress)})
        write_model(output, draft.read_bytes(), card)
        # What `report` shows: of a file that was refused it must not be.
        write_model(run.model, draft.read_bytes(), card)
    return card, parity


def _check_outputs(output: Path, run: RunFolder, average: Sequence[RunFolder]) -> None:
    """Refuses to write over what the runs hold (but for the last export of `run` itself), and a card over no card."""
    for path in (output, run.path):  # In the second the file is tried.
        check_name(path)
    card = output.with_suffix(".json")
    kept = [file for each in (run, *average) for file in each.kept()]
    exported = [file for each in average for file in (each.model, each.model.with_suffix(".json"))]
    for file in (output, card):
        check_output(file, *kept, *exported)
    check_card_place(card)


def _convert(
    run: RunFolder, model: Model, dataset: Dataset, representative: Path | None, draft: Path, note: Note
) -> None:
    """The int8 file as `draft`; the float file and the list of representative pictures into the run folder."""
    settings = run.settings()
    chosen = (
        representative_given(representative, dataset, note)
        if representative
        else representative_of(dataset, settings.seed)
    )
    chosen = readable(chosen, note)
    write_manifest(run.path / "representative.csv", rebased(chosen.samples, chosen.root, run.path))
    note(f"quantizing on {len(chosen.samples)} pictures")
    # TensorFlow tells of the conversion, and stdout is ours.
    with redirect_stdout(sys.stderr), temporary_in(draft.parent, model):
        write_output(run.float_model, float_file(model))
        write_if_safe(draft, int8_file(model, chosen, settings), settings.pixels)


def _name(unreadable: Sequence[str], note: Note) -> None:
    for path in dict.fromkeys(unreadable):
        note(f"{path} cannot be read and is left out; `maskgate-train inspect` says why")


def _check_both(samples: Sequence[Sample], dataset: Dataset) -> None:
    """Refuses to measure on pictures of one class or of none."""
    if not {MASK, NO_MASK} <= {sample.label for sample in samples}:
        raise UsageError(
            f"the val part has no readable picture of one label below {dataset.root}; `maskgate-train inspect` says why"
        )


def _centre(model: Model, dataset: Dataset, settings: RunSettings, progress: Count) -> dict[str, float]:
    """Takes favours out of the head: for one class, and for dropping faces; returns what was added to each logit.

    Found on val (`favours`). Only for our own head with its bias for each label; the seeds are exported as they were
    trained.
    """
    if settings.arch != "mobilenet_v2":
        return {}
    real = [s for s in dataset.part("val") if judged(s) and s.label in (MASK, NO_MASK, INCORRECT) and not s.drawn_on]
    real, views = _views(real, dataset.store(), settings, progress)
    _check_both(real, dataset)
    added = favours(predict(model, views, settings.pixels), real, settings.labels)
    head = model.get_layer("head")
    kernel, bias = head.get_weights()
    head.set_weights([kernel, bias + np.array([added[label] for label in settings.labels], np.float32)])
    return added


def calibrate(model: Path, seen: Judgements, dataset: Dataset, progress: Count = uncounted) -> tuple[float, Thresholds]:
    """Temperature and thresholds from the validation part.

    The temperature is that of real photos at the card's margin. The thresholds hold for tight and loose boxes together,
    with badly worn masks on the side of the bare faces.
    """
    real = seen.chosen(seen.real_faces)
    labels = seen.card.labels
    temperature = fit_temperature(real.probabilities, labels, real.is_mask, real.weights)
    views = [seen, *(judge(model, seen.samples, dataset.store(), margin, progress) for margin in (_TIGHT, _LOOSE))]
    doors = [view.chosen((view.real_faces | view.badly_worn) & ~view.drawn_on) for view in views]
    thresholds = choose_thresholds(
        np.concatenate([mask_probability(door.probabilities, labels, temperature) for door in doors]),
        np.concatenate([door.is_mask for door in doors]),
        np.concatenate([door.weights for door in doors]),
    )
    return temperature, thresholds


def _figures(model: Path, tested: Judgements, dataset: Dataset, parity: Parity, progress: Count) -> dict[str, Any]:
    figures = figures_of(tested)
    boxed = [sample for sample in tested.samples if sample.kind != "crop"]
    for margin in (_TIGHT, _LOOSE):
        seen = judge(model, boxed, dataset.store(), margin, progress)
        real = seen.chosen(seen.real_faces)
        accuracy = metrics.balanced_accuracy(real.p_mask, real.is_mask, real.weights)
        figures[f"balanced_accuracy_boxed_margin_{margin:g}"] = None if np.isnan(accuracy) else round(accuracy, 4)
    val = {name: round(value, 4) for name, value in asdict(parity).items()}
    return {"seeds": seeds_for_card(), "test": figures, "val": val}


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


def _parity(model: Model, seen: Judgements, store: PictureStore, settings: RunSettings) -> Parity:
    real = seen.chosen(seen.real_faces)
    _, views = _views(real.samples, store, settings)
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


def _views(
    samples: Sequence[Sample], store: PictureStore, settings: RunSettings, progress: Count = uncounted
) -> tuple[list[Sample], NDArray[np.uint8]]:
    """The samples that can be read, and what the network is shown of each; shape (n, size, size, 3)."""
    margin = settings.margin or 0.0
    kept, views = [], []
    for index, sample in enumerate(samples):
        progress(index, len(samples))
        with suppress(ImageError):  # Named when the part is judged.
            views.append(face_view(sample.kind, store.image(sample.path), sample.box, margin, settings.size))
            kept.append(sample)
    return kept, np.array(views, np.uint8).reshape(-1, settings.size, settings.size, 3)
