"""What the two seed projects reported of their networks, to be shown next to ours.

Read from their notebooks. Their validation parts leak (docs/training.md), so these are no accuracies on new pictures;
`unseen` is what their own notebooks show on pictures from elsewhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PublishedFigures:
    """One training run of a seed project.

    Attributes:
        validation_accuracy: after the last epoch, the best one in `best`.
        unseen: right of all new pictures that the notebook tries, as printed there.
    """

    project: str
    network: str
    parameters: int
    epochs: int
    accuracy: float
    loss: float
    validation_accuracy: float
    validation_loss: float
    best: float
    unseen: str


_BANGKIT = "tiadwi/GoogleBangkit-MaskClassification"
_FAKHREZI = "MuhamadSyarifFakhrezi/FaceMaskDetection"

SEEDS = (
    PublishedFigures(_BANGKIT, "cnn3", 9_494_561, 43, 0.9410, 0.1698, 0.9539, 0.1060, 0.9597, "8 of 30"),
    PublishedFigures(_BANGKIT, "mobilenet_v2", 4_095_554, 15, 0.9959, 0.3205, 1.0, 0.3133, 1.0, "13 of 21"),
    PublishedFigures(_FAKHREZI, "cnn4", 3_043_137, 8, 0.9521, 0.1415, 0.9691, 0.1006, 0.9724, "1 shown"),
)


def seeds_for_card() -> list[dict[str, Any]]:
    """The rows as the card holds them."""
    return [asdict(row) for row in SEEDS]
