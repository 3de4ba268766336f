"""From a shipped int8 classifier back to a run to go on from: where the run folder of a file is gone.

What `train.detector.thaw` does for the detector, with the card for the settings.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError, UsageError
from edge.vision.cards import ModelCard, file_sha256, load_card
from train.architectures import ARCHITECTURES, Model, Pixels
from train.dataset import Dataset, open_dataset, with_boxes
from train.files import check_name, claimed
from train.kernels import Convolution, read_kernels, unfold
from train.progress import Note, silent
from train.quantize import readable, representative_of, representative_views
from train.runs import RunFolder, RunSettings

_ARCH = "mobilenet_v2"
_OWN = frozenset({"data", "seed", "command", "weights", "preset", "alpha", "logit_shifts", "representative"})
"""What a card says apart from the details of the run."""


def thaw(file: Path, manifest: Path, run: RunFolder, note: Note = silent) -> None:
    """Writes a run with the settings of the card and, as its best weights, those of the file.

    What `export` added to the bias of the head is taken off again.

    Args:
        file: the .tflite file with its card beside it.
        manifest: the split that it was trained on; the statistics of the normalisations are those of its training part.
        run: a new folder, or one that this file was thawed to before.
        note: told in words what is left out.

    Raises:
        ModelError: the file is not a MobileNetV2 of ours.
        UsageError: it was trained on another split, or the folder holds something else.
    """
    card = load_card(file)
    if not str(card.training.get("preset", "")).endswith(f"/{_ARCH}"):
        raise ModelError(f"{file} is no {_ARCH} of `maskgate-train export`")
    try:
        settings = _settings(card, manifest, run)
        trained_on = card.training["data"]["sha256"]
        added = np.array([card.training["logit_shifts"].get(label, 0.0) for label in card.labels], np.float32)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the card of {file} does not say how it was trained: {error!r}") from error
    if trained_on != settings.manifest_sha256:
        raise UsageError(f"{file} was trained on another split; what it has seen may be in val or test here")
    _check_folder(run, settings)
    pictures = readable(representative_of(with_boxes(open_dataset(manifest)), settings.seed), note)
    network = ARCHITECTURES[_ARCH](settings.size, settings.outputs, settings.alpha, None)
    try:
        folded = _take_kernels(network, file, added)
    except ValueError as error:
        raise ModelError(f"{file} holds another network than its card says (width, labels): {error}") from error
    unfold(
        network, {name: (np.ones_like(bias), bias) for name, (_, bias) in folded.items()}, _batches(pictures, settings)
    )
    with claimed(run.path):
        run.write_settings(settings)
        run.save_best(network)


def _take_kernels(network: Model, file: Path, added: NDArray[np.float32]) -> dict[str, Convolution]:
    """Puts the kernels of a file into a network, and gives those that swallowed a normalisation.

    Raises:
        ValueError: the two do not fit.
    """
    folded, (head,) = read_kernels(file.read_bytes())
    network.get_layer("head").set_weights([head.kernel, head.bias - added])
    names = [layer.name for layer in network.layers]
    for name, (kernel, _) in folded.items():
        network.layers[names.index(name) - 1].set_weights([kernel])
    return folded


def _check_folder(run: RunFolder, settings: RunSettings) -> None:
    check_name(run.path)
    if not run.path.is_dir() or not any(run.path.iterdir()):
        return
    if run.state.is_file() or not run.has_settings() or not _same(run.settings(), settings):
        raise UsageError(f"{run.path} is not empty: delete it, or give another folder with -o")


def _same(there: RunSettings, here: RunSettings) -> bool:
    """Whether both are of one file; runs of earlier versions do not say of which they are."""
    return replace(there, details={"thawed": here.details["thawed"], **there.details}) == here


def _settings(card: ModelCard, manifest: Path, run: RunFolder) -> RunSettings:
    training = card.training
    return RunSettings(
        preset=training["preset"],
        arch=_ARCH,
        size=card.input.width,
        alpha=float(training["alpha"]),
        outputs=len(card.labels),
        labels=card.labels,
        pixels=Pixels(card.input.scale, card.input.zero_point),
        margin=card.crop.margin,
        seed=training["seed"],
        weights=training["weights"],
        manifest=manifest.name,
        manifest_sha256=file_sha256(manifest),
        manifest_path=os.path.relpath(manifest.resolve(), run.path.resolve()),
        command=training["command"],
        details={
            **{name: value for name, value in training.items() if name not in _OWN},
            "thawed": {"sha256": card.sha256},
        },
    )


def _batches(pictures: Dataset, settings: RunSettings) -> Iterator[NDArray[np.uint8]]:
    views = list(representative_views(pictures, settings))
    return (np.stack(views[at : at + 32]) for at in range(0, len(views), 32))
