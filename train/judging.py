"""Runs an int8 file over labelled samples as the daemon would, and keeps what is needed to measure it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError, ModelError
from edge.vision.cards import ModelCard, load_card
from edge.vision.classifier import NOT_A_FACE, sharpness
from edge.vision.geometry import Image
from edge.vision.tflite import TfliteModel
from train.calibration import mask_probability
from train.files import check_name
from train.labels import INCORRECT, MASK, NO_FACE, NO_MASK
from train.metrics import Flags, Floats, group_weights
from train.progress import Count, uncounted
from train.samples import Sample
from train.storage import PictureStore
from train.validation import judged
from train.views import check_box, face_view


@dataclass(frozen=True)
class Judgements:
    """One row a sample, all arrays of shape (n,) but `probabilities`, (n, labels).

    Attributes:
        sharpness: variance of the Laplacian at 64 px, as the daemon gates by it.
        brightness: mean grey level of the crop, 0 to 255.
        face_px: longer side of the face in the picture.
    """

    card: ModelCard
    samples: list[Sample]
    probabilities: NDArray[np.float32]
    sharpness: Floats
    brightness: Floats
    face_px: Floats
    unreadable: tuple[str, ...] = ()

    @property
    def p_mask(self) -> Floats:
        """Calibrated by the card."""
        return mask_probability(self.probabilities, self.card.labels, self.card.calibration.temperature)

    @property
    def truth(self) -> NDArray[np.str_]:
        return np.array([sample.label for sample in self.samples], dtype=str)

    @property
    def is_mask(self) -> Flags:
        return np.asarray(self.truth == MASK)

    @property
    def weights(self) -> Floats:
        return group_weights(self.samples)

    @property
    def drawn_on(self) -> Flags:
        return np.array([sample.drawn_on for sample in self.samples], bool)

    @property
    def real_faces(self) -> Flags:
        """Worn properly or not at all, nothing drawn on: what the main figures are about."""
        return np.asarray(np.isin(self.truth, (MASK, NO_MASK)) & ~self.drawn_on)

    @property
    def badly_worn(self) -> Flags:
        return np.asarray(self.truth == INCORRECT)

    @property
    def without_face(self) -> Flags:
        return np.asarray(self.truth == NO_FACE)

    @property
    def dropped(self) -> Flags:
        """What the daemon drops as no face."""
        labels = self.card.labels
        if NOT_A_FACE not in labels:
            return np.zeros(len(self.samples), bool)
        columns = [self.probabilities[:, labels.index(label)] for label in (MASK, NO_MASK)]
        return np.asarray(self.probabilities[:, labels.index(NOT_A_FACE)] >= np.maximum(*columns))

    def chosen(self, which: Flags) -> Judgements:
        """The rows where `which` is true."""
        index = np.nonzero(which)[0]
        return replace(
            self,
            samples=[self.samples[i] for i in index],
            probabilities=self.probabilities[index],
            sharpness=self.sharpness[index],
            brightness=self.brightness[index],
            face_px=self.face_px[index],
        )


def judge(
    model: Path,
    samples: Sequence[Sample],
    store: PictureStore,
    margin: float | None = None,
    progress: Count = uncounted,
) -> Judgements:
    """Judges every sample that can be judged.

    Args:
        model: the .tflite file with its card beside it.
        samples: those of one photo should follow one another, so that it is decoded once.
        store: reads their pictures.
        margin: instead of the card's.
        progress: called with the numbers of samples done and in all.

    Raises:
        ModelError: the model or its card is missing, damaged, or not of a mask classifier.
        UsageError: its path is not UTF-8.
    """
    check_name(model)
    card = _card_of(model)
    network = TfliteModel(model, card)
    margin = card.crop.margin if margin is None else margin
    kept: list[Sample] = []
    unreadable: list[str] = []
    outputs, sharp, bright, pixels = [], [], [], []
    chosen = [sample for sample in samples if judged(sample)]
    image: Image | None = None
    path = ""
    for index, sample in enumerate(chosen):
        progress(index, len(chosen))
        try:
            if image is None or sample.path != path:
                image, path = store.image(sample.path), sample.path
        except ImageError:
            image = None
            unreadable.append(sample.path)
            continue
        check_box(sample, image)
        face = face_view(sample.kind, image, sample.box, margin, card.input.width)
        kept.append(sample)
        outputs.append(next(iter(network.invoke(face).values())))
        sharp.append(sharpness(face))
        bright.append(float(face.mean()))
        pixels.append(_face_px(sample, image))
    if chosen:
        progress(len(chosen), len(chosen))
    if outputs and outputs[0].shape != (len(card.labels),):
        raise ModelError(f"{model} gives {outputs[0].size} probabilities, and its card has {len(card.labels)} labels")
    return Judgements(
        card,
        kept,
        np.array(outputs, np.float32).reshape(len(kept), len(card.labels)),
        np.array(sharp),
        np.array(bright),
        np.array(pixels),
        tuple(unreadable),
    )


def _card_of(model: Path) -> ModelCard:
    """Refuses one of another kind of model."""
    card = load_card(model)
    if card.task != "mask-classifier":
        raise ModelError(f"{model} is a {card.task}, not a mask-classifier")
    if not {MASK, NO_MASK} <= set(card.labels):
        raise ModelError(f"{model}: labels are {list(card.labels)}; a mask classifier has mask and no_mask")
    return card


def _face_px(sample: Sample, image: Image) -> float:
    if sample.box is not None:
        return float(max(sample.box.width, sample.box.height))
    return float(max(image.shape[:2]))
