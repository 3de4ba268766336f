"""One int8 file for pictures of several shapes: the same weights behind inputs of other widths and heights.

The network is fully convolutional. What ties a file to one size of input is the shape of every activation and two
constants, the sizes to which the pyramid enlarges. So the converted file gets a copy of its subgraph for each further
size, in which these are other numbers. Weights, scales and zero points are shared, not copied (less than 20 kB a
size), and nothing is calibrated anew. See docs/decisions/0015-input-sizes.md.

Sizes are (height, width) in pixels, as everywhere in `train.detector`; only signatures are named WIDTHxHEIGHT.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge.errors import ModelError
from edge.vision.face_detector import fittest
from train.detector.architecture import STRIDES
from train.flatbuffer import add_buffer, kind_of, packed, schema, unpacked

if TYPE_CHECKING:
    from numpy.typing import NDArray

Size = tuple[int, int]

ASPECTS: Final = ((16, 9), (3, 2), (4, 3), (1, 1), (3, 4), (2, 3), (9, 16))
"""Width to height of the pictures that there should be an input for: video, still cameras, telephones held upright."""

_MOST_AREA: Final = 1.04
"""Of the first size's area: a further size must not take longer."""

_INPUT_NAME: Final = b"pixels"

_OPERATIONS: Final = ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MUL", "LOGISTIC", "QUANTIZE", "RESIZE_BILINEAR")
"""Those known to depend on the size in nothing but the shapes of what goes in and out, and the last in a constant."""

_RESIZE: Final = "RESIZE_BILINEAR"


def further_sizes(size: Size) -> tuple[Size, ...]:
    """The sizes of input that go with a first one.

    For each of `ASPECTS` that size, in multiples of the largest stride and of about the same area at most, that shows
    such a picture largest; of several that show it alike the smallest.

    Args:
        size: the first one.

    Returns:
        Without the first one, in the order of `ASPECTS`, each once.
    """
    step = STRIDES[-1]
    most = int(_MOST_AREA * size[0] * size[1])
    candidates = [
        (height, width)
        for height in range(step, most // step + 1, step)
        for width in range(step, most // height + 1, step)
    ]
    best = [fittest({each: min(each[1] / wide, each[0] / high) for each in candidates}) for wide, high in ASPECTS]
    return tuple(each for each in dict.fromkeys(best) if each != size)


def with_further_sizes(content: bytes, sizes: tuple[Size, ...]) -> bytes:
    """Adds input sizes to a converted file.

    Args:
        content: a .tflite file of one subgraph.
        sizes: to be added, multiples of the largest stride.

    Returns:
        A file whose first subgraph is that of `content`. Each subgraph, the first included, has a signature named
        WIDTHxHEIGHT, in which outputs go by the names that the tensors have in the first.

    Raises:
        ModelError: the file has several subgraphs already, or holds an operation of which it is not known whether it
            depends on the size.
    """
    model = unpacked(content)
    if len(model.subgraphs) != 1:
        raise ModelError(f"expected a file of one subgraph, got {len(model.subgraphs)}")
    first = model.subgraphs[0]
    kinds = [kind_of(model, operator) for operator in first.operators]
    unknown = sorted(set(kinds) - set(_OPERATIONS))
    if unknown:
        raise ModelError(f"the file holds a {unknown[0]}, which may depend on the size of the input")
    model.subgraphs += [_resized(model, kinds, size) for size in sizes]
    model.signatureDefs = [_signature(graph, index) for index, graph in enumerate(model.subgraphs)]
    return packed(model)


def sizes_of(content: bytes) -> tuple[Size, ...]:
    """The input size of each subgraph of a file, the first one's first."""
    return tuple(input_size(graph) for graph in unpacked(content).subgraphs)


def input_size(graph: Any) -> Size:
    """Height and width of the input of a subgraph."""
    _, height, width, _ = graph.tensors[graph.inputs[0]].shape
    return int(height), int(width)


def signature_name(size: Size) -> str:
    """What the signature of a size is named, for example 384x288."""
    return f"{size[1]}x{size[0]}"


def _resized(model: Any, kinds: list[str], size: Size) -> Any:
    """A copy of the first subgraph with an input of another size; `model` gets the constants for it."""
    first = model.subgraphs[0]
    base = input_size(first)
    graph = copy.copy(first)
    graph.name = signature_name(size).encode()
    graph.tensors = [copy.copy(tensor) for tensor in first.tensors]
    named = {int(index) for index in (*graph.inputs, *graph.outputs)}
    computed = {int(index) for operator in graph.operators for index in operator.outputs} | named
    for index in computed:
        tensor = graph.tensors[index]
        tensor.shape = _scaled(tensor.shape, base, size)
        tensor.shapeSignature = None
    for kind, operator in zip(kinds, graph.operators, strict=True):
        if kind == _RESIZE:
            target = graph.tensors[operator.inputs[1]]
            rows, columns = np.frombuffer(bytes(model.buffers[target.buffer].data), np.int32)
            _, *wanted, _ = _scaled([1, rows, columns, 1], base, size)
            target.buffer = add_buffer(model, np.array(wanted, np.int32))
    for index, tensor in enumerate(graph.tensors):
        if index not in named:
            tensor.name = b""  # half of what a copy would take, and the first subgraph has it
    return graph


def _scaled(shape: Any, base: Size, size: Size) -> NDArray[np.int32]:
    """The shape of an activation (1, rows, columns, channels) behind an input of another size."""
    _, rows, columns, channels = (int(side) for side in shape)
    if rows * size[0] % base[0] or columns * size[1] % base[1]:
        raise ModelError(
            f"expected sizes in multiples of {STRIDES[-1]}, got {signature_name(size)} beside {signature_name(base)}"
        )
    return np.array([1, rows * size[0] // base[0], columns * size[1] // base[1], channels], np.int32)


def _signature(graph: Any, index: int) -> Any:
    parts = schema()

    def mapped(name: bytes, tensor: int) -> Any:
        entry = parts.TensorMapT()
        entry.name, entry.tensorIndex = name, int(tensor)
        return entry

    signature = parts.SignatureDefT()
    signature.signatureKey = signature_name(input_size(graph)).encode()
    signature.subgraphIndex = index
    signature.inputs = [mapped(_INPUT_NAME, graph.inputs[0])]
    signature.outputs = [mapped(graph.tensors[at].name, at) for at in graph.outputs]
    return signature
