"""The bundled face detector: one int8 network that finds masked and bare faces alike.

How its tensors are turned into boxes (`edge.vision.decoding`) is in the model's card. Its input may have several sizes;
each picture is shown in the one that it fills best (docs/decisions/0015-input-sizes.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edge.errors import ModelError
from edge.vision.cards import ModelCard, load_card
from edge.vision.decoding import Decoding, decode, detections
from edge.vision.detector import Detection
from edge.vision.geometry import Image, resized
from edge.vision.levels import Levels
from edge.vision.tflite import TfliteModel

_ALIKE = 0.99
"""Sizes of input that show a picture at this share of the best one's scale are as good: 400 x 267 pixels are 3:2."""


class Letterbox:
    """Brings pictures of any shape to the network's input without distortion: upper left, grey beside it.

    Args:
        sizes: (width, height) of each input that the network has, in pixels.
        background: grey value.
        enlarge: largest factor for small pictures.
        levels: what is done to pictures of little contrast or light.
    """

    def __init__(
        self, sizes: Sequence[tuple[int, int]], background: int, enlarge: float, levels: Levels | None = None
    ) -> None:
        self._sizes = tuple(sizes)
        self._background, self._enlarge, self._levels = background, enlarge, levels

    def __call__(self, image: Image) -> tuple[NDArray[np.uint8], tuple[float, float]]:
        """A picture as the network's input of `size_for`, in a new array; otherwise like `fit`."""
        width, height = self.size_for(image)
        pixels: NDArray[np.uint8] = np.empty((height, width, 3), np.uint8)
        return pixels, self.fit(image, pixels)

    def size_for(self, image: Image) -> tuple[int, int]:
        """The (width, height) that shows a picture largest; of several that show it alike, the smallest."""
        height, width = image.shape[:2]
        return fittest({size: self._scale(size, (width, height)) for size in self._sizes})

    def _scale(self, size: tuple[int, int], picture: tuple[int, int]) -> float:
        return min(size[0] / picture[0], size[1] / picture[1], self._enlarge)

    def fit(self, image: Image, pixels: NDArray[np.uint8]) -> tuple[float, float]:
        """Fits a picture into the network's input.

        Args:
            image: BGR, any size.
            pixels: of one of the sizes; all of it is written over with RGB.

        Returns:
            How many pixels of the picture one pixel of the input stands for, in x and in y (they differ by rounding
            only).
        """
        height, width = image.shape[:2]
        most_high, most_wide = pixels.shape[:2]
        scale = self._scale((most_wide, most_high), (width, height))
        size = (min(most_wide, max(1, round(width * scale))), min(most_high, max(1, round(height * scale))))
        pixels[size[1] :] = self._background
        pixels[: size[1], size[0] :] = self._background
        # Colours are swapped after the picture has become small.
        seen = pixels[: size[1], : size[0]]
        cv2.cvtColor(resized(image, size), cv2.COLOR_BGR2RGB, dst=seen)
        if self._levels is not None:
            self._levels.apply(seen)
        return width / size[0], height / size[1]


def fittest(scales: Mapping[tuple[int, int], float]) -> tuple[int, int]:
    """Of sizes of input, by the scale at which each shows a picture, the smallest of those that show it largest."""
    enough = max(scales.values()) * _ALIKE
    return min((size for size, scale in scales.items() if scale >= enough), key=math.prod)


class MaskAwareFaceDetector:
    """Finds masked and bare faces with a .tflite network and its card.

    Args:
        path: the .tflite file; its card lies beside it.
        min_score: 0 to 1; what is below is not reported.
        threads: of the runtime.

    Raises:
        ModelError: the file or its card is missing, damaged, or not of a face detector.
    """

    def __init__(self, path: Path, min_score: float, threads: int = 1) -> None:
        card = load_card(path)
        self.model = card.model_file(path)
        self._decoding = decoding_of(card)
        self._network = TfliteModel(path, card, threads)
        self._min_score = min_score
        self._pixels: dict[tuple[int, int], NDArray[np.uint8]] = {}  # by size, each made when it is first needed
        self._letterbox = letterbox_of(card)

    def detect(self, image: Image) -> list[Detection]:
        """Faces of at least `min_score`, best first; their boxes are clipped to the picture."""
        width, height = size = self._letterbox.size_for(image)
        pixels = self._pixels.get(size)
        if pixels is None:
            pixels = self._pixels[size] = np.empty((height, width, 3), np.uint8)
        ratio = self._letterbox.fit(image, pixels)
        outputs = self._network.invoke(pixels)
        try:
            boxes, scores = decode(outputs, self._decoding, self._min_score)
        except KeyError as error:
            raise ModelError(f"{self.model.identity} has no output named {error}, which its card speaks of") from error
        except ValueError as error:
            raise ModelError(
                f"{self.model.identity} has outputs of other shapes than its card says: {error}"
            ) from error
        return detections(boxes, scores, ratio, (image.shape[1], image.shape[0]))


def decoding_of(card: ModelCard) -> Decoding:
    """The part of the card that the decoding needs.

    Raises:
        ModelError: the card is of another task, or the part is missing or wrong.
    """
    if card.task != "face-detector":
        raise ModelError(f"{card.name} is a {card.task}, not a face-detector")
    try:
        return Decoding.model_validate((card.model_extra or {}).get("decoding", {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["decoding", *(str(part) for part in first["loc"])])
        raise ModelError(f"card of {card.name}: {where}: {first['msg']}") from error


def letterbox_of(card: ModelCard) -> Letterbox:
    """What pictures go through before they reach the network.

    Raises:
        ModelError: like `decoding_of`.
    """
    decoding = decoding_of(card)
    return Letterbox(card.input.sizes, decoding.background, decoding.enlarge, decoding.levels)
