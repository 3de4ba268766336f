"""How sure a teacher is of each face of a training picture, as part of what that face's score is to be.

A label says that there is a face, and says it of a portrait and of a smear at the edge of a crowd alike. What another
detector gives each of them is a softer label, and mixing it with the hard one is distillation (Hinton, Vinyals, Dean
2015, https://arxiv.org/abs/1503.02531). docs/decisions/0019-soft-labels.md says what it is worth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from edge.vision.geometry import overlaps
from edge.vision.yunet import Yunet
from train.detector.boxes import INCORRECT, MASK, Boxes, sizes

if TYPE_CHECKING:
    from pathlib import Path

    from edge.vision.geometry import Image

_LEAST_SCORE: Final = 0.02
_SAME_FACE: Final = 0.35
"""Intersection over union from which on the teacher's box and ours are of one face: on masks its boxes sit high."""

_MASKED_SIGHT: Final = (20.0, 64.0)
_BARE_SIGHT: Final = (8.0, 16.0)
"""Pixels of a face up to which the teacher's opinion counts for nothing, and from which on it counts in full.

Of masked portraits on plain ground YuNet sees none of 20 px and nearly all of 64 (`benchmarks/sizes.py`): what it
misses between is its eyesight, not its doubt. Bare ones it sees from 16 to 28 px on; their limits are lower, for where
they were 12 and 24 the order of the bare faces of `val` got worse (docs/detector-tried.md)."""


class SoftLabels:
    """Asks YuNet, at the very size that the network sees.

    Args:
        teacher: the .onnx file.
        share: of the teacher's score in what a face's score is to be, 0 to 1; the label has the rest.
        masked_share: the same for faces that wear something; None takes `share`. Both are less of faces that are small
            for the teacher, and nothing where it is blind.
    """

    def __init__(self, teacher: Path, share: float, masked_share: float | None = None) -> None:
        self._network = Yunet(teacher, _LEAST_SCORE)
        self._share = share
        self._masked_share = share if masked_share is None else masked_share

    def of(self, pixels: Image, faces: Boxes, kinds: NDArray[np.int64]) -> NDArray[np.float32]:
        """What the scores of faces are to be.

        Args:
            pixels: BGR.
            faces: in it, shape (n, 4).
            kinds: of each, shape (n,).

        Returns:
            Shape (n,): 1 less its share where the teacher sees nothing, 1 where it is certain or the face too small.
        """
        seen = np.zeros(len(faces), np.float32)
        if len(faces):
            rows = self._network.rows(pixels)
            same = overlaps(faces, rows[:, :4]) >= _SAME_FACE
            seen = np.where(same, np.minimum(rows[None, :, -1], 1), 0).max(axis=1, initial=0)
        masked = np.isin(kinds, (MASK, INCORRECT))
        share = np.where(masked, self._masked_share, self._share)
        sight = np.where(masked, *(_seen_well(sizes(faces), limits) for limits in (_MASKED_SIGHT, _BARE_SIGHT)))
        return np.asarray(1 - share * sight * (1 - seen), np.float32)


def _seen_well(extents: NDArray[np.float32], limits: tuple[float, float]) -> NDArray[np.float32]:
    """0 up to the first limit, 1 from the second on, and evenly by octave between them."""
    least, most = np.log2(limits)
    return np.asarray(np.clip((np.log2(np.maximum(extents, 1)) - least) / (most - least), 0, 1), np.float32)
