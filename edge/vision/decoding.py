"""From the tensors of the bundled face detector to boxes.

The network gives, for every place of three grids over its input, a score and a box relative to that place. A face is
seen by several places; of the boxes that they draw the best one stays, and how many agree with it bears on its score
(docs/decisions/0018-support.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edge.vision.detector import Detection
from edge.vision.geometry import Box, overlaps
from edge.vision.levels import Levels

_CERTAIN = 30.0
"""Logits beyond are as good as certain, and `exp` has room."""


class Grid(BaseModel):
    """One level of the network's answer: pixels of the input a place stands for, and the names of its two tensors.

    `score` has shape (h, w, 1), 0 to 1. `box` has shape (h, w, 4): the middle of the face relative to the middle of the
    place (x, y), and the logarithms of its width and height, all in strides.
    """

    model_config = ConfigDict(frozen=True)

    stride: int = Field(gt=0)
    score: str
    box: str


class Support(BaseModel):
    """How the places that see a face make its score together.

    A face is seen by several neighbouring places, a false alarm often by one, so the scores of all boxes that a box
    stands for say more than its own alone (OpenCV's cascades count such neighbours: `minNeighbors`). With p its own
    score and s the sum of all, its own included, the odds of the face are::

        p / (1 - p) * s / p * alone

    Attributes:
        least: places of a lower score do not count; a box whose own score is lower is none.
        alone: what the odds of a box that no other agrees with are multiplied with.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    least: float = Field(gt=0, lt=1)
    alone: float = Field(gt=0)

    def score(self, own: NDArray[np.float32], total: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of faces.

        Args:
            own: the score of each box, 0 to 1, shape (n,).
            total: the sum of the scores of the boxes that it stands for, shape (n,).
        """
        evidence = logits(own) + np.log(total / own) + math.log(self.alone)
        return np.asarray(1 / (1 + np.exp(-np.clip(evidence, -_CERTAIN, _CERTAIN))), np.float32)


def logits(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """ln(p / (1 - p)), of scores as far from 0 and 1 as those of 8 bits are."""
    clipped = np.clip(scores, 1e-3, 1 - 1e-3)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float32)


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
        support: how places that see the same face make its score; None if the best one's counts alone.
    """

    model_config = ConfigDict(frozen=True)

    grids: tuple[Grid, ...] = Field(min_length=1)
    overlap: float = Field(gt=0, le=1)
    candidates: int = Field(gt=0)
    background: int = Field(ge=0, le=255)
    enlarge: float = Field(ge=1)
    growth: float = Field(default=1.0, gt=0)
    levels: Levels | None = None
    support: Support | None = None


def decode(
    outputs: Mapping[str, NDArray[np.float32]], decoding: Decoding, min_score: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Turns the network's tensors into boxes.

    Args:
        outputs: by name; shapes as `Grid` says.
        decoding: from the card.
        min_score: 0 to 1.

    Returns:
        Boxes (n, 4) as left, top, width, height in pixels of the input, overlapping ones removed, and their scores
        (n,), best first.

    Raises:
        KeyError, ValueError: see `candidates`.
    """
    support = decoding.support
    seen = candidates(outputs, decoding, support.least if support else min_score)
    boxes, own, total = faces(*seen, decoding.overlap)
    scores = support.score(own, total) if support else own
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= min_score]
    return boxes[order], scores[order]


def candidates(
    outputs: Mapping[str, NDArray[np.float32]], decoding: Decoding, least: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The box of every place that reaches a score: of about two thousand these are a handful.

    Args:
        outputs: by name; shapes as `Grid` says.
        decoding: from the card.
        least: 0 to 1.

    Returns:
        Boxes (n, 4) as left, top, width, height in pixels of the input and their scores (n,), best first.

    Raises:
        KeyError: an output that the card names is missing.
        ValueError: a score and a box that the card pairs do not have as many places.
    """
    maps = [outputs[grid.score] for grid in decoding.grids]
    scores = np.concatenate([each.reshape(-1) for each in maps])
    at = np.flatnonzero(scores >= least)
    at = at[np.argsort(-scores[at], kind="stable")[: decoding.candidates]]
    raw = np.concatenate(
        [outputs[grid.box].reshape(each.size, 4) for grid, each in zip(decoding.grids, maps, strict=True)]
    )[at]
    middles, strides = _places(tuple(each.shape for each in maps), tuple(grid.stride for grid in decoding.grids))
    extent = np.exp(raw[:, 2:]) * (strides[at] * np.float32(decoding.growth))
    corner = (middles[at] + raw[:, :2]) * strides[at] - extent / 2
    return np.concatenate([corner, extent], axis=1), scores[at]


def faces(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], overlap: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Leaves one box of those that show the same face.

    Args:
        boxes: (n, 4), best first.
        scores: (n,).
        overlap: a box that shares more than this with a better one shows the same face.

    Returns:
        The boxes that stay (k, 4), best first, their scores (k,), and the sum (k,) of the scores of all that each
        stands for: its own, and those of the left out boxes of no higher score that share most with it.
    """
    # Every candidate has passed its threshold; comparing float32 with float64 once more could only lose one there.
    kept = np.asarray(cv2.dnn.NMSBoxes(_rows(boxes), _rows(scores), 0.0, overlap), np.intp).reshape(-1)
    total = scores[kept]
    left_out = np.ones(len(boxes), bool)
    left_out[kept] = False
    if len(kept) and left_out.any():
        shares = overlaps(boxes[kept], boxes[left_out])
        shares[scores[kept][:, None] < scores[left_out]] = -1
        total = total + np.bincount(shares.argmax(axis=0), scores[left_out], len(kept)).astype(np.float32)
    return boxes[kept], scores[kept], total


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
    inside = in_picture(boxes, ratio, size)
    return [
        Detection(Box(left, top, width, height), min(1.0, score))
        for (left, top, width, height), score in zip(inside.tolist(), scores.tolist(), strict=True)
        if width > 0 and height > 0
    ]


def in_picture(boxes: NDArray[np.float32], ratio: tuple[float, float], size: tuple[int, int]) -> NDArray[np.int64]:
    """Boxes in whole pixels of the picture, clipped to it: shape (n, 4); without width or height if they lie outside.

    Args are those of `detections`.
    """
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1) * (*ratio, *ratio)
    corners = np.rint(np.minimum(np.maximum(corners, 0), (*size, *size))).astype(np.int64)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


@lru_cache(maxsize=16)
def _places(
    shapes: tuple[tuple[int, ...], ...], strides: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Middle (x, y) of each place of all grids, row by row, in strides of its own, (n, 2), and that stride, (n, 1)."""
    middles, widths = [], []
    for (rows, columns, _), stride in zip(shapes, strides, strict=True):
        y, x = np.divmod(np.arange(rows * columns), columns)
        middles.append(np.stack([x, y], axis=1) + 0.5)
        widths.append(np.full((rows * columns, 1), stride))
    return np.concatenate(middles).astype(np.float32), np.concatenate(widths).astype(np.float32)


def _rows(array: NDArray[Any]) -> Any:
    """OpenCV's type stubs want sequences; it takes arrays, and faster."""
    return array
