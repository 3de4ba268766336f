"""What a run is made of: our own recipe, and the two seed projects exactly as they published theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge.vision.classifier import NOT_A_FACE
from train.architectures import SYMMETRIC, UNIT, Pixels
from train.augment.keras_style import KerasRanges
from train.labels import MASK, NO_MASK


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the training.

    Attributes:
        name: in the history.
        epochs: at most.
        rate: at the beginning.
        optimizer: `adam` or `rmsprop`.
        train_from: index of the first layer that is trained; -1 means only the layers behind the backbone.
        batch_norm: `training` moves the statistics with every batch, `frozen` leaves those of the weights file.
        decay: `cosine` brings the rate to zero at the end of the phase.
    """

    name: str
    epochs: int
    rate: float
    optimizer: Literal["adam", "rmsprop"] = "adam"
    train_from: int = 0
    batch_norm: Literal["training", "frozen"] = "training"
    decay: Literal["cosine", "none"] = "none"


_NO_RANGES = KerasRanges()


@dataclass(frozen=True, slots=True)
class Preset:
    """One recipe.

    Attributes:
        steps: batches an epoch; 0 means every file once an epoch, without balancing (the seeds' way).
        patience: epochs without a better validation before a phase ends; 0 never.
        stop_at: the phase ends when training (and, for `both`, validation) accuracy is above; None never.
        smoothing: of the labels (Szegedy et al. 2016), against the percent of wrong labels in the data.
        average: decay a step of the running mean of the weights that is validated and kept; 0 keeps the last ones.
    """

    arch: str
    size: int
    phases: tuple[Phase, ...]
    alpha: float = 1.0
    pixels: Pixels = SYMMETRIC
    labels: tuple[str, ...] = (MASK, NO_MASK)
    outputs: int = 2
    batch: int = 32
    steps: int = 0
    ranges: KerasRanges = _NO_RANGES
    patience: int = 0
    stop_at: float | None = None
    stop_on: Literal["train", "both"] = "both"
    smoothing: float = 0.0
    average: float = 0.0
    margin: float = 0.15
    metric: Literal["balanced", "accuracy"] = "balanced"


_BANGKIT_RANGES = KerasRanges(rotation=40, shift=0.2, shear=0.2, zoom=0.2, flip=0.5)
_FAKHREZI_RANGES = KerasRanges(rotation=30, shift=0.2, shear=0.2, zoom=0.4, flip=0.5)

_MASKGATE = Preset(
    arch="mobilenet_v2",
    size=160,
    alpha=0.35,
    labels=(MASK, NO_MASK, NOT_A_FACE),
    outputs=3,
    batch=32,
    steps=200,
    phases=(
        Phase("head", 1, 2e-3, train_from=-1, batch_norm="frozen"),
        Phase("whole", 14, 7e-4, decay="cosine"),
    ),
    patience=8,
    smoothing=0.03,
    average=0.995,
)

PRESETS: dict[str, dict[str, Preset]] = {
    "maskgate": {"mobilenet_v2": _MASKGATE},
    "bangkit": {
        "cnn3": Preset(
            arch="cnn3",
            size=150,
            pixels=UNIT,
            outputs=1,
            batch=20,
            ranges=_BANGKIT_RANGES,
            phases=(Phase("all", 50, 1e-4, "rmsprop"),),
            stop_at=0.93,
            stop_on="train",
            metric="accuracy",
        ),
        # The seed unfreezes from layer 100, compiles with 1e-5, and then never trains. Here it is trained.
        "mobilenet_v2": Preset(
            arch="mobilenet_v2_bangkit",
            size=224,
            pixels=UNIT,
            outputs=2,
            batch=20,
            ranges=_BANGKIT_RANGES,
            phases=(
                Phase("frozen", 15, 1e-4, "rmsprop", train_from=-1, batch_norm="frozen"),
                Phase("from layer 100", 10, 1e-5, "rmsprop", train_from=100, batch_norm="frozen"),
            ),
            metric="accuracy",
        ),
    },
    "fakhrezi": {
        "cnn4": Preset(
            arch="cnn4",
            size=128,
            pixels=UNIT,
            outputs=1,
            batch=16,
            ranges=_FAKHREZI_RANGES,
            phases=(Phase("all", 10, 1e-3),),
            stop_at=0.95,
            metric="accuracy",
        ),
    },
}
"""By name and architecture; the first architecture of a name is its default."""
