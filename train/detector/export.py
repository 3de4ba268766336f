"""From averaged weights to the int8 file and its card."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge.errors import ModelError
from edge.vision.face_detector import Letterbox
from train.architectures import SYMMETRIC
from train.detector.architecture import STRIDES, build
from train.detector.data import read_photos
from train.detector.float_detector import BACKGROUND, ENLARGE, LEVELS, decoding
from train.detector.input_sizes import input_size, signature_name, sizes_of
from train.files import write_outputs
from train.flatbuffer import unpacked
from train.safety import check_file
from train.weights import load_weights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.vision.decoding import Support
    from train.detector.calibrate import Line
    from train.detector.data import Photo

MAX_BYTES: Final = 1_500_000

SUREST: Final = 6.0
"""Logits are cut off at plus and minus this: scores from 0.002 to 0.998, in logit steps of 0.05."""

_PHOTO_WIDTH: Final = 320
"""Pixels: an input that has several times that width is calibrated on as many photos side by side, too."""

_SHOWN_PHOTOS: Final = 128
_BATCH: Final = 8

_LICENCE: Final = (
    "Apache-2.0. Trained on pictures from public repositories and packages, most of which state no clear licence "
    "(docs/detector.md lists them); no picture is in this file or in this repository."
)


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the card says of a file's name and version, and of the training: data, seed, command, first weights."""

    name: str
    version: str
    data: str
    seed: int
    command: str
    weights: str


def finished_network(weights: Path, size: tuple[int, int], line: Line) -> Any:
    """The network with a fixed input, scores of 0..1, and the calibration inside the score layer.

    Args:
        weights: averaged weights of a run.
        size: input (height, width) in pixels.
        line: see `train.detector.calibrate`.

    Returns:
        A ``keras.Model`` with the outputs in the order of `architecture.output_names`.
    """
    import keras

    network = build(size)
    load_weights(network, weights, "this network")
    kernel, bias = network.get_layer("score").get_weights()
    kernel, bias = kernel * line.scale, bias * line.scale + line.shift
    # Logits far below zero would take nearly all of the 256 steps: what is sure either way is cut off where the
    # converter can do it inside the convolution, and spread again.
    network.get_layer("score").set_weights([kernel * 3 / SUREST, (bias + SUREST) * 3 / SUREST])
    spread = keras.layers.Conv2D(1, 1, name="spread")
    count, scores = len(STRIDES), []
    for stride, logits in zip(STRIDES, network.outputs, strict=False):
        cut = spread(keras.layers.ReLU(6.0, name=f"cut_{stride}")(logits))
        scores.append(keras.layers.Activation("sigmoid", name=f"chance_{stride}")(cut))
    spread.set_weights([np.full((1, 1, 1, 1), SUREST / 3, np.float32), np.full(1, -SUREST, np.float32)])
    return keras.Model(network.input, [*scores, *network.outputs[count:]])


def quantise(network: Any, pictures: list[NDArray[np.uint8]]) -> bytes:
    """Full-integer quantisation after training, with the one size of input that the network has.

    Args:
        network: from `finished_network`.
        pictures: RGB of the input's size, what activations are calibrated on. One black and one white picture are
            added, so that the input's range is -1..1 exactly and raw bytes mean what they should.

    Returns:
        The .tflite file.
    """
    import tensorflow as tf

    height, width = network.input.shape[1:3]
    extremes = [np.full((height, width, 3), value, np.uint8) for value in (0, 255)]

    def representative() -> Any:
        for picture in [*extremes, *pictures]:
            yield [picture[None].astype(np.float32) / np.float32(127.5) - 1]

    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    # Outputs stay as the network has them: to make them uint8 would take six operations, and tell nobody anything.
    converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.int8
    # Keras tells of its intermediate file on stdout, which belongs to our results.
    with contextlib.redirect_stdout(sys.stderr):
        content: bytes = converter.convert()
    return content


def calibration_pictures(photos: list[Photo], size: tuple[int, int], count: int, seed: int) -> list[NDArray[np.uint8]]:
    """Training photos as the finished detector sees them in its first size, by which all are calibrated.

    Few photos fill a large input, and the ranges of activations would be those of its grey border: there every other
    picture is a group of photos side by side.

    Args:
        photos: to draw from.
        size: input (height, width) in pixels.
        count: how many.
        seed: of the draw.
    """
    drawn = (photos[int(index)] for index in np.random.default_rng(seed).permutation(len(photos)))
    most = max(1, size[1] // _PHOTO_WIDTH)
    count = min(count, len(photos) // most**2)
    return [_side_by_side(drawn, size, most if number % 2 else 1) for number in range(count)]


def _side_by_side(photos: Iterator[Photo], size: tuple[int, int], across: int) -> NDArray[np.uint8]:
    """So many photos in each direction, filling a size (height, width) that they may not divide evenly."""
    lines, columns = (np.linspace(0, side, across + 1).astype(int) for side in size)
    rows = []
    for height in np.diff(lines):
        boxes = [Letterbox([(int(width), int(height))], BACKGROUND, ENLARGE, LEVELS) for width in np.diff(columns)]
        rows.append(np.hstack([box(next(photos).pixels())[0] for box in boxes]))
    return np.vstack(rows)


def training_batches(data: Path, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Batches of eight training photos as the finished detector sees them, RGB, always the same.

    Args:
        data: the folder of MANIFEST.csv.
        size: (height, width) in pixels at which the photos are shown.
    """
    pictures = calibration_pictures(read_photos(data, "train"), size, _SHOWN_PHOTOS, seed=1)
    for at in range(0, len(pictures), _BATCH):
        yield np.stack(pictures[at : at + _BATCH])


def checked_outputs(content: bytes, size: tuple[int, int]) -> list[str]:
    """Holds a file against what the daemon relies on, in every size of input that it has.

    Args:
        content: the .tflite file.
        size: its first input's (height, width) in pixels.

    Returns:
        Names of the output tensors in the order of `architecture.output_names`, the same in every size.

    Raises:
        ModelError: too large, another input, an operation that crashes a runtime, or other outputs.
    """
    if len(content) > MAX_BYTES:
        raise ModelError(f"the file has {len(content)} bytes, more than {MAX_BYTES}")
    check_file(content, SYMMETRIC)
    model = unpacked(content)
    first, *further = model.subgraphs
    shape = tuple(first.tensors[first.inputs[0]].shape)
    if shape != (1, *size, 3):
        raise ModelError(f"expected an input of {(1, *size, 3)}, got {shape}")
    names = _output_names(first, size, {index: first.tensors[index].name for index in first.outputs})
    signatures = {(each.subgraphIndex, each.signatureKey.decode()): each for each in model.signatureDefs or ()}
    for index, graph in enumerate(further, start=1):
        other = input_size(graph)
        signature = signatures.get((index, signature_name(other)))
        if signature is None:
            raise ModelError(f"subgraph {index} of the file has no signature {signature_name(other)}")
        if _output_names(graph, other, {each.tensorIndex: each.name for each in signature.outputs}) != names:
            raise ModelError(f"the outputs of {signature_name(other)} have other names than those of the first size")
    return names


def _output_names(graph: Any, size: tuple[int, int], names_at: dict[int, bytes]) -> list[str]:
    """Names, by the index of a tensor, of a subgraph's outputs in the order of `architecture.output_names`."""
    by_shape = {tuple(graph.tensors[index].shape): names_at.get(index, b"").decode() for index in graph.outputs}
    names = []
    for channels in (1, 4):
        for stride in STRIDES:
            expected = (1, size[0] // stride, size[1] // stride, channels)
            if expected not in by_shape:
                raise ModelError(f"expected an output of {expected}, got {sorted(by_shape)}")
            names.append(by_shape[expected])
    return names


def card(
    content: bytes, size: tuple[int, int], provenance: Provenance, line: Line, support: Support | None = None
) -> dict[str, Any]:
    """The card, without figures, of a file that `checked_outputs` has passed, with what the daemon needs to decode it.

    The calibration is there for `train.detector.thaw`, which takes it out of the scores again.
    """
    decoded = decoding(checked_outputs(content, size)).model_copy(update={"support": support})
    training = {key: text for key, text in asdict(provenance).items() if key not in ("name", "version")}
    return {
        "name": provenance.name,
        "task": "face-detector",
        "version": provenance.version,
        "sha256": hashlib.sha256(content).hexdigest(),
        "input": {
            "width": size[1],
            "height": size[0],
            "channels": "RGB",
            "dtype": "uint8",
            "scale": SYMMETRIC.scale,
            "zero_point": SYMMETRIC.zero_point,
            "further": [{"width": width, "height": height} for height, width in sizes_of(content)[1:]],
        },
        "labels": ["face"],
        "decoding": decoded.model_dump(mode="json"),
        "metrics": {},
        "training": {**training, "calibration": asdict(line)},
        "licence": _LICENCE,
        "created": dt.datetime.now(dt.UTC).date().isoformat(),
    }


def write(content: bytes, text: dict[str, Any], path: Path) -> None:
    """Writes the file and its card side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_outputs({path: content, path.with_suffix(".json"): json.dumps(text, indent=2) + "\n"})
