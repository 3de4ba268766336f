"""The float kernels of an int8 file, and normalisations to train them with: what every thawing needs.

The converter folded each batch normalisation into the convolution before it and rounded the kernels to 8 bits, one
scale a channel. The normalisation's own statistics are lost; identity ones would shift every channel as soon as
training takes the statistics of a batch, so they are measured again on pictures, and scale and offset are set such that
the function stays what it was.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from train.flatbuffer import kind_of, unpacked, values_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_FOLDED: Final = re.compile(r"/([A-Za-z0-9_]+?)(?:_\d+)?/batchnorm/sub(?:_\d+|\d+)?$")
"""The converter names a folded convolution's output after the normalisation that it swallowed."""

_CONVOLUTIONS: Final = ("CONV_2D", "DEPTHWISE_CONV_2D")

_TYPES: Final[dict[int, type[np.integer[Any]]]] = {9: np.int8, 2: np.int32}
"""Types of kernels and biases, by the format's number."""


class Convolution(NamedTuple):
    """Kernel, in Keras's order of axes, and bias."""

    kernel: Floats
    bias: Floats


def read_kernels(content: bytes) -> tuple[dict[str, Convolution], list[Convolution]]:
    """The convolutions of an int8 file: by the name of the normalisation in them, and those that have none, in order.

    Those that are not of 8 bits are left out.
    """
    model = unpacked(content)
    graph = model.subgraphs[0]
    folded: dict[str, Convolution] = {}
    plain: list[Convolution] = []
    for operator in graph.operators:
        if kind_of(model, operator) not in _CONVOLUTIONS:
            continue
        constants = [graph.tensors[at] for at in operator.inputs[1:3]]
        if any(tensor.type not in _TYPES for tensor in constants):
            continue
        kernel, bias = (_floats(model, tensor) for tensor in constants)
        found = Convolution(kernel.transpose(1, 2, 3, 0), bias)
        named = _FOLDED.search(graph.tensors[operator.outputs[0]].name.decode())
        if named:
            folded[named.group(1)] = found
        else:
            plain.append(found)
    return folded, plain


def _floats(model: Any, tensor: Any) -> Floats:
    """The values of a quantised constant; its zero point is 0, the scale is one number or one a channel."""
    values = values_of(model, tensor, _TYPES[tensor.type]).astype(np.float32)
    scale, axis = np.asarray(tensor.quantization.scale, np.float32), tensor.quantization.quantizedDimension
    if scale.size > 1:
        scale = scale.reshape([-1 if at == axis else 1 for at in range(values.ndim)])
    return np.asarray(values * scale, np.float32)


def unfold(network: Any, folded: Mapping[str, tuple[Floats, Floats]], pictures: Iterable[NDArray[np.uint8]]) -> None:
    """Gives each normalisation statistics of its own, measured on the pictures, without changing the function.

    Args:
        network: its convolutions hold the kernels of the file.
        folded: by the normalisation's name, what its convolution was multiplied with and the bias of each channel.
        pictures: RGB batches (n, height, width, 3), at least one.
    """
    import keras

    layers = [network.get_layer(name) for name in folded]
    for layer in layers:
        ratio, bias = folded[layer.name]
        layer.set_weights([ratio, bias, np.zeros_like(bias), np.full_like(bias, 1 - layer.epsilon)])
    probe = keras.Model(network.input, [layer.input for layer in layers])
    means, squares = [np.zeros(1)] * len(layers), [np.zeros(1)] * len(layers)
    count = 0
    for batch in pictures:
        count += 1
        for at, value in enumerate(probe(batch.astype(np.float32) / 127.5 - 1, training=False)):
            flat = np.asarray(value, np.float64).reshape(-1, value.shape[-1])
            means[at] = means[at] + flat.mean(axis=0)
            squares[at] = squares[at] + (flat**2).mean(axis=0)
    if not count:
        raise ValueError("expected at least one batch of pictures")
    for layer, mean, square in zip(layers, means, squares, strict=True):
        ratio, bias = folded[layer.name]
        middle = mean / count
        spread = np.maximum(square / count - middle**2, 0)
        scale = ratio * np.sqrt(spread + layer.epsilon)
        layer.set_weights([scale, bias + ratio * middle, middle, spread])
