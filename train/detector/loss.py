"""Which places learn which face, and what a wrong answer costs, for any backend of Keras.

Assignment follows TOOD (Feng et al. 2021, https://arxiv.org/abs/2108.07755): among the places near the middle of a face
the few that already answer best learn it, and the score they learn is how good their box is, normalised so that the
best place of a face learns its own IoU. Scores cost the quality focal loss (Li et al. 2020,
https://arxiv.org/abs/2006.04388), boxes complete IoU (Zheng et al. 2020, https://arxiv.org/abs/1911.08287).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from train.detector.architecture import FACE_SIZES, STRIDES

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CENTRE_RADIUS: Final = 1.5
"""Places learn a face only if its middle is within that many strides in both directions."""

_CANDIDATES: Final = 7
"""Places that learn one face."""

_SCORE_POWER, _IOU_POWER = 0.5, 3.0
_BOX_WEIGHT: Final = 2.0
_FLOOR: Final = 1e-9


def places(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The places of all levels over a square picture, level after level, row after row.

    Args:
        size: side in pixels, a multiple of 32.

    Returns:
        Centres (n, 2) as x, y in pixels; strides (n,); the smallest and largest face size of each place's level (n, 2).
    """
    centres, strides, limits = [], [], []
    for stride, (least, most) in zip(STRIDES, FACE_SIZES, strict=True):
        line = (np.arange(size // stride, dtype=np.float32) + 0.5) * stride
        x, y = np.meshgrid(line, line)
        centres.append(np.stack([x.ravel(), y.ravel()], axis=1))
        strides.append(np.full(x.size, stride, np.float32))
        limits.append(np.tile(np.array([[least, most]], np.float32), (x.size, 1)))
    return np.concatenate(centres), np.concatenate(strides), np.concatenate(limits)


class DetectorLoss:
    """The loss over square pictures of one size.

    Args:
        size: side of the pictures in pixels.
    """

    def __init__(self, size: int) -> None:
        self._centres, self._strides, limits = places(size)
        self._least, self._most = limits[:, 0], limits[:, 1]

    def __call__(self, outputs: list[Any], faces: Any, ignored: Any, certainty: Any, framed: Any) -> tuple[Any, Any]:
        """Computes both parts.

        Args:
            outputs: the network's six tensors.
            faces: (batch, m, 4) left, top, width, height in pixels; rows of zeros are none.
            ignored: (batch, k, 4) boxes in which a place without a face costs nothing; zeros are none.
            certainty: (batch, m) what the score of a face is to be if its box is right, 0 to 1.
            framed: (batch, m) 1 for a face whose box is learned, 0 for one whose score alone is.

        Returns:
            Score loss and box loss, scalars, both per unit of assigned quality.
        """
        from keras import ops

        batch, levels = ops.shape(outputs[0])[0], len(STRIDES)
        logits = ops.concatenate([ops.reshape(o, (batch, -1)) for o in outputs[:levels]], axis=1)
        raw = ops.concatenate([ops.reshape(o, (batch, -1, 4)) for o in outputs[levels:]], axis=1)
        corners = self._decoded(raw)
        targets = ops.concatenate([faces[..., :2], faces[..., :2] + faces[..., 2:]], axis=-1)
        quality, owner = self._assigned(ops.stop_gradient(ops.sigmoid(logits)), ops.stop_gradient(corners), targets)
        positive = quality > 0
        total = ops.maximum(ops.sum(quality), 1.0)

        free = ops.logical_or(positive, ops.logical_not(self._inside(ignored)))
        chance = ops.sigmoid(logits)
        wanted_chance = quality * ops.take_along_axis(certainty, owner, axis=1)
        cross = ops.binary_crossentropy(wanted_chance, logits, from_logits=True)
        score_loss = ops.sum(ops.where(free, ops.square(wanted_chance - chance) * cross, 0.0)) / total

        wanted = ops.take_along_axis(targets, owner[..., None], axis=1)
        weight = quality * ops.take_along_axis(framed, owner, axis=1)
        box_loss = ops.sum(ops.where(positive, (1 - complete_iou(corners, wanted)) * weight, 0.0)) / total
        return score_loss, box_loss * _BOX_WEIGHT

    def _decoded(self, raw: Any) -> Any:
        """Outputs to corners in pixels, (batch, n, 4)."""
        from keras import ops

        middle = self._centres + raw[..., :2] * self._strides[:, None]
        half = 0.5 * ops.exp(ops.clip(raw[..., 2:], -4.0, 4.0)) * self._strides[:, None]
        return ops.concatenate([middle - half, middle + half], axis=-1)

    def _assigned(self, chance: Any, corners: Any, targets: Any) -> tuple[Any, Any]:
        """What each place learns.

        Returns:
            Quality (batch, n), 0 for places that learn no face; and the index of the face (batch, n).
        """
        from keras import ops

        extent = targets[..., 2:] - targets[..., :2]
        size = ops.sqrt(ops.maximum(extent[..., 0] * extent[..., 1], 0.0))[:, None, :]
        middle = (targets[..., :2] + targets[..., 2:]) / 2
        away = ops.abs(self._centres[None, :, None, :] - middle[:, None, :, :])
        stride = self._strides[None, :, None, None]
        # In a face smaller than two strides hardly a place lies inside: there one stride from its middle is near
        # enough.
        reach = ops.minimum(_CENTRE_RADIUS * stride, ops.maximum(extent[:, None] / 2, 0.75 * stride))
        near = ops.all(away <= reach, axis=-1)
        fits = ops.logical_and(size >= self._least[None, :, None], size < self._most[None, :, None])
        near = ops.logical_and(ops.logical_and(near, fits), size > 0)

        iou = plain_iou(corners[:, :, None, :], targets[:, None, :, :])
        metric = ops.where(near, chance[..., None] ** _SCORE_POWER * iou**_IOU_POWER + _FLOOR, 0.0)
        best, _ = ops.top_k(ops.transpose(metric, (0, 2, 1)), _CANDIDATES)
        chosen = ops.logical_and(metric >= best[:, None, :, -1], metric > 0)
        metric = ops.where(chosen, metric, 0.0)

        best_metric = ops.max(metric, axis=1, keepdims=True)
        best_iou = ops.max(ops.where(chosen, iou, 0.0), axis=1, keepdims=True)
        quality = metric / ops.maximum(best_metric, _FLOOR) * ops.maximum(best_iou, 0.1)
        return ops.max(quality, axis=-1), ops.argmax(quality, axis=-1)

    def _inside(self, boxes: Any) -> Any:
        """Which places lie in any of the boxes, (batch, n)."""
        from keras import ops

        point = self._centres[None, :, None, :]
        low, high = boxes[:, None, :, :2], boxes[:, None, :, :2] + boxes[:, None, :, 2:]
        return ops.any(ops.all(ops.logical_and(point >= low, point < high), axis=-1), axis=-1)


def plain_iou(a: Any, b: Any) -> Any:
    """Intersection over union of boxes given by corners (..., 4); shapes broadcast."""
    from keras import ops

    shared = ops.prod(
        ops.maximum(ops.minimum(a[..., 2:], b[..., 2:]) - ops.maximum(a[..., :2], b[..., :2]), 0.0), axis=-1
    )
    area_a, area_b = (ops.prod(c[..., 2:] - c[..., :2], axis=-1) for c in (a, b))
    return shared / ops.maximum(area_a + area_b - shared, 1e-6)


def complete_iou(a: Any, b: Any) -> Any:
    """IoU less what middles and shapes differ by (Zheng et al. 2020), for corners (..., 4): -1 to 1."""
    from keras import ops

    iou = plain_iou(a, b)
    hull = ops.maximum(a[..., 2:], b[..., 2:]) - ops.minimum(a[..., :2], b[..., :2])
    apart = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    distance = ops.sum(apart**2, axis=-1) / ops.maximum(ops.sum(hull**2, axis=-1), 1e-6)
    slim = [ops.arctan2(c[..., 2] - c[..., 0], ops.maximum(c[..., 3] - c[..., 1], 1e-6)) for c in (a, b)]
    shape = (2 / np.pi * (slim[0] - slim[1])) ** 2
    weight = ops.stop_gradient(shape / ops.maximum(1 - iou + shape, 1e-6))
    return iou - distance - weight * shape
