"""Detectors with random weights: one that is built in no time, and the real one with answers that can be compared."""

from __future__ import annotations

from typing import Any

from train.detector.architecture import build, output_names


def small_detector() -> Any:
    """Six convolutions in place of `train.detector.architecture.build`, whose two hundred layers take Keras seconds."""
    import keras

    pixels = keras.Input((None, None, 3))
    outputs = []
    for name in output_names():
        kind, stride = name.split("_")
        layer = keras.layers.Conv2D({"score": 1, "box": 4}[kind], int(stride), strides=int(stride), name=name)
        outputs.append(layer(pixels))
    return keras.Model(pixels, outputs)


def loud_detector(seed: int) -> Any:
    """The real network, its kernels thrice as large as they begin: the others lose what they are shown on the way."""
    import keras

    keras.utils.set_random_seed(seed)
    network = build()
    network.set_weights([3 * values if values.ndim == 4 else values for values in network.get_weights()])
    return network
