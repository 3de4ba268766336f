"""From the tensors of the bundled face detector to boxes.

The network gives, for every place of three grids over its input, a score and a box relative to that place. A face is
seen by several places; of the boxes that they draw the best one stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edge.vision.detector import Detection
from edge.vision.geometry import Box
from edge.vision.levels import Levels


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
