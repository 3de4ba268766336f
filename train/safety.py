"""What an exported file must be like before it may leave the machine that made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.errors import ModelError
from train.architectures import Pixels
from train.flatbuffer import kind_of, unpacked

LARGEST_LOSS = 0.003
"""Balanced accuracy that int8 may lie away from float."""

_TOLERANCE = 1e-7


def check_file(content: bytes, pixels: Pixels) -> None:
    """Holds every subgraph of the flatbuffer against what crashes or misleads a runtime.

    Args:
        content: of the .tflite file.
        pixels: what the card will say of the input.

    Raises:
        ModelError: the input or an operation is not as it must be.
    """
    model = unpacked(content)
    for graph in model.subgraphs:
        _check_input(graph.tensors[graph.inputs[0]], pixels)
        _check_operators(model, graph)


def _check_operators(model: Any, graph: Any) -> None:
    for operator in graph.operators:
        if kind_of(model, operator) != "FULLY_CONNECTED":
            continue
        weights = graph.tensors[operator.inputs[1]]
        scales = (
            0 if weights.quantization is None or weights.quantization.scale is None else len(weights.quantization.scale)
        )
        if scales > 1:
            raise ModelError(
                f"the file holds a FULLY_CONNECTED with {scales} weight scales, "
                "which crashes tflite-runtime 2.14 on aarch64: "
                "end the network in a 1x1 convolution"
            )


def _check_input(tensor: Any, pixels: Pixels) -> None:
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None or len(quantization.scale) != 1:
        raise ModelError("the input of the file is not quantised: raw pixels would be misread")
    scale, zero_point = float(quantization.scale[0]), int(quantization.zeroPoint[0])
    if abs(scale - pixels.scale) > _TOLERANCE or zero_point != pixels.zero_point:
        raise ModelError(
            f"the input of the file has scale {scale:.8f} and zero point {zero_point}, not {pixels.scale:.8f} and "
            f"{pixels.zero_point}: the representative pictures do not reach from 0 to 255"
        )


def check_parity(float_accuracy: float, int8_accuracy: float) -> None:
    """Refuses an int8 file that is not the network it was made from.

    Raises:
        ModelError: the two balanced accuracies differ by more than `LARGEST_LOSS`, or one is not a number.
    """
    if not abs(float_accuracy - int8_accuracy) <= LARGEST_LOSS:
        raise ModelError(
            f"on val int8 has a balanced accuracy of {int8_accuracy:.4f} and float {float_accuracy:.4f}, "
            f"more than {LARGEST_LOSS:.3f} apart; "
            "try other representative pictures, or the mean of several runs (--average)"
        )


def write_if_safe(path: Path, content: bytes, pixels: Pixels) -> None:
    """Writes a file that passes `check_file`; nothing is left behind otherwise."""
    check_file(content, pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
