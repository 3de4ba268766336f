"""From a shipped int8 classifier back to a run to go on from: where the run folder of a file is gone.

What `train.detector.thaw` does for the detector, with the card for the settings.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError, UsageError
from edge.vision.cards import ModelCard, file_sha256, load_card
from train.architectures import ARCHITECTURES, Pixels
from train.dataset import open_dataset, with_boxes
from train.kernels import read_kernels, unfold
from train.quantize import representative_of, representative_views
from train.runs import RunFolder, RunSettings

_ARCH = "mobilenet_v2"
_OWN = frozenset({"data", "seed", "command", "weights", "preset", "alpha", "logit_shifts"})
"""What a card says of a training apart from the details of the run."""


def thaw(file: Path, manifest: Path, run: RunFolder) -> None:
    """Writes a run with the settings of the card and, as its best weights, those of the file.

    What `export` added to the bias of the head is taken off again.

    Args:
        file: the .tflite file with its card beside it.
        manifest: the split that it was trained on; the statistics of the normalisations are those of its training part.
        run: a new folder, or one that this file was thawed to before.

    Raises:
        ModelError: the file is not a MobileNetV2 of ours.
        UsageError: it was trained on another split, or the folder holds something else.
    """
    card = load_card(file)
    if not str(card.training.get("preset", "")).endswith(f"/{_ARCH}"):
        raise ModelError(f"{file} is no {_ARCH} of `maskgate-train export`")
    settings = _settings(card, manifest, run)
    if card.training["data"]["sha256"] != settings.manifest_sha256:
        raise UsageError(f"{file} was trained on another split; what it has seen may be in val or test here")
    _check_folder(run, settings)
    network = ARCHITECTURES[_ARCH](settings.size, settings.outputs, settings.alpha, None)
    folded, (head,) = read_kernels(file.read_bytes())
    shifts = card.training["logit_shifts"]
    added = np.array([shifts.get(label, 0.0) for label in card.labels], np.float32)
    network.get_layer("head").set_weights([head.kernel, head.bias - added])
    names = [layer.name for layer in network.layers]
    for name, (kernel, _) in folded.items():
        network.layers[names.index(name) - 1].set_weights([kernel])
    unfold(
        network, {name: (np.ones_like(bias), bias) for name, (_, bias) in folded.items()}, _batches(manifest, settings)
    )
    run.write_settings(settings)
    run.save_best(network)


def _check_folder(run: RunFolder, settings: RunSettings) -> None:
    if not run.path.is_dir() or not any(run.path.iterdir()):
        return
    same = run.has_settings() and not run.state.is_file() and run.settings() == settings
    if not same:
        raise UsageError(f"{run.path} is not empty: delete it, or give another folder with -o")


def _settings(card: ModelCard, manifest: Path, run: RunFolder) -> RunSettings:
    training = card.training
    return RunSettings(
        preset=training["preset"],
        arch=_ARCH,
        size=card.input.width,
        alpha=training["alpha"],
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
        details={name: value for name, value in training.items() if name not in _OWN},
    )


def _batches(manifest: Path, settings: RunSettings) -> Iterator[NDArray[np.uint8]]:
    pictures = list(
        representative_views(representative_of(with_boxes(open_dataset(manifest)), settings.seed), settings)
    )
    return (np.stack(pictures[at : at + 32]) for at in range(0, len(pictures), 32))
