"""The networks. Each gives logits; `with_probabilities` adds what the exported file ends in. Keras comes on use."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from edge.errors import UnavailableError
from train.weights import load_weights

Model: TypeAlias = Any
"""A `keras.Model`; Keras ships no types."""


def load_keras() -> Any:
    """Imports Keras.

    Raises:
        UnavailableError: the extra is not installed.
    """
    try:
        import keras
        import tensorflow as tf  # noqa: F401  Keras finds its backend only when something is built.
    except ModuleNotFoundError as error:
        raise UnavailableError(f"training needs {error.name}, which is not here: install maskgate[train]") from error
    return keras


@dataclass(frozen=True, slots=True)
class Pixels:
    """How the network reads a byte: (byte - zero_point) * scale. The exported input has exactly these."""

    scale: float
    zero_point: int


SYMMETRIC = Pixels(1 / 127.5, 127)
"""-1 to 1, as MobileNetV2's ImageNet weights have it (half a grey level aside: zero is 127, not 127.5)."""

UNIT = Pixels(1 / 255, 0)
"""0 to 1, as the seeds have it."""


def cnn3(size: int, outputs: int) -> Model:
    """The baseline of GoogleBangkit-MaskClassification: 9,494,561 parameters at 150 px and one output."""
    layers = load_keras().layers
    return _stack(
        [
            *_block(16),
            *_block(32),
            *_block(64),
            layers.Flatten(),
            layers.Dense(512, activation="relu"),
            layers.Dense(outputs, name="logits"),
        ],
        size,
        "cnn3",
    )


def cnn4(size: int, outputs: int) -> Model:
    """The network of FaceMaskDetection (Fakhrezi): 3,043,137 parameters at 128 px and one output."""
    layers = load_keras().layers
    return _stack(
        [
            *_block(32),
            *_block(64),
            layers.Dropout(0.2),
            *_block(128),
            layers.Dropout(0.2),
            *_block(512),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(outputs, name="logits"),
        ],
        size,
        "cnn4",
    )


def _block(filters: int) -> list[Any]:
    layers = load_keras().layers
    return [layers.Conv2D(filters, 3, activation="relu"), layers.MaxPooling2D(2)]


def _stack(layers: list[Any], size: int, name: str) -> Model:
    keras = load_keras()
    pixels = keras.Input((size, size, 3), name="pixels")
    values = pixels
    for layer in layers:
        values = layer(values)
    return keras.Model(pixels, values, name=name)


def mobilenet_v2_bangkit(size: int, outputs: int, alpha: float, weights: Path | str | None) -> Model:
    """Transfer learning as in GoogleBangkit-MaskClassification: 4,095,554 parameters at 224 px, alpha 1, two outputs.

    Its dense layers stand before the pooling, once for each of the 7 x 7 cells.
    """
    keras = load_keras()
    backbone = mobilenet_backbone(size, alpha, weights)
    backbone.trainable = False
    values = keras.layers.Dropout(0.7)(backbone.output)
    values = keras.layers.Dense(1024, activation="relu")(values)
    values = keras.layers.Dropout(0.3)(values)
    values = keras.layers.Dense(512, activation="relu")(values)
    values = keras.layers.GlobalAveragePooling2D()(values)
    values = keras.layers.Dense(outputs, name="logits")(values)
    return keras.Model(backbone.input, values, name="mobilenet_v2_bangkit")


def mobilenet_v2(size: int, outputs: int, alpha: float, weights: Path | str | None, dropout: float = 0.2) -> Model:
    """MobileNetV2 (Sandler et al. 2018) with a head of one 1x1 convolution.

    A Dense head of two or three outputs becomes a FULLY_CONNECTED with a scale for each of them, which crashes
    tflite-runtime 2.14 on aarch64; the convolution does the same sum and does not.
    """
    keras = load_keras()
    backbone = mobilenet_backbone(size, alpha, weights)
    values = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(backbone.output)
    values = keras.layers.Dropout(dropout, name="dropout")(values)
    values = keras.layers.Conv2D(outputs, 1, name="head")(values)
    values = keras.layers.Flatten(name="logits")(values)
    return keras.Model(backbone.input, values, name="mobilenet_v2")


def mobilenet_backbone(size: int, alpha: float, weights: Path | str | None) -> Model:
    """MobileNetV2 without its classes.

    Args:
        size: of the input in pixels.
        alpha: width; 1 is the published network.
        weights: a `.weights.h5` file, "imagenet" (Keras downloads them) or None for random ones.

    Raises:
        UsageError: the file is missing or is not of this network.
        UnavailableError: the ImageNet weights cannot be fetched.
    """
    keras = load_keras()
    build = keras.applications.MobileNetV2
    shape = (size, size, 3)
    if weights == "imagenet":
        try:
            with redirect_stdout(sys.stderr):  # Keras tells of the download, and stdout is ours.
                return build(input_shape=shape, alpha=alpha, include_top=False, weights="imagenet")
        except Exception as error:  # Keras raises a bare Exception when the download fails.
            raise UnavailableError(
                f"the ImageNet weights cannot be fetched ({error}): give a file with --weights"
            ) from error
    model = build(input_shape=shape, alpha=alpha, include_top=False, weights=None)
    if weights is not None:
        load_weights(model, Path(weights), f"MobileNetV2 of width {alpha:g}")
    return model


def with_probabilities(model: Model) -> Model:
    """The model with its probabilities, one for each label.

    One output, as the seeds have it, is the second label's: their folders sort `mask` before `no mask`.
    """
    keras = load_keras()
    logits = model.output
    if logits.shape[-1] == 1:
        # softmax of (0, x) is (1 - sigmoid(x), sigmoid(x)).
        logits = keras.layers.Concatenate(name="both")([keras.ops.multiply(logits, 0.0), logits])
    return keras.Model(model.input, keras.layers.Softmax(name="probabilities")(logits))


ARCHITECTURES: dict[str, Callable[..., Model]] = {
    "cnn3": lambda size, outputs, _alpha, _weights: cnn3(size, outputs),
    "cnn4": lambda size, outputs, _alpha, _weights: cnn4(size, outputs),
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v2_bangkit": mobilenet_v2_bangkit,
}
"""By name; called with size in pixels, number of outputs, width and weights (which the two seed CNNs do not have)."""

FROM_SCRATCH = frozenset({"cnn3", "cnn4"})
"""Networks for which there are no weights to begin from."""

IMAGENET_WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
"""Of MobileNetV2, for which Keras has ImageNet weights."""
