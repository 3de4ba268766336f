"""Which picture comes next: strata in fixed shares, groups evenly inside a stratum, then one picture of the group.

One original with 56 copies counts once, and no source or style of picture owns a class.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from train.labels import INCORRECT, MASK, NO_FACE, NO_MASK
from train.samples import Sample

SMALLEST_BOX = 14
"""Longer side in pixels below which a boxed face of a photo shows nobody what it wears."""


class Stratum(StrEnum):
    """What is drawn. The synthetic ones and `revealed` are made from faces of the others."""

    MASK_CROP = "mask_crop"
    MASK_BOXED = "mask_boxed"
    MASK_DRAWN = "mask_drawn"
    BARE_ALIGNED = "bare_aligned"
    BARE_CROP = "bare_crop"
    BARE_BOXED = "bare_boxed"
    INCORRECT_REAL = "incorrect_real"
    INCORRECT_DRAWN = "incorrect_drawn"
    SYNTHETIC_MASK = "synthetic_mask"
    SYNTHETIC_INCORRECT = "synthetic_incorrect"
    REVEALED = "revealed"
    NOT_A_FACE = "not_a_face"


SHARES: dict[Stratum, float] = {
    Stratum.MASK_CROP: 0.215,
    Stratum.MASK_BOXED: 0.145,
    Stratum.MASK_DRAWN: 0.03,
    Stratum.BARE_ALIGNED: 0.075,
    Stratum.BARE_CROP: 0.10,
    Stratum.BARE_BOXED: 0.135,
    Stratum.INCORRECT_REAL: 0.055,
    Stratum.INCORRECT_DRAWN: 0.02,
    Stratum.SYNTHETIC_MASK: 0.06,
    Stratum.SYNTHETIC_INCORRECT: 0.035,
    Stratum.REVEALED: 0.08,
    Stratum.NOT_A_FACE: 0.05,
}
"""Chosen on `val`; see docs/training.md. A stratum that the data set does not have gives its share to the others of its
class, so that masks and bare faces come equally often whatever they are made of."""

_MASKED = frozenset({Stratum.MASK_CROP, Stratum.MASK_BOXED, Stratum.MASK_DRAWN, Stratum.SYNTHETIC_MASK})


def class_of(stratum: Stratum) -> str:
    """What its pictures are learned as: `mask`, `no_mask` (worn badly, too) or `no_face`."""
    return NO_FACE if stratum is Stratum.NOT_A_FACE else MASK if stratum in _MASKED else NO_MASK


def stratum_of(sample: Sample) -> Stratum | None:
    """The stratum that a sample itself belongs to; None if it is not trained on.

    The bare faces of the reference set are aligned portraits of celebrities: a stratum of their own, so that their
    style cannot come to mean "bare".
    """
    if sample.kind == "boxed" and sample.box and max(sample.box.width, sample.box.height) < SMALLEST_BOX:
        return None
    if sample.label == NO_FACE:
        return Stratum.NOT_A_FACE
    boxed = sample.kind == "boxed"
    if sample.label == MASK:
        return Stratum.MASK_BOXED if boxed else Stratum.MASK_DRAWN if sample.drawn_on else Stratum.MASK_CROP
    if sample.label == NO_MASK:
        aligned = bool(sample.published_split) and sample.box is None
        return Stratum.BARE_BOXED if boxed else Stratum.BARE_ALIGNED if aligned else Stratum.BARE_CROP
    if sample.label == INCORRECT:
        return Stratum.INCORRECT_DRAWN if sample.drawn_on else Stratum.INCORRECT_REAL
    return None


@dataclass(frozen=True, slots=True)
class Draw:
    """One picture to make: which sample, and as which stratum."""

    index: int
    stratum: Stratum


class Sampler:
    """Draws samples by stratum and group.

    Args:
        samples: the training part.
        made: indices of the faces that a stratum is made from, for the synthetic ones.
        shares: weight of each stratum.
        boost: how much more often than the others of its stratum a sample is drawn, for hard examples; 1 where it is
            missing.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        made: Mapping[Stratum, Sequence[int]],
        shares: dict[Stratum, float],
        boost: dict[int, float] | None = None,
    ) -> None:
        members: dict[Stratum, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for index, sample in enumerate(samples):
            if stratum := stratum_of(sample):
                members[stratum][sample.group].append(index)
        for stratum, bases in made.items():
            for index in bases:
                members[stratum][samples[index].group].append(index)
        present = [stratum for stratum in shares if members.get(stratum) and shares[stratum] > 0]
        if not present:
            raise ValueError("no sample belongs to any stratum with a share")
        self._strata = present
        weights = np.array([shares[stratum] * _made_up(stratum, present, shares) for stratum in present])
        self._shares = weights / weights.sum()
        self._groups = {stratum: list(members[stratum].values()) for stratum in present}
        self._boost = boost or {}
        self._weights = {
            stratum: _normal([sum(self._boosts(group)) / len(group) for group in groups])
            for stratum, groups in self._groups.items()
        }

    def draw(self, rng: np.random.Generator) -> Draw:
        """One draw: stratum by share, group evenly, member evenly; of the last two the boosted ones more often."""
        stratum = self._strata[int(rng.choice(len(self._strata), p=self._shares))]
        groups = self._groups[stratum]
        group = groups[int(np.searchsorted(self._weights[stratum], rng.random(), side="right"))]
        if self._boost.keys().isdisjoint(group):
            return Draw(group[int(rng.integers(len(group)))], stratum)
        return Draw(group[int(np.searchsorted(_normal(self._boosts(group)), rng.random(), side="right"))], stratum)

    def _boosts(self, group: Sequence[int]) -> list[float]:
        return [self._boost.get(index, 1.0) for index in group]


def _made_up(stratum: Stratum, present: Sequence[Stratum], shares: Mapping[Stratum, float]) -> float:
    """How much more a stratum has to give, for those of its class that are not there."""
    own, there = ([shares[each] for each in some if class_of(each) == class_of(stratum)] for some in (shares, present))
    return sum(own) / sum(there)


def _normal(weights: Sequence[float]) -> np.ndarray:
    """Cumulative shares, ending in exactly 1, for a search by a number below 1."""
    total = np.cumsum(np.asarray(weights, np.float64))
    cumulative = total / total[-1]
    cumulative[-1] = 1.0
    return np.asarray(cumulative)
