"""A .tflite file taken apart, changed, and put together again.

Parts go by the names of the format's schema: a model has subgraphs, a subgraph tensors and operators, and what a
constant tensor holds is in one of the model's buffers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


_LARGEST_OLD_CODE: Final = 127
"""Old files keep the number of an operation in a field that ends here, new ones in another."""


def schema() -> Any:
    """The code that reads and writes the format."""
    from tensorflow.lite.python import schema_py_generated

    return schema_py_generated


def unpacked(content: bytes) -> Any:
    """The `ModelT` of a file; its parts can be changed."""
    return schema().ModelT.InitFromPackedBuf(bytearray(content), 0)


def packed(model: Any) -> bytes:
    """The file of a `ModelT`, which is of no further use after it.

    Every subgraph must do the first one's operations, on tensors of the same indices: operators, scales and zero points
    are taken from the first and written once, which saves nine tenths of what copies would take.
    """
    import flatbuffers

    first = model.subgraphs[0]
    quantizations = [tensor.quantization and _Once(tensor.quantization) for tensor in first.tensors]
    operators = [_Once(operator) for operator in first.operators]
    for graph in model.subgraphs:
        graph.operators = operators
        for tensor, quantization in zip(graph.tensors, quantizations, strict=True):
            tensor.quantization = quantization
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _Once:
    """Part of a file that several others point to: it is written once."""

    def __init__(self, part: Any) -> None:
        self._part = part
        self._at: int | None = None

    def Pack(self, builder: Any) -> int:  # noqa: N802 - the name that generated code calls
        if self._at is None:
            self._at = self._part.Pack(builder)
        return self._at


def kind_of(model: Any, operator: Any) -> str:
    """Name of an operation, for example CONV_2D."""
    return _kinds()[_number(model.operatorCodes[operator.opcodeIndex])]


@lru_cache(maxsize=1)
def _kinds() -> dict[int, str]:
    return {number: name for name, number in vars(schema().BuiltinOperator).items()}


def operator_code(model: Any, kind: str, version: int) -> int:
    """Index of an operation among those of a model, which gets it if it has none of that kind yet.

    Args:
        model: a `ModelT`.
        kind: for example PAD.
        version: of the operation, the least that takes the types it is given: a runtime refuses those it does not know.
    """
    wanted = getattr(schema().BuiltinOperator, kind)
    for index, code in enumerate(model.operatorCodes):
        if _number(code) == wanted and code.version >= version:
            return index
    code = schema().OperatorCodeT()
    code.builtinCode = wanted
    code.deprecatedBuiltinCode = min(wanted, _LARGEST_OLD_CODE)
    code.version = version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _number(code: Any) -> int:
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def add_buffer(model: Any, values: NDArray[Any]) -> int:
    """Adds a constant's values to a model, and gives their index."""
    buffer = schema().BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def values_of(model: Any, tensor: Any, dtype: type[np.integer[Any]]) -> NDArray[Any]:
    """What a constant holds, in its shape."""
    return np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtype).reshape(tensor.shape)
