"""Fake quantization: while the network learns, it computes with the rounding that its int8 file will have.

Jacob et al. 2018 (https://arxiv.org/abs/1712.05877). Kernels are rounded to 8 bits with a scale for each output
channel, activations to the 256 steps between their least and their largest value; gradients pass as if nothing were
rounded (straight-through, Bengio et al. 2013, https://arxiv.org/abs/1308.3432). What is trained stays a network of
floats, which is exported as any other is.

Kernels are rounded before their normalisation is folded into them, the file's after it: with a scale for each channel
that is the same rounding, because folding multiplies a whole channel.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from train.detector.loss import DetectorLoss

_KERNEL_STEPS: Final = 127.0
_LEAST_RANGE: Final = 1e-3
_ROUNDED: Final = re.compile(r"_relu(_\d+)?$|_project_BN$|^side_\d+_bn$|_add$|^merge_\d+$|^box_\d+$")
"""Layers whose outputs the file rounds: activations, normalisations without one, sums, and boxes.

Scores are left alone: the export gives them a range of their own (`export.finished_network`)."""


def rounded_kernel(kernel: Any) -> Any:
    """Rounds a kernel to 8 bits with a scale for each output channel, symmetric, as the converter does.

    Args:
        kernel: of a convolution (height, width, in, out), or of a depthwise one (height, width, channels, 1).
    """
    import tensorflow as tf

    axes = [0, 1, 3] if kernel.shape[3] == 1 and kernel.shape[2] > 1 else [0, 1, 2]
    step = tf.reduce_max(tf.abs(kernel), axis=axes, keepdims=True) / _KERNEL_STEPS
    return tf.round(tf.math.divide_no_nan(kernel, step)) * step


def check_backend() -> None:
    """Raises a UsageError where Keras does not run on TensorFlow, which alone knows this rounding."""
    import keras

    if keras.config.backend() != "tensorflow":
        raise UsageError(f"--as-int8 needs Keras on TensorFlow, not on {keras.config.backend()}: unset KERAS_BACKEND")


def rounding_learner(network: Any, loss: DetectorLoss, pictures: Iterable[NDArray[np.uint8]]) -> Any:
    """What learns with that rounding; its kernels stay exact between the steps. See `check_backend`.

    Args:
        network: from `architecture.build`; trained in place.
        loss: see `train.detector.learner.Learner`.
        pictures: see `rounding_twin`.
    """
    from train.detector.learner import Learner

    kernels = [each for each in network.trainable_variables if len(each.shape) == 4]

    class RoundingLearner(Learner):
        def call(self, pixels: Any, training: Any = None) -> Any:  # noqa: ARG002
            return super().call(pixels, training=False)

        def train_step(self, data: Any) -> Any:
            off = [rounded_kernel(kernel) - kernel for kernel in kernels]
            for kernel, rounding in zip(kernels, off, strict=True):
                kernel.assign_add(rounding)
            told = super().train_step(data)
            for kernel, rounding in zip(kernels, off, strict=True):
                kernel.assign_sub(rounding)
            return told

    return RoundingLearner(rounding_twin(network, pictures), loss)


def rounding_twin(network: Any, pictures: Iterable[NDArray[np.uint8]]) -> Any:
    """The same layers with the same weights, and the rounding of activations between them.

    Args:
        network: from `architecture.build`.
        pictures: RGB batches (n, height, width, 3) that show how large activations get.

    Returns:
        A ``keras.Model``; to train it is to train `network`. Call it with ``training=False``: the file has the
        normalisations' statistics built in, so they have to stand still.
    """
    import keras

    layers = [layer for layer in network.layers if _ROUNDED.search(layer.name)]
    watched = keras.Model(network.input, [layer.output for layer in layers])
    low, high = np.zeros(len(layers), np.float32), np.zeros(len(layers), np.float32)
    for batch in pictures:
        outputs = [np.asarray(output) for output in watched(batch.astype(np.float32) / 127.5 - 1, training=False)]
        low = np.minimum(low, [output.min() for output in outputs])
        high = np.maximum(high, [output.max() for output in outputs])
    roundings = {
        layer.name: _rounding(float(least), float(most)) for layer, least, most in zip(layers, low, high, strict=True)
    }

    def rounded(layer: Any, *args: Any, **kwargs: Any) -> Any:
        output = layer(*args, **kwargs)
        return roundings[layer.name](output) if layer.name in roundings else output

    return keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=rounded)


def _rounding(low: float, high: float) -> Any:
    """A layer that rounds to 256 steps between two values, zero among them."""
    import keras
    import tensorflow as tf

    high = max(high, low + _LEAST_RANGE)
    return keras.layers.Lambda(lambda values: tf.quantization.fake_quant_with_min_max_args(values, low, high))
