"""The float network as a TFLite file, and as an int8 one by way of representative pictures."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from train.architectures import Model, Pixels, load_keras, with_probabilities
from train.dataset import Dataset, open_dataset, with_boxes
from train.progress import Note, silent
from train.runs import RunSettings
from train.samples import PARTS, Sample
from train.sampling import stratum_of
from train.views import face_view
from train.weights import check_room

REPRESENTATIVE = 300
"""Training pictures that the ranges of the activations are measured on."""

_MARGINS = (0.0, 0.35)
"""Around the boxes of the representative pictures: what a detector gives, tight to loose."""


def representative_of(dataset: Dataset, seed: int) -> Dataset:
    """Training samples drawn evenly from the strata, one a group; the same for the same seed."""
    rng = np.random.default_rng(seed)
    train = [sample for sample in dataset.part("train") if stratum_of(sample)]
    by_stratum: dict[str, dict[str, Sample]] = {}
    for index in rng.permutation(len(train)):
        sample = train[int(index)]
        by_stratum.setdefault(str(stratum_of(sample)), {}).setdefault(sample.group, sample)
    each = max(1, REPRESENTATIVE // len(by_stratum))
    chosen = [sample for groups in by_stratum.values() for sample in list(groups.values())[:each]]
    return Dataset(dataset.root, sorted(chosen, key=lambda sample: sample.path))


def representative_given(manifest: Path, dataset: Dataset, note: Note = silent) -> Dataset:
    """The pictures of a manifest that a file may be quantized on: those for training, none that it is measured on.

    Args:
        manifest: with parts or without.
        dataset: of the run, whose `val` and `test` are left out by file, group and content.
        note: told how many are left out.

    Raises:
        UsageError: none is left.
    """
    given = with_boxes(open_dataset(manifest))
    divided = any(sample.split in PARTS for sample in given.samples)
    measured = {each for part in ("val", "test") for sample in dataset.part(part) for each in _names(sample, dataset)}
    kept = [
        sample
        for sample in (given.part("train") if divided else given.samples)
        if measured.isdisjoint(_names(sample, given))
    ]
    if not kept:
        raise UsageError(
            f"{manifest} has no picture to quantize on: all are of another part than train, or in val or test of the "
            "run; leave --representative out"
        )
    if left_out := len(given.samples) - len(kept):
        note(
            f"{left_out} pictures of {manifest} are of another part than train, or in val or test of the run; they are "
            "left out"
        )
    return Dataset(given.root, kept)


def _names(sample: Sample, dataset: Dataset) -> list[tuple[str, str]]:
    """All that tells a picture, or the original that it shows, from others."""
    names = [("path", os.path.normpath(dataset.root.resolve() / sample.path))]
    if sample.group != sample.path:
        names.append(("group", sample.group))
    if sample.sha256:
        names.append(("sha256", sample.sha256.lower()))
    return names


def readable(dataset: Dataset, note: Note = silent) -> Dataset:
    """Without the pictures that cannot be read, each of which is named.

    Raises:
        UsageError: none can be.
    """
    store = dataset.store()
    kept = []
    for sample in dataset.samples:
        if store.readable(sample.path):
            kept.append(sample)
        else:
            note(f"{sample.path} cannot be read and is left out; `maskgate-train inspect` says why")
    if not kept:
        raise UsageError(f"there is no picture to quantize on below {dataset.root} that can be read")
    return Dataset(dataset.root, kept)


@contextmanager
def temporary_in(folder: Path, model: Model) -> Iterator[None]:
    """Lets TensorFlow keep what it converts a network by in a folder of ours.

    It asks `tempfile`, and where that place is full, it says so by a TypeError.

    Raises:
        OSError: there may be too little room.
    """
    check_room(folder / "model", model)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def float_file(model: Model) -> bytes:
    """The network with its probabilities as a float TFLite file."""
    return bytes(converter_of(model).convert())


def int8_file(model: Model, representative: Dataset, settings: RunSettings) -> bytes:
    """The network as int8 with bytes in and bytes out."""
    import tensorflow as tf

    converter = converter_of(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [scaled(view, settings.pixels)[np.newaxis]] for view in representative_views(representative, settings)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    # The seeds end in Dense layers; with one scale each they run everywhere (see train.safety).
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True  # noqa: SLF001  Has no public name.
    return bytes(converter.convert())


def converter_of(model: Model) -> Any:
    """A `tf.lite.TFLiteConverter` of a model that gives logits."""
    load_keras()
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_keras_model(with_probabilities(model))


def representative_views(dataset: Dataset, settings: RunSettings) -> Iterator[NDArray[np.uint8]]:
    """The representative pictures at margins from tight to loose, after one black and one white picture.

    The two fix the input's range at 0 to 255, so that raw bytes mean what they say.
    """
    for level in (0, 255):
        yield np.full((settings.size, settings.size, 3), level, np.uint8)
    store = dataset.store()
    rng = np.random.default_rng(settings.seed)
    for sample in dataset.samples:
        margin = float(rng.uniform(*_MARGINS))
        yield face_view(sample.kind, store.image(sample.path), sample.box, margin, settings.size)


def scaled(view: NDArray[np.uint8], pixels: Pixels) -> NDArray[np.float32]:
    """Bytes as the float network takes them.

    The range of the representative pictures decides the scale of the input, so black and white must come out exactly as
    the card says: (0 - zero) * scale and (255 - zero) * scale.
    """
    return np.asarray((view.astype(np.float32) - pixels.zero_point) * np.float32(pixels.scale), np.float32)
