"""Hard examples of the training part: what an earlier run finds difficult is drawn more often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from train.recipes import target_of
from train.regions import RegionFile
from train.runs import RunFolder
from train.samples import Sample
from train.validation import predict
from train.views import face_view


@dataclass(frozen=True, slots=True)
class HardRange:
    """Which samples count as hard, by the probability that the earlier run gives the truth.

    Below `lowest` the label itself is doubtful: about one in a hundred is wrong, and those must not come more often.
    """

    lowest: float = 0.03
    highest: float = 0.85
    boost: float = 3.0


def hard_examples(
    run: RunFolder, samples: Sequence[Sample], regions: RegionFile, hard: HardRange | None = None
) -> dict[int, float]:
    """Weight of each hard sample by its index; the others have weight 1.

    Args:
        run: an earlier run whose split has the same training part: a network that had seen other parts would leak them.
        samples: the training part.
        regions: in the same order.
        hard: the range.
    """
    hard = hard or HardRange()
    settings = run.settings()
    model = run.best_model()
    found = {}
    for start in range(0, len(samples), 512):
        part = range(start, min(start + 512, len(samples)))
        faces = [(samples[index].kind, regions[index]) for index in part]
        margin = settings.margin or 0.0
        views = np.stack([face_view(kind, face.image, face.box, margin, settings.size) for kind, face in faces])
        for index, row in zip(part, predict(model, views, settings.pixels), strict=True):
            truth = float(row[target_of(samples[index].label, settings.labels)])
            if hard.lowest < truth < hard.highest:
                found[index] = hard.boost
    return found
