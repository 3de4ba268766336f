"""A face in, the probability that it wears a mask properly out, and the label that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.vision.cards import Thresholds, find_model, load_card
from edge.vision.geometry import Box, Image, face_input
from edge.vision.tflite import TfliteModel

NOT_A_FACE = "not_a_face"
_SMALLEST_PROBABILITY = 0.5 / 256
"""Half a step of the uint8 softmax: what a 0 of it may have been."""


class Label(StrEnum):
    """What is said of a face."""

    MASK = "mask"
    NO_MASK = "no_mask"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Judgement:
    """`p_mask` is calibrated, 0 to 1; `is_face` is false where the classifier sees something else in the box."""

    p_mask: float
    is_face: bool


def label_of(p_mask: float, thresholds: Thresholds) -> Label:
    """`mask` from `mask_above` on, `no_mask` up to `no_mask_below`, otherwise `uncertain`."""
    if p_mask >= thresholds.mask_above:
        return Label.MASK
    if p_mask <= thresholds.no_mask_below:
        return Label.NO_MASK
    return Label.UNCERTAIN


def calibrated(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Temperature scaling (Guo et al. 2017) on the logarithm of softmax outputs.

    Args:
        probabilities: shape (classes,), each 0 to 1, as the model gives them.
        temperature: above 0; above 1 is less sure.

    Returns:
        Shape (classes,), sums to 1.
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST_PROBABILITY)) / temperature
    scaled = np.exp(logits - logits.max())
    return np.asarray(scaled / scaled.sum())


def sharpness(face: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of a crop, in grey levels squared; about 0 for a smear, hundreds for a crisp face.

    Pech-Pacheco et al. 2000. Measured at 64 x 64 pixels so that faces of different size compare.
    """
    grey = cv2.resize(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), (64, 64), interpolation=cv2.INTER_AREA)
    _, deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    return float(deviation[0, 0] ** 2)


class MaskClassifier:
    """The model with what its card says of crop, calibration and thresholds.

    Raises:
        ModelError: the file is missing or damaged, or no mask classifier.
    """

    def __init__(self, name_or_path: str, mask_above: float | None = None, no_mask_below: float | None = None) -> None:
        path = find_model(name_or_path)
        self.card = load_card(path)
        self.model = self.card.model_file(path)
        if self.card.task != "mask-classifier" or self.card.thresholds is None:
            raise ModelError(f"{path} is a {self.card.task} without thresholds, not a mask classifier")
        if not {Label.MASK, Label.NO_MASK} <= set(self.card.labels):
            raise ModelError(f"{path}: labels are {list(self.card.labels)}; a mask classifier has mask and no_mask")
        given = {"mask_above": mask_above, "no_mask_below": no_mask_below}
        self.thresholds = self.card.thresholds.model_copy(update={k: v for k, v in given.items() if v is not None})
        if self.thresholds.no_mask_below > self.thresholds.mask_above:
            raise ModelError(
                f"classifier.no_mask_below ({self.thresholds.no_mask_below}) is above "
                f"classifier.mask_above ({self.thresholds.mask_above})"
            )
        self._network = TfliteModel(path, self.card)
        self._size = (self.card.input.width, self.card.input.height)

    def crop(self, image: Image, box: Box, margin: float) -> NDArray[np.uint8]:
        """The model's input for a face; see `face_input` for margin, shape and colour."""
        return face_input(image, box, margin, self._size)

    def judge(self, face: NDArray[np.uint8]) -> Judgement:
        """Judges a crop of the model's input size."""
        output = next(iter(self._network.invoke(face).values()))
        by_label = dict(zip(self.card.labels, calibrated(output, self.card.calibration.temperature), strict=True))
        mask, no_mask = by_label[Label.MASK], by_label[Label.NO_MASK]
        return Judgement(
            p_mask=float(mask / (mask + no_mask)),
            is_face=bool(by_label.get(NOT_A_FACE, 0.0) < max(mask, no_mask)),
        )
