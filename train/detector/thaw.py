"""From a shipped int8 file back to a network that can be trained: where the run folder of a file is gone.

The converter folded each batch normalisation into the convolution before it and rounded the kernels to 8 bits, one
scale a channel. What comes back is the same function up to that rounding. The normalisation's own statistics are lost;
identity ones would shift every channel as soon as training takes the statistics of a batch, so they are measured again
on pictures, and scale and offset are set such that the function stays what it was.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge.errors import ModelError
from train.detector.architecture import build

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_FOLDED: Final = re.compile(r"/([A-Za-z0-9_]+?)(?:_\d+)?/batchnorm/sub(?:_\d+|\d+)?$")
"""The converter names a folded convolution's output after the normalisation that it swallowed."""

_TYPES: Final = {9: np.int8, 2: np.int32}
"""Types of kernels and biases, by the format's number."""

_PLAIN: Final = {(1, False): "score", (4, False): "box", (1, True): "spread"}
"""Convolutions without a normalisation, by their outputs and whether they have a single input."""

_SUFFIX: Final = re.compile(r"_(?:bn|BN)(?:_\d+)?$")


def thaw(model: Path, pictures: Iterable[NDArray[np.uint8]]) -> Any:
    """Rebuilds the network of a finished file.

    Args:
        model: the .tflite file that `maskgate-train detector export` wrote.
        pictures: RGB batches (n, height, width, 3) on which the statistics are measured.

    Returns:
        The `keras.Model` of `architecture.build`, with the file's calibration of scores still in its last layer.

    Raises:
        ModelError: the file is not of this network.
    """
    kernels = read_kernels(model.read_bytes())
    network = build()
    folds = [layer.name for layer in network.layers if layer.name.endswith(("_bn", "_BN")) or "_bn_" in layer.name]
    missing = sorted(set(folds) - kernels.keys())
    if missing or not {"score", "box"} <= kernels.keys():
        raise ModelError(f"{model} is not of this network: it has no {missing[0] if missing else 'score'}")
    shared: dict[str, Floats] = {}
    ratios = {}
    for name in folds:
        kernel, _ = kernels[name]
        base = shared.setdefault(_SUFFIX.sub("", name), kernel)
        ratios[name] = _ratio(kernel, base)
    for name, kernel in shared.items():
        network.get_layer(name).set_weights([kernel])
    kernel, bias = kernels["score"]
    if "spread" in kernels:
        wide, shift = kernels["spread"]
        kernel, bias = kernel * wide.item(), bias * wide.item() + shift
    network.get_layer("score").set_weights([kernel, bias])
    network.get_layer("box").set_weights(list(kernels["box"]))
    unfold(network, {name: (ratios[name], kernels[name][1]) for name in folds}, pictures)
    return network


def read_kernels(content: bytes) -> dict[str, tuple[Floats, Floats]]:
    """Kernel, in Keras's order of axes, and bias of each convolution, by the name of its normalisation or its own."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    graph, codes = model.subgraphs[0], schema.BuiltinOperator
    found = {}
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if kind not in (codes.CONV_2D, codes.DEPTHWISE_CONV_2D):
            continue
        constants = [graph.tensors[at] for at in operator.inputs[1:3]]
        if any(tensor.type not in _TYPES for tensor in constants):
            continue  # Not an int8 file; what is missing is told by name.
        kernel, bias = (_floats(model, tensor) for tensor in constants)
        folded = _FOLDED.search(graph.tensors[operator.outputs[0]].name.decode())
        name = folded.group(1) if folded else _PLAIN.get((len(kernel), kernel.shape[3] == 1), "")
        found[name] = (kernel.transpose(1, 2, 3, 0), bias)
    return found


def _floats(model: Any, tensor: Any) -> Floats:
    """The values of a quantised constant; its zero point is 0, the scale is one number or one a channel."""
    values = (
        np.frombuffer(model.buffers[tensor.buffer].data.tobytes(), _TYPES[tensor.type])
        .reshape(tensor.shape)
        .astype(np.float32)
    )
    scale, axis = np.asarray(tensor.quantization.scale, np.float32), tensor.quantization.quantizedDimension
    if scale.size > 1:
        scale = scale.reshape([-1 if at == axis else 1 for at in range(values.ndim)])
    return np.asarray(values * scale, np.float32)


def _ratio(kernel: Floats, base: Floats) -> Floats:
    """For each output channel, what a kernel that levels share was multiplied with at this level."""
    axis = (0, 1, 3) if kernel.shape[3] == 1 else (0, 1, 2)
    own = (base * base).sum(axis=axis)
    return np.asarray((kernel * base).sum(axis=axis) / np.maximum(own, 1e-12), np.float32)


def unfold(network: Any, folded: dict[str, tuple[Floats, Floats]], pictures: Iterable[NDArray[np.uint8]]) -> None:
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
