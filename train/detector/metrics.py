"""Average precision, recall and false alarms of a face detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from edge.vision.geometry import overlaps
from train.detector.boxes import Boxes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SIZE_BANDS: Final = ((16.0, 32.0), (32.0, 64.0), (64.0, 1e9))
"""Face sizes (square root of the area, pixels of the photo) that are reported apart."""

MIN_SIZE: Final = 16.0
"""Smaller faces are neither asked for nor counted as false."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a detector said of one picture, and what is there.

    Attributes:
        boxes: found, shape (n, 4).
        scores: of them, shape (n,).
        truth: boxes that are there, shape (m, 4).
        counted: which of the true boxes are asked for; the others may be found or not, shape (m,).
    """

    boxes: Boxes
    scores: NDArray[np.float32]
    truth: Boxes
    counted: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Curve:
    """All answers of a detector, best score first.

    Attributes:
        scores: of each found box that counts, shape (n,), falling.
        right: whether it found a face, shape (n,).
        faces: how many faces were asked for.
    """

    scores: NDArray[np.float32]
    right: NDArray[np.bool_]
    faces: int

    def average_precision(self) -> float:
        """Area under the falling hull of precision over recall, as PASCAL VOC has it since 2010; nan without a face."""
        if not self.faces:
            return float("nan")
        hits = np.cumsum(self.right)
        precision = hits / np.arange(1, len(hits) + 1)
        hull = np.maximum.accumulate(precision[::-1])[::-1]
        return float(hull[self.right].sum() / self.faces)

    def recall_at(self, score: float) -> float:
        """Share of the faces found by boxes of at least that score."""
        return float(self.right[self.scores >= score].sum() / self.faces) if self.faces else float("nan")

    def precision_at(self, score: float) -> float:
        """Share of the boxes of at least that score that found a face."""
        chosen = self.right[self.scores >= score]
        return float(chosen.mean()) if len(chosen) else float("nan")

    def recall_at_precision(self, precision: float) -> tuple[float, float]:
        """The most recall that keeps a precision, and the score it takes; (0, 1) if no score does."""
        hits = np.cumsum(self.right)
        good = np.flatnonzero(hits / np.arange(1, len(hits) + 1) >= precision)
        if not len(good) or not self.faces:
            return 0.0, 1.0
        return float(hits[good[-1]] / self.faces), float(self.scores[good[-1]])


def curve(answers: list[Answer], least_overlap: float) -> Curve:
    """All answers of a detector, best score first.

    Args:
        answers: one for each picture.
        least_overlap: see `matched`.
    """
    curves = []
    for answer in answers:
        pairs = list(matched(answer, least_overlap))
        scores = answer.scores[[at for at, _ in pairs]]
        curves.append(Curve(scores, np.array([found for _, found in pairs], bool), int(answer.counted.sum())))
    return joined(curves)


def joined(curves: Sequence[Curve]) -> Curve:
    """The curve of all pictures from those of each."""
    scores = np.concatenate([np.zeros(0, np.float32), *(each.scores for each in curves)])
    right = np.concatenate([np.zeros(0, bool), *(each.right for each in curves)])
    order = np.argsort(-scores, kind="stable")
    return Curve(scores[order], right[order], sum(each.faces for each in curves))


def matched(answer: Answer, least_overlap: float) -> Iterator[tuple[int, bool]]:
    """Matches boxes to faces, best score first, each face once.

    A box that matches no face but a face that is not asked for is left out; every other one is false.

    Args:
        answer: of one picture.
        least_overlap: intersection over union from which on a box has found a face.

    Yields:
        The index of a box, and whether it found a face.
    """
    shares = overlaps(answer.boxes, answer.truth)
    open_faces = answer.counted.copy()
    for at in np.argsort(-answer.scores, kind="stable"):
        near = np.where(open_faces, shares[at], -1.0)
        if len(near) and near.max() >= least_overlap:
            open_faces[int(near.argmax())] = False
            yield int(at), True
        elif not (shares[at][~answer.counted] >= least_overlap).any():
            yield int(at), False
