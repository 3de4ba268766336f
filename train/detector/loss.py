"""Which places learn which face, and what a wrong answer costs. TensorFlow only, all in one graph.

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
        import tensorflow as tf

        centres, strides, limits = places(size)
        self._centres, self._strides = tf.constant(centres), tf.constant(strides)
        self._least, self._most = tf.constant(limits[:, 0]), tf.constant(limits[:, 1])

    def __call__(self, outputs: list[Any], faces: Any, ignored: Any) -> tuple[Any, Any]:
        """Computes both parts.

        Args:
            outputs: the network's six tensors.
            faces: (batch, m, 4) left, top, width, height in pixels; rows of zeros are none.
            ignored: (batch, k, 4) boxes in which a place without a face costs nothing; zeros are none.

        Returns:
            Score loss and box loss, scalars, both per unit of assigned quality.
        """
        import tensorflow as tf

        batch, levels = tf.shape(outputs[0])[0], len(STRIDES)
        logits = tf.concat([tf.reshape(o, (batch, -1)) for o in outputs[:levels]], axis=1)
        raw = tf.concat([tf.reshape(o, (batch, -1, 4)) for o in outputs[levels:]], axis=1)
        corners = self._decoded(raw)
        targets = tf.concat([faces[..., :2], faces[..., :2] + faces[..., 2:]], axis=-1)
        quality, owner = self._assigned(tf.stop_gradient(tf.sigmoid(logits)), tf.stop_gradient(corners), targets)
        positive = quality > 0
        total = tf.maximum(tf.reduce_sum(quality), 1.0)

        free = tf.logical_or(positive, tf.logical_not(self._inside(ignored)))
        chance = tf.sigmoid(logits)
        cross = tf.nn.sigmoid_cross_entropy_with_logits(labels=quality, logits=logits)
        score_loss = tf.reduce_sum(tf.where(free, tf.square(quality - chance) * cross, 0.0)) / total

        wanted = tf.gather(targets, owner, batch_dims=1)
        box_loss = tf.reduce_sum(tf.where(positive, (1 - complete_iou(corners, wanted)) * quality, 0.0)) / total
        return score_loss, box_loss * _BOX_WEIGHT

    def _decoded(self, raw: Any) -> Any:
        """Outputs to corners in pixels, (batch, n, 4)."""
        import tensorflow as tf

        middle = self._centres + raw[..., :2] * self._strides[:, None]
        half = 0.5 * tf.exp(tf.clip_by_value(raw[..., 2:], -4.0, 4.0)) * self._strides[:, None]
        return tf.concat([middle - half, middle + half], axis=-1)

    def _assigned(self, chance: Any, corners: Any, targets: Any) -> tuple[Any, Any]:
        """What each place learns.

        Returns:
            Quality (batch, n), 0 for places that learn no face; and the index of the face (batch, n).
        """
        import tensorflow as tf

        extent = targets[..., 2:] - targets[..., :2]
        size = tf.sqrt(tf.maximum(extent[..., 0] * extent[..., 1], 0.0))[:, None, :]
        middle = (targets[..., :2] + targets[..., 2:]) / 2
        away = tf.abs(self._centres[None, :, None, :] - middle[:, None, :, :])
        stride = self._strides[None, :, None, None]
        # In a face smaller than two strides hardly a place lies inside: there one stride from its middle is near
        # enough.
        reach = tf.minimum(_CENTRE_RADIUS * stride, tf.maximum(extent[:, None] / 2, 0.75 * stride))
        near = tf.reduce_all(away <= reach, axis=-1)
        fits = tf.logical_and(size >= self._least[None, :, None], size < self._most[None, :, None])
        near = tf.logical_and(tf.logical_and(near, fits), size > 0)

        iou = plain_iou(corners[:, :, None, :], targets[:, None, :, :])
        metric = tf.where(near, chance[..., None] ** _SCORE_POWER * iou**_IOU_POWER + _FLOOR, 0.0)
        best, _ = tf.math.top_k(tf.transpose(metric, (0, 2, 1)), _CANDIDATES)
        chosen = tf.logical_and(metric >= best[:, None, :, -1], metric > 0)
        metric = tf.where(chosen, metric, 0.0)

        best_metric = tf.reduce_max(metric, axis=1, keepdims=True)
        best_iou = tf.reduce_max(tf.where(chosen, iou, 0.0), axis=1, keepdims=True)
        quality = metric / tf.maximum(best_metric, _FLOOR) * tf.maximum(best_iou, 0.1)
        return tf.reduce_max(quality, axis=-1), tf.argmax(quality, axis=-1, output_type=tf.int32)

    def _inside(self, boxes: Any) -> Any:
        """Which places lie in any of the boxes, (batch, n)."""
        import tensorflow as tf

        point = self._centres[None, :, None, :]
        low, high = boxes[:, None, :, :2], boxes[:, None, :, :2] + boxes[:, None, :, 2:]
        return tf.reduce_any(tf.reduce_all(tf.logical_and(point >= low, point < high), axis=-1), axis=-1)


def plain_iou(a: Any, b: Any) -> Any:
    """Intersection over union of boxes given by corners (..., 4); shapes broadcast."""
    import tensorflow as tf

    shared = tf.reduce_prod(
        tf.maximum(tf.minimum(a[..., 2:], b[..., 2:]) - tf.maximum(a[..., :2], b[..., :2]), 0.0), axis=-1
    )
    area_a, area_b = (tf.reduce_prod(c[..., 2:] - c[..., :2], axis=-1) for c in (a, b))
    return shared / tf.maximum(area_a + area_b - shared, 1e-6)


def complete_iou(a: Any, b: Any) -> Any:
    """IoU less what middles and shapes differ by (Zheng et al. 2020), for corners (..., 4): -1 to 1."""
    import tensorflow as tf

    iou = plain_iou(a, b)
    hull = tf.maximum(a[..., 2:], b[..., 2:]) - tf.minimum(a[..., :2], b[..., :2])
    apart = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    distance = tf.reduce_sum(apart**2, axis=-1) / tf.maximum(tf.reduce_sum(hull**2, axis=-1), 1e-6)
    slim = [tf.atan2(c[..., 2] - c[..., 0], tf.maximum(c[..., 3] - c[..., 1], 1e-6)) for c in (a, b)]
    shape = (2 / np.pi * (slim[0] - slim[1])) ** 2
    weight = tf.stop_gradient(shape / tf.maximum(1 - iou + shape, 1e-6))
    return iou - distance - weight * shape
