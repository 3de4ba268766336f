"""The one place that touches the inference runtime. Which one, and why: docs/decisions/0001-runtime.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError, UnavailableError
from edge.vision.cards import ModelCard, ModelInput

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


@dataclass(frozen=True, slots=True)
class _Signature:
    """One of several input sizes: what it is called, its runner, its input's name, scale and zero point by output."""

    name: str
    runner: Any
    input: str
    outputs: Mapping[str, tuple[float, int]]

    def invoke(self, pixels: NDArray[np.uint8]) -> Outputs:
        """Runs it.

        Raises:
            ModelError: the runtime cannot; that is seen only when a size is first used, and its memory taken.
        """
        try:
            found = self.runner(**{self.input: pixels[np.newaxis]})
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{self.name} cannot be run: {str(error).splitlines()[0]}") from error
        return Outputs({name: (found[name][0], *quantization) for name, quantization in self.outputs.items()})


def _check_input(details: Mapping[str, Any], promised: ModelInput, size: tuple[int, int], path: Path) -> None:
    """Holds what the runtime says of an input against the card and one of its (width, height)."""
    scale, zero_point = details["quantization"]
    expected = (1, size[1], size[0], 3)
    shape, dtype = tuple(int(side) for side in details["shape"]), details["dtype"]
    if shape != expected or dtype is not np.uint8:
        raise ModelError(f"{path}: input is {dtype.__name__} {shape}, its card says uint8 {expected}")
    if abs(scale - promised.scale) > _SCALE_TOLERANCE or zero_point != promised.zero_point:
        raise ModelError(
            f"{path}: input scale {scale:.7f}, zero point {zero_point}; "
            f"its card says {promised.scale:.7f}, {promised.zero_point}: pixels would be misread"
        )


class TfliteModel:
    """An int8 model that takes one picture of raw RGB bytes.

    Its memory for a further size (`ModelInput.further`) is taken when the first picture of that size comes.

    Args:
        path: the .tflite file.
        card: its card; sizes, type, scale and zero point of the input are held against it.
        threads: of the runtime. One is right for a small network on a busy board.

    Raises:
        ModelError: the runtime refuses the file, or an input is not what the card says.
    """

    def __init__(self, path: Path, card: ModelCard, threads: int = 1) -> None:
        interpreter_class, _ = _load_runtime()
        try:
            self._interpreter = interpreter_class(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{path} cannot be loaded: {str(error).splitlines()[0]}") from error
        self.card = card
        details = self._interpreter.get_input_details()[0]
        _check_input(details, card.input, card.input.sizes[0], path)
        self._input = int(details["index"])
        self._outputs = [
            (details["name"], details["index"], *details["quantization"])
            for details in self._interpreter.get_output_details()
        ]
        # With further sizes the first goes through its signature, too: a runner keeps a reference to the interpreter's
        # inner object, after which `invoke` of the interpreter itself refuses to run. Made after `allocate_tensors`,
        # which gives XNNPACK every subgraph and refuses likewise.
        sizes = card.input.sizes if card.input.further else ()
        self._signatures = {size[::-1]: self._signature(size, path) for size in sizes}

    def _signature(self, size: tuple[int, int], path: Path) -> _Signature:
        """The part of the file for a (width, height)."""
        key = f"{size[0]}x{size[1]}"
        present = self._interpreter.get_signature_list()
        if key not in present:
            raise ModelError(
                f"{path} has no signature {key}, an input size of its card; it has {', '.join(present) or 'none'}: "
                "copy the model and its card again, both of the same release"
            )
        runner = self._interpreter.get_signature_runner(key)
        inputs = runner.get_input_details()
        outputs = {output: details["quantization"] for output, details in runner.get_output_details().items()}
        if len(inputs) != 1 or outputs.keys() != {name for name, *_ in self._outputs}:
            raise ModelError(f"{path}: inputs and outputs of {key} are not those of its first size")
        ((name, details),) = inputs.items()
        _check_input(details, self.card.input, size, path)
        return _Signature(f"{path}, input {key},", runner, name, outputs)

    def invoke(self, pixels: NDArray[np.uint8]) -> Outputs:
        """Runs the network once.

        Args:
            pixels: RGB, shape (height, width, 3), of one of the card's sizes.

        Returns:
            Outputs by name, the same names whatever the size.

        Raises:
            ModelError: see `_Signature.invoke`.
        """
        if self._signatures:
            return self._signatures[pixels.shape[:2]].invoke(pixels)
        # Copied, and not written into the runtime's own memory at once: nobody may hold a reference to that while it
        # runs, and a profiler that looks at frames does. Dask has one.
        self._interpreter.set_tensor(self._input, pixels[np.newaxis])
        self._interpreter.invoke()
        get = self._interpreter.get_tensor
        return Outputs({name: (get(index)[0], scale, zero) for name, index, scale, zero in self._outputs})
