"""From a shipped int8 file back to a network that can be trained: where the run folder of a file is gone.

What comes back is the same function up to the rounding of the kernels; see `train.kernels`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge.errors import ModelError
from train.detector.architecture import build
from train.detector.folded_stem import unfolded
from train.kernels import Convolution, read_kernels, unfold

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from train.detector.calibrate import Line

    Floats = NDArray[np.float32]

_PLAIN: Final = {(1, False): "score", (4, False): "box", (1, True): "spread"}
"""Convolutions without a normalisation, by their outputs and whether they have a single input."""

_FIRST: Final = "stem_patch_bn"
"""What the first convolution is known by, which finished files since version 7.1 hold folded."""

_SUFFIX: Final = re.compile(r"_(?:bn|BN)(?:_\d+)?$")


def thaw(model: Path, pictures: Iterable[NDArray[np.uint8]], line: Line) -> Any:
    """Rebuilds the network of a finished file.

    Args:
        model: the .tflite file that `maskgate-train detector export` wrote.
        pictures: RGB batches (n, height, width, 3) on which the statistics are measured.
        line: the calibration of the file's scores, which is taken out: training that goes on from logits three times
            as large as its loss wants them begins with disturbing everything.

    Returns:
        The `keras.Model` of `architecture.build`.

    Raises:
        ModelError: the file is not of this network.
    """
    folded, plain = read_kernels(model.read_bytes())
    kernels = folded | {_PLAIN.get((each.kernel.shape[3], each.kernel.shape[2] == 1), ""): each for each in plain}
    network = build()
    folds = [layer.name for layer in network.layers if layer.name.endswith(("_bn", "_BN")) or "_bn_" in layer.name]
    missing = sorted({*folds, "score", "box"} - kernels.keys())
    if missing:
        raise ModelError(f"{model} is not of this network: it has no {missing[0]}")
    foreign = sorted(folded.keys() - set(folds))
    if foreign:
        raise ModelError(f"{model} is not of this network, which has no {foreign[0]}")
    kernel, bias = kernels[_FIRST]
    kernels[_FIRST] = Convolution(np.moveaxis(unfolded(np.moveaxis(kernel, -1, 0)), 0, -1), bias)
    shared: dict[str, Floats] = {}
    ratios = {}
    for name in folds:
        kernel, _ = kernels[name]
        base = shared.setdefault(_SUFFIX.sub("", name), kernel)
        ratios[name] = _ratio(kernel, base)
    for name, kernel in shared.items():
        layer = network.get_layer(name)
        if layer.kernel.shape != kernel.shape:
            raise ModelError(f"{model} is not of this network: {name} is {kernel.shape}, expected {layer.kernel.shape}")
        layer.set_weights([kernel])
    kernel, bias = kernels["score"]
    if "spread" in kernels:
        wide, shift = kernels["spread"]
        kernel, bias = kernel * wide.item(), bias * wide.item() + shift
    network.get_layer("score").set_weights([kernel / line.scale, (bias - line.shift) / line.scale])
    network.get_layer("box").set_weights(list(kernels["box"]))
    unfold(network, {name: (ratios[name], kernels[name][1]) for name in folds}, pictures)
    return network


def _ratio(kernel: Floats, base: Floats) -> Floats:
    """For each output channel, what a kernel that levels share was multiplied with at this level."""
    axis = (0, 1, 3) if kernel.shape[3] == 1 else (0, 1, 2)
    own = (base * base).sum(axis=axis)
    return np.asarray((kernel * base).sum(axis=axis) / np.maximum(own, 1e-12), np.float32)
