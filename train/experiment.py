"""Puts a run together: manifest, pictures, recipe, network, validation; then trains it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.errors import UsageError
from train.architectures import ARCHITECTURES, FROM_SCRATCH, Model, load_keras
from train.choices import Choices, checked, chosen_preset
from train.dataset import Dataset, open_dataset, with_boxes
from train.files import claimed
from train.fit import Progress, Trainer
from train.hard import hard_examples
from train.labels import INCORRECT, MASK, NO_FACE, NO_MASK
from train.presets import Preset
from train.progress import Count, Note, silent
from train.recipes import BalancedRecipe, PlainRecipe, Recipe
from train.refusals import check_extras, check_folder, check_manifest, check_parts
from train.regions import RegionCache, RegionFile
from train.runs import EpochRecord, RunFolder, RunSettings, check_same_run
from train.samples import Sample
from train.sampling import SMALLEST_BOX, stratum_of
from train.sources import digests_of
from train.teacher import teacher_of
from train.validation import SMALLEST_JUDGED, ValidationSet, judged

_NOT_COUNTED = {
    "train": f"a boxed face of less than {SMALLEST_BOX} px does not",
    "val": f"a drawn-on mask and a boxed face of less than {SMALLEST_JUDGED} px do not",
}


def fit(
    manifest: Path,
    run: RunFolder,
    choices: Choices,
    progress: Progress,
    note: Note = silent,
) -> list[EpochRecord]:
    """Trains one network on the `train` part of a manifest and validates it on `val`. `test` is not opened.

    Args:
        manifest: the split; paths in it are relative to its folder.
        run: a new folder, or one of the same settings that was interrupted: it is taken up where it stood.
        choices: what differs from the preset.
        progress: told of each picture, step and epoch.
        note: told in words what happens before the first step.

    Raises:
        UsageError: the choices or the manifest do not fit.
        UnavailableError: the training extra or the weights are missing, or another process trains in this folder.
    """
    name, preset = chosen_preset(choices)
    choices = checked(name, preset, choices)
    check_manifest(manifest)
    check_folder(run, choices)
    keras = load_keras()
    keras.utils.set_random_seed(choices.seed)
    dataset = with_boxes(open_dataset(manifest))
    check_parts(dataset, preset, note)
    settings = _settings(name, preset, manifest, run, choices)
    check_same_run(run, settings)
    train, validation = (_usable(dataset, part, preset) for part in ("train", "val"))
    check_extras(choices, train, settings)
    # Before the pictures are read, which takes minutes: what can be refused is refused at once.
    model = _network(preset, choices, settings)
    teacher = teacher_of(RunFolder(choices.teacher), settings) if choices.teacher else None
    note(f"reading {len(train)} training and {len(validation)} validation pictures")
    with claimed(run.path):
        cache = RegionCache(run.path.parent / "cache", choices.landmarks)
        train, train_file = _regions(cache, train, dataset, preset, note, progress.read)
        validation, validation_file = _regions(cache, validation, dataset, preset, note, progress.read)
        recipe = _recipe(preset, train, train_file, choices.seed)
        if isinstance(recipe, BalancedRecipe):
            recipe.objects, recipe.traps = choices.objects, choices.traps
            if choices.hard_run is not None:
                recipe.boost = _boost(choices.hard_run, train, train_file, note)
        margin = preset.margin if preset.steps else None
        regions = RegionFile(validation_file)
        judge = ValidationSet(validation, regions, preset.labels, preset.size, margin, preset.metric)
        note(f"{preset.arch}, {model.count_params():,} parameters, {recipe.steps} batches of {preset.batch} an epoch")
        run.write_settings(settings)
        return Trainer(model, preset, recipe, judge, run, progress, choices.seed, teacher).train()


def _regions(
    cache: RegionCache, samples: Sequence[Sample], dataset: Dataset, preset: Preset, note: Note, read: Count
) -> tuple[list[Sample], Path]:
    kept, path = cache.prepare(samples, dataset.store(), read)
    if _missing(kept, preset):
        raise UsageError(
            f"the {samples[0].split} part has no readable picture of one label below {dataset.root}; "
            "`maskgate-train inspect` says why"
        )
    if len(kept) < len(samples):
        note(
            f"{len(samples) - len(kept)} pictures cannot be read and are left out; `maskgate-train inspect` names them"
        )
    return kept, path


def _usable(dataset: Dataset, part: str, preset: Preset) -> list[Sample]:
    """The labelled samples of a part; the seeds know only two labels, and bad wear is what its publisher called it."""
    labels = (MASK, NO_MASK, INCORRECT, NO_FACE) if preset.steps else (MASK, NO_MASK)
    chosen = [sample for sample in dataset.part(part) if sample.label in labels and sample.kind != "clip"]
    missing = _missing(chosen, preset)
    if missing:
        there = missing & {sample.label for sample in chosen}
        why = f" that counts ({_NOT_COUNTED[part]})" if there else ""
        raise UsageError(
            f"the {part} part of the manifest has no {' and no '.join(sorted(missing))}{why}; "
            "`maskgate-train split` makes the parts"
        )
    return chosen


def _missing(samples: Sequence[Sample], preset: Preset) -> set[str]:
    """Which of the two labels no sample of a part has that is learned from, or that epochs are compared by."""
    return {MASK, NO_MASK} - {sample.label for sample in samples if _counts(sample, preset)}


def _counts(sample: Sample, preset: Preset) -> bool:
    if sample.split == "val":
        return judged(sample) and not (preset.metric == "balanced" and sample.drawn_on)
    return bool(stratum_of(sample)) or not preset.steps


def _recipe(preset: Preset, samples: list[Sample], regions: Path, seed: int) -> Recipe:
    if preset.steps:
        return BalancedRecipe(samples, regions, preset.labels, preset.size, preset.batch, preset.steps, seed)
    return PlainRecipe(samples, regions, preset.labels, preset.size, preset.batch, seed, preset.ranges)


def _network(preset: Preset, choices: Choices, settings: RunSettings) -> Model:
    """The network with its first weights: of an earlier run, of ImageNet, or random ones."""
    if choices.start is None:
        return _built(preset, choices.weights)
    earlier = RunFolder(choices.start)
    there = earlier.settings()
    if (there.arch, there.alpha, there.labels) != (preset.arch, preset.alpha, preset.labels):
        raise UsageError(f"{choices.start} holds another network ({there.arch}, width {there.alpha:g})")
    if preset.arch in FROM_SCRATCH and there.size != preset.size:  # its last layers see every place of the picture
        raise UsageError(f"{choices.start} holds a network for pictures of {there.size} px; give --size {there.size}")
    if there.manifest_sha256 != settings.manifest_sha256:
        raise UsageError(f"{choices.start} was trained on another split; what it has seen may be in val or test here")
    model = _built(preset, None)
    earlier.load_best(model)
    return model


def _built(preset: Preset, weights: Path | str | None) -> Model:
    try:
        return ARCHITECTURES[preset.arch](preset.size, preset.outputs, preset.alpha, weights)
    except ValueError as error:
        raise UsageError(
            f"{preset.arch} cannot be built for pictures of {preset.size} px; give another --size"
        ) from error


def _boost(earlier: Path, train: list[Sample], regions: Path, note: Note) -> dict[int, float]:
    boost = hard_examples(RunFolder(earlier), train, RegionFile(regions))
    note(f"{len(boost)} hard examples are drawn more often")
    return boost


def _settings(name: str, preset: Preset, manifest: Path, run: RunFolder, choices: Choices) -> RunSettings:
    earlier = RunFolder(choices.start).settings() if choices.start else None
    details: dict[str, Any] = {
        "batch": preset.batch,
        "steps": preset.steps,
        "hard_examples_of": choices.hard_run.name if choices.hard_run else "",
        "start": earlier.command if earlier else "",
        "teacher": RunFolder(choices.teacher).settings().command if choices.teacher else "",
        "objects": choices.objects.name if choices.objects else "",
        "traps": choices.traps.name if choices.traps else "",
        "landmarks": choices.landmarks.name if choices.landmarks else "",
        "digests": digests_of(choices),
        "phases": [f"{p.name}: {p.epochs} epochs, {p.optimizer} {p.rate:g} {p.decay}" for p in preset.phases],
    }
    return RunSettings(
        preset=name,
        arch=preset.arch,
        size=preset.size,
        alpha=preset.alpha,
        outputs=preset.outputs,
        labels=preset.labels,
        pixels=preset.pixels,
        margin=preset.margin if preset.steps else None,
        seed=choices.seed,
        weights=earlier.weights if earlier else Path(choices.weights).name if choices.weights else "",
        manifest=manifest.name,
        manifest_sha256=hashlib.sha256(manifest.read_bytes()).hexdigest(),
        manifest_path=os.path.relpath(manifest.resolve(), run.path.resolve()),
        command=choices.command,
        details=details,
    )
