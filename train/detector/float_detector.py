"""The network as trained, behind the same letterbox and decoding as the finished file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge.vision.decoding import Decoding, Grid, decode, detections
from edge.vision.face_detector import Letterbox
from edge.vision.levels import Levels
from train.detector.architecture import STRIDES, output_names
from train.detector.input_sizes import further_sizes

if TYPE_CHECKING:
    from edge.vision.decoding import Support
    from edge.vision.detector import Detection
    from edge.vision.geometry import Image

OVERLAP: Final = 0.45
CANDIDATES: Final = 1000
BACKGROUND: Final = 114
ENLARGE: Final = 1.0

GROWTH: Final = 1.05
"""What width and height of a box are multiplied with.

Boxes as the network learns them, by our rule, are a little smaller than the middle between the published ones: two or
three percent on each side bring many that share just under half with a published box over it (docs/detector.md).
"""

LEVELS: Final = Levels(contrast=175, dark=65)
"""Chosen on `val` as haze and darkness show it (docs/detector.md): faces in them are found again, and clear pictures
hardly change."""


def decoding(names: list[str] | None = None) -> Decoding:
    """How outputs are decoded.

    Args:
        names: of the six tensors in the order of `architecture.output_names`; None takes those.
    """
    names = names or output_names()
    count = len(STRIDES)
    grids = tuple(Grid(stride=stride, score=names[i], box=names[count + i]) for i, stride in enumerate(STRIDES))
    return Decoding(
        grids=grids,
        overlap=OVERLAP,
        candidates=CANDIDATES,
        background=BACKGROUND,
        enlarge=ENLARGE,
        growth=GROWTH,
        levels=LEVELS,
    )


class FloatDetector:
    """A Keras network that answers like the finished detector.

    Args:
        model: from `architecture.build`, for inputs of any size.
        size: first input (height, width) in pixels; others go with it (`input_sizes.further_sizes`).
        min_score: 0 to 1.
        scale: what logits are multiplied with, and
        shift: what is then added (see `train.detector.calibrate`).
        support: how places that agree make a score; None for the best one's.
    """

    def __init__(
        self,
        model: Any,
        size: tuple[int, int],
        min_score: float,
        scale: float = 1.0,
        shift: float = 0.0,
        support: Support | None = None,
    ) -> None:
        import tensorflow as tf

        self._decoding = decoding().model_copy(update={"support": support})
        sizes = [(width, height) for height, width in (size, *further_sizes(size))]
        self._letterbox = Letterbox(sizes, BACKGROUND, ENLARGE, LEVELS)
        self._min_score, self._scale, self._shift = min_score, scale, shift

        def run(pixels: Any) -> Any:
            return model(tf.cast(pixels, tf.float32) / 127.5 - 1, training=False)

        # One graph a size: Keras enlarges only what has one.
        self._graphs = {size: tf.function(run) for size in sizes}

    def detect(self, image: Image) -> list[Detection]:
        """Faces of at least `min_score`, best first."""
        pixels, ratio = self._letterbox(image)
        tensors = [np.asarray(tensor)[0] for tensor in self._graphs[pixels.shape[1::-1]](pixels[None])]
        count = len(STRIDES)
        for i in range(count):
            tensors[i] = 1 / (1 + np.exp(-(tensors[i] * self._scale + self._shift)))
        outputs = dict(zip(output_names(), tensors, strict=True))
        boxes, scores = decode(outputs, self._decoding, self._min_score)
        return detections(boxes, scores, ratio, (image.shape[1], image.shape[0]))
