"""The bundled face detector: one int8 network that finds masked and bare faces alike.

The network (train/detector) gives, for every place of three grids over its input, a score and a box relative to that
place. Which tensor is which, the strides and the limits below are in the model's card. Its input may have several
sizes; each picture is shown in the one that it fills best (docs/decisions/0015-input-sizes.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import ModelError
from edge.vision.cards import ModelCard, load_card
from edge.vision.detector import Detection
from edge.vision.geometry import Box, Image, resized
from edge.vision.levels import Levels
from edge.vision.tflite import TfliteModel


class Grid(BaseModel):
    """One level of the network's answer: pixels of the input a place stands for, and the names of its two tensors.

    `score` has shape (h, w, 1), 0 to 1. `box` has shape (h, w, 4): the middle of the face relative to the middle of the
    place (x, y), and the logarithms of its width and height, all in strides.
    """

    model_config = ConfigDict(frozen=True)

    stride: int = Field(gt=0)
    score: str
    box: str


class Decoding(BaseModel):
    """What a card of task face-detector says under `decoding`.

    Attributes:
        grids: the levels.
        overlap: of two boxes that share more than this (intersection over union) only the better one is kept.
        candidates: at most so many places are looked at, best first; bounds the time that a hostile picture takes.
        background: grey value of what the picture does not cover of the input.
        enlarge: a picture smaller than the input is enlarged by at most this factor.
        growth: what width and height of every box are multiplied with, about its middle.
        levels: what is done to pictures of little contrast or light; None for nothing.
    """

    model_config = ConfigDict(frozen=True)

    grids: tuple[Grid, ...] = Field(min_length=1)
    overlap: float = Field(gt=0, le=1)
    candidates: int = Field(gt=0)
    background: int = Field(ge=0, le=255)
    enlarge: float = Field(ge=1)
    growth: float = Field(default=1.0, gt=0)
    levels: Levels | None = None


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
        """The (width, height) that shows a picture largest; of several, the one named first."""
        height, width = image.shape[:2]
        return max(self._sizes, key=lambda size: self._scale(size, (width, height)))

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
        try:
            boxes, scores = decode(self._network.invoke(pixels), self._decoding, self._min_score)
        except KeyError as error:
            raise ModelError(f"{self.model.identity} has no output named {error}, which its card speaks of") from error
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


def decode(
    outputs: Mapping[str, NDArray[np.float32]], decoding: Decoding, min_score: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Turns the network's tensors into boxes.

    Only places that reach `min_score` are decoded: of about two thousand these are a handful.

    Args:
        outputs: by name; shapes as `Grid` says.
        decoding: from the card.
        min_score: 0 to 1.

    Returns:
        Boxes (n, 4) as left, top, width, height in pixels of the input, overlapping ones removed, and their scores
        (n,), best first.

    Raises:
        KeyError: an output that the card names is missing.
    """
    boxes, scores = [], []
    for grid in decoding.grids:
        score = outputs[grid.score]
        rows, columns = score.shape[:2]
        flat = score.reshape(-1)
        at = np.flatnonzero(flat >= min_score)
        if not len(at):
            continue
        raw = outputs[grid.box].reshape(rows * columns, 4)[at]
        extent = np.exp(raw[:, 2:]) * (grid.stride * decoding.growth)
        middle = (_middles(rows, columns)[at] + raw[:, :2]) * grid.stride
        boxes.append(np.concatenate([middle - extent / 2, extent], axis=1))
        scores.append(flat[at])
    if not boxes:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    all_boxes, all_scores = np.concatenate(boxes).astype(np.float32), np.concatenate(scores)
    order = np.argsort(-all_scores, kind="stable")[: decoding.candidates]
    all_boxes, all_scores = all_boxes[order], all_scores[order]
    # Every candidate has passed min_score; comparing float32 with float64 once more could only lose one at the
    # threshold.
    kept = np.asarray(cv2.dnn.NMSBoxes(_rows(all_boxes), _rows(all_scores), 0.0, decoding.overlap), np.intp).reshape(-1)
    return all_boxes[kept], all_scores[kept]


def detections(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], ratio: tuple[float, float], size: tuple[int, int]
) -> list[Detection]:
    """Brings boxes from the input to the picture.

    Args:
        boxes: (n, 4), left, top, width, height in pixels of the input.
        scores: (n,).
        ratio: pixels of the picture for one of the input, in x and in y.
        size: width and height of the picture.

    Returns:
        In the same order; boxes that lie outside of the picture are left out.
    """
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1) * (*ratio, *ratio)
    corners = np.rint(np.minimum(np.maximum(corners, 0), (*size, *size)))
    return [
        Detection(Box(left, top, right - left, bottom - top), min(1.0, score))
        for (left, top, right, bottom), score in zip(corners.astype(int).tolist(), scores.tolist(), strict=True)
        if right > left and bottom > top
    ]


@lru_cache(maxsize=16)
def _middles(rows: int, columns: int) -> NDArray[np.float64]:
    """Middle (x, y) of each place of a grid in strides, row by row; shape (rows * columns, 2)."""
    y, x = np.divmod(np.arange(rows * columns), columns)
    return np.stack([x, y], axis=1) + 0.5


def _rows(array: NDArray[Any]) -> Any:
    """OpenCV's type stubs want sequences; it takes arrays, and faster."""
    return array
