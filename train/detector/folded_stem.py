"""The stem's first convolution over pixels in fours: the same sums to the last bit, in less than half of the time.

A convolution of 6 x 6 pixels of three channels is 36 short sums for each place, and a runtime that takes four or eight
channels at a time leaves many of its lanes empty. Four neighbouring pixels of a row lie in memory as one of
twelve channels would, so that the same picture, padded as the convolution would have padded it, needs 6 x 2 longer
sums. The kernel is the old one with zeros for the two pixels by which it reaches too far.
docs/decisions/0021-folded-stem.md has the times, and what else was tried.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge.errors import ModelError
from train.flatbuffer import add_buffer, kind_of, operator_code, packed, schema, unpacked, values_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STRIDE: Final = 4
_KERNEL: Final = 6
_COLOURS: Final = 3
_PAD: Final = (_KERNEL - _STRIDE) // 2
"""Pixels by which the first kernel begins before the picture and the last one ends behind it, in both directions."""

_REACH: Final = -(-_KERNEL // _STRIDE) * _STRIDE
"""Pixels of a row that a kernel reaches over once it takes them in fours."""

_FOLDED: Final = _STRIDE * _COLOURS

_BEGINNING: Final = ("QUANTIZE", "CONV_2D")
_INT32: Final = 2


def with_folded_stem(content: bytes) -> bytes:
    """Lets every subgraph of a finished file begin with pixels in fours.

    Args:
        content: an int8 file of `architecture.build`, of one input size or several.

    Returns:
        The file with the same inputs, outputs and answers.

    Raises:
        ModelError: the file begins otherwise, perhaps because this has been done to it before.
    """
    model = unpacked(content)
    for graph in model.subgraphs:
        _check(model, graph)
    first = model.subgraphs[0]
    kernel = first.tensors[first.operators[1].inputs[1]]
    wider = folded(values_of(model, kernel, np.int8))
    model.buffers[kernel.buffer].data = np.frombuffer(wider.tobytes(), np.uint8)
    for graph in model.subgraphs:
        graph.tensors[graph.operators[1].inputs[1]].shape = np.array(wider.shape, np.int32)
        _fold(model, graph)
    return packed(model)


def folded(kernel: NDArray[Any]) -> NDArray[Any]:
    """The kernel over pixels in fours that does what one over pixels does.

    Args:
        kernel: shape (n, 6, 6, 3).

    Returns:
        Shape (n, 6, 2, 12).
    """
    reaching = np.zeros((len(kernel), _KERNEL, _REACH, _COLOURS), kernel.dtype)
    reaching[:, :, :_KERNEL] = kernel
    return reaching.reshape(len(kernel), _KERNEL, -1, _FOLDED)


def unfolded(kernel: NDArray[Any]) -> NDArray[Any]:
    """What `folded` was made from; a kernel that is not folded is returned as it is.

    Raises:
        ModelError: it is neither.
    """
    if kernel.shape[1:] == (_KERNEL, _KERNEL, _COLOURS):
        return kernel
    if kernel.shape[1:] != (_KERNEL, _REACH // _STRIDE, _FOLDED):
        raise ModelError(f"expected a first kernel of {_KERNEL} x {_KERNEL} x {_COLOURS}, got {kernel.shape[1:]}")
    return kernel.reshape(len(kernel), _KERNEL, _REACH, _COLOURS)[:, :, :_KERNEL]


def _check(model: Any, graph: Any) -> None:
    kinds = tuple(kind_of(model, operator) for operator in graph.operators[:2])
    if kinds != _BEGINNING:
        raise ModelError(f"expected a file that begins with {' and '.join(_BEGINNING)}, got {' and '.join(kinds)}")
    convolution = graph.operators[1]
    shape = tuple(graph.tensors[convolution.inputs[1]].shape[1:])
    options = convolution.builtinOptions
    strides = (options.strideH, options.strideW)
    if shape != (_KERNEL, _KERNEL, _COLOURS) or strides != (_STRIDE, _STRIDE):
        raise ModelError(
            f"expected a first convolution of {_KERNEL} x {_KERNEL} x {_COLOURS} and stride {_STRIDE}, "
            f"got {' x '.join(map(str, shape))} and {' x '.join(map(str, strides))}"
        )
    # Another padding, or a size with a remainder, would begin elsewhere than at `_PAD` before the picture.
    _, height, width, _ = graph.tensors[convolution.inputs[0]].shape
    if options.padding != schema().Padding.SAME or height % _STRIDE or width % _STRIDE:
        raise ModelError(f"expected a first convolution that pads an input of multiples of {_STRIDE} itself")


def _fold(model: Any, graph: Any) -> None:
    """Puts padding and folding between the first two operations of a subgraph."""
    parts = schema()
    quantise, convolution = graph.operators[:2]
    pixels = graph.tensors[quantise.outputs[0]]
    _, height, width, _ = (int(side) for side in pixels.shape)
    behind = _PAD + _REACH - _KERNEL
    high, wide = height + 2 * _PAD, width + _PAD + behind

    def activation(*shape: int) -> int:
        tensor = copy.copy(pixels)
        tensor.shape, tensor.shapeSignature, tensor.name = np.array(shape, np.int32), None, b""
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    def constant(values: list[Any]) -> int:
        tensor = parts.TensorT()
        tensor.type, tensor.name = _INT32, b""
        tensor.shape = np.array(np.shape(values), np.int32)
        tensor.buffer = add_buffer(model, np.array(values, np.int32))
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    def operator(kind: str, version: int, inputs: list[int], output: int) -> Any:
        made = parts.OperatorT()
        made.opcodeIndex = operator_code(model, kind, version)
        made.inputs, made.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        return made

    # Padded as one long row of bytes: pads of three bytes, a pixel's, would take as long as the convolution did.
    rows = activation(1, 1, height, width * _COLOURS)
    padded = activation(1, 1, high, wide * _COLOURS)
    fours = activation(1, high, wide // _STRIDE, _FOLDED)
    pads = [[0, 0], [0, 0], [_PAD, _PAD], [_PAD * _COLOURS, behind * _COLOURS]]
    pad = operator("PAD", 2, [rows, constant(pads)], padded)
    pad.builtinOptionsType, pad.builtinOptions = parts.BuiltinOptions.PadOptions, parts.PadOptionsT()

    convolution.inputs = np.array([fours, *convolution.inputs[1:]], np.int32)
    convolution.builtinOptions.padding = parts.Padding.VALID
    convolution.builtinOptions.strideW = 1
    graph.operators = [
        quantise,
        operator("RESHAPE", 1, [quantise.outputs[0], constant([1, 1, height, width * _COLOURS])], rows),
        pad,
        operator("RESHAPE", 1, [padded, constant([1, high, wide // _STRIDE, _FOLDED])], fours),
        convolution,
        *graph.operators[2:],
    ]
