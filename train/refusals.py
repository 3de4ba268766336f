"""What `fit` refuses before anything is trained: folders, material and splits that do not fit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from edge.errors import UsageError
from edge.vision.classifier import NOT_A_FACE
from train.choices import Choices
from train.dataset import Dataset
from train.detector.objects import read_objects
from train.detector.traps import load_traps
from train.files import check_name
from train.labels import NO_FACE
from train.presets import Preset
from train.progress import Note
from train.runs import RunFolder, RunSettings
from train.samples import PARTS, Sample
from train.split import leaking_groups


def check_extras(choices: Choices, train: Sequence[Sample], settings: RunSettings) -> None:
    """Refuses hard examples that do not fit, and objects and traps that cannot be read or would never be shown."""
    if choices.hard_run:
        _check_hard_run(choices.hard_run, train, settings)
    given = {"--objects": choices.objects, "--traps": choices.traps}
    if any(given.values()) and not any(sample.label == NO_FACE for sample in train):
        raise UsageError(
            f"{' and '.join(option for option, path in given.items() if path)}: shown only among pictures labelled "
            f"{NO_FACE}, of which the train part has none; add some, or leave this out"
        )
    if choices.objects:
        read_objects(choices.objects)
    if choices.traps:
        load_traps(choices.traps)


def _check_hard_run(run: Path, train: Sequence[Sample], settings: RunSettings) -> None:
    there = RunFolder(run).settings()
    if there.manifest_sha256 != settings.manifest_sha256:
        raise UsageError(f"{run} was trained on another split; its hard examples would leak")
    if NOT_A_FACE not in there.labels and any(sample.label == NO_FACE for sample in train):
        raise UsageError(
            f"--hard-examples: {run} knows no {NOT_A_FACE}, and the train part has pictures of label {NO_FACE}; "
            "give a run of --preset maskgate"
        )


def check_manifest(manifest: Path) -> None:
    """Refuses a data set that has not been divided: copies would be on both sides of what its folders say.

    Raises:
        UsageError: the file is no .csv.
    """
    if manifest.suffix.lower() != ".csv":
        raise UsageError(
            f"{manifest} is no manifest (.csv): `maskgate-train split {manifest.name} -o MANIFEST.csv` makes one, in "
            "which no picture is in two parts"
        )


def check_parts(dataset: Dataset, preset: Preset, note: Note) -> None:
    """Refuses a split that leaks, apart from a published one for a seed's preset: that is for a comparison.

    What is in two parts may be a group, a file under whatever spelling of its path, or a content.

    Raises:
        UsageError: it leaks.
    """
    samples = [sample for sample in dataset.samples if sample.split in PARTS]
    leaking = next(filter(None, (leaking_groups(named) for named in _named(samples, dataset.root))), None)
    if not leaking:
        return
    group, parts = min(leaking.items())
    leak = f"{group} is in {' and '.join(sorted(parts))}"
    if preset.steps or any(sample.split != sample.published_split for sample in samples):
        # A group that is named stays as it is there.
        first = "" if group in {sample.group for sample in samples} else ", once the column group_id is out of it"
        raise UsageError(
            f"{leak}: what is learned there would be measured again; `maskgate-train split` mends the manifest{first}"
        )
    note(f"the published split leaks ({leak}): the figures are good for a comparison only")


def _named(samples: Sequence[Sample], root: Path) -> Iterator[list[Sample]]:
    """The samples by all that must not be in two parts, each time as their group."""
    yield list(samples)
    yield [replace(sample, group=os.path.relpath(root / sample.path, root)) for sample in samples]
    yield [replace(sample, group=f"sha256 {sample.sha256.lower()}") for sample in samples if sample.sha256]


def check_folder(run: RunFolder, choices: Choices) -> None:
    """Refuses a folder that something is read from, that `thaw` made, or that holds others' files by our names.

    Raises:
        UsageError: it is one, or has a name that no model could be opened by later.
    """
    check_name(run.path)
    if taken := run.taken():
        raise UsageError(
            f"{run.path} is no run folder, and {taken[0].name} in it would be lost; give another folder with -o"
        )
    sources = {"--start": choices.start, "--hard-examples": choices.hard_run, "--teacher": choices.teacher}
    for option, source in sources.items():
        if source is not None and source.resolve() == run.path.resolve():
            raise UsageError(f"{option} and -o both name {run.path}; give another folder with -o")
    if run.best_weights.is_file() and not run.state.is_file():
        raise UsageError(
            f"{run.path} holds weights, but nothing to go on from; "
            f"give another folder with -o, and `--start {run.path}` to begin from these"
        )
