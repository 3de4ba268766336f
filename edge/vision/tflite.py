"""The one place that touches the inference runtime. Which one, and why: docs/decisions/0001-runtime.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError, UnavailableError
from edge.vision.cards import ModelCard

_RUNTIMES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
)
_SCALE_TOLERANCE = 1e-6


def _load_runtime() -> tuple[Any, str]:
    """The interpreter class and the runtime's name with its version; LiteRT first if both are installed."""
    for module, distribution in _RUNTIMES:
        try:
            return import_module(module).Interpreter, f"{distribution} {version(distribution)}"
        except ModuleNotFoundError:
            continue
    raise UnavailableError(
        "no TFLite runtime is installed: pip install ai-edge-litert (or tflite-runtime on Python 3.11)"
    )


def runtime_name() -> str:
    """For example `ai-edge-litert 2.1.6`."""
    return _load_runtime()[1]


class Outputs(Mapping[str, NDArray[np.float32]]):
    """Output tensors by name, without the batch dimension, each dequantised when it is asked for.

    Args:
        raw: by name, the bytes with their scale and zero point; a scale of 0 means that they are real values already.
    """

    def __init__(self, raw: Mapping[str, tuple[NDArray[Any], float, int]]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        values, scale, zero_point = self._raw[name]
        real = values.astype(np.float32)
        if scale:
            real -= np.float32(zero_point)
            real *= np.float32(scale)
        return real

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)


class TfliteModel:
    """An int8 model that takes one picture of raw RGB bytes.

    Args:
        path: the .tflite file.
        card: its card; size, type, scale and zero point of the input are held against it.
        threads: of the runtime. One is right for a small network on a busy board.

    Raises:
        ModelError: the runtime refuses the file, or its input is not what the card says.
    """

    def __init__(self, path: Path, card: ModelCard, threads: int = 1) -> None:
        interpreter_class, _ = _load_runtime()
        try:
            self._interpreter = interpreter_class(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{path} cannot be loaded: {str(error).splitlines()[0]}") from error
        self.card = card
        self._input = self._checked_input(path, card)
        self._outputs = [
            (details["name"], details["index"], *details["quantization"])
            for details in self._interpreter.get_output_details()
        ]

    def _checked_input(self, path: Path, card: ModelCard) -> int:
        details = self._interpreter.get_input_details()[0]
        scale, zero_point = details["quantization"]
        expected = (1, card.input.height, card.input.width, 3)
        shape, dtype = tuple(details["shape"]), details["dtype"]
        if shape != expected or dtype is not np.uint8:
            raise ModelError(f"{path}: input is {dtype.__name__} {shape}, its card says uint8 {expected}")
        if abs(scale - card.input.scale) > _SCALE_TOLERANCE or zero_point != card.input.zero_point:
            raise ModelError(
                f"{path}: input scale {scale:.7f}, zero point {zero_point}; "
                f"its card says {card.input.scale:.7f}, {card.input.zero_point}: pixels would be misread"
            )
        return int(details["index"])

    def invoke(self, pixels: NDArray[np.uint8]) -> Outputs:
        """Runs the network once.

        Args:
            pixels: RGB, shape (height, width, 3) of the card.
        """
        # Copied, and not written into the runtime's own memory at once: nobody may hold a reference to that while it
        # runs, and a profiler that looks at frames does. Dask has one.
        self._interpreter.set_tensor(self._input, pixels[np.newaxis])
        self._interpreter.invoke()
        get = self._interpreter.get_tensor
        return Outputs({name: (get(index)[0], scale, zero) for name, index, scale, zero in self._outputs})
