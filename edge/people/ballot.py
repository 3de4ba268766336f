"""Votes of one person's faces, weighed by their quality, and when they are enough."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.vision.analyzer import Face
from edge.vision.classifier import Label

_GOOD_SIZE_PX, _GOOD_SHARPNESS, _LEAST_WEIGHT = 64.0, 100.0, 0.1
_FADE = 0.5 ** (1 / 10)
"""Of a vote with each later one: who uncovers their face is judged by that."""
_SURE_LEAD = 1.0
"""Of weight, before a verdict is said while the person is still there: two good faces, or six small ones.

The sequential test of Wald (1945) with a fixed step for each good face: go on until one side is far enough ahead.
"""


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """A verdict is sure when `min_frames` frames have decided and `agreement` of the weight of all votes agrees."""

    min_frames: int = 3
    agreement: float = 0.6
    forget_after_s: float = 2.0


def weight_of(face: Face) -> float:
    """What a face's vote counts, 0.1 to 1: large, sharp and surely found ones count most."""
    size = min(1.0, min(face.box.width, face.box.height) / _GOOD_SIZE_PX)
    sharp = min(1.0, face.sharpness / _GOOD_SHARPNESS)
    return max(_LEAST_WEIGHT, size * sharp * (1.0 if face.score is None else face.score))


@dataclass(slots=True)
class Ballot:
    """The votes since the person came, or since they began to look different from what was said.

    A look that cannot decide is a vote too, against any verdict: what wavers for long (a hand, a print on a shirt) is
    neither the one nor the other, however often it was taken for one of them.
    """

    since: float
    votes: dict[Label, int] = field(default_factory=lambda: dict.fromkeys(Label, 0))
    weights: dict[Label, float] = field(default_factory=lambda: dict.fromkeys(Label, 0.0))
    p_mask_sum: float = 0.0
    best: Face | None = None

    def add(self, face: Face) -> None:
        weight = weight_of(face)
        self.votes[face.label] += 1
        self.weights = {label: _FADE * known for label, known in self.weights.items()}
        self.weights[face.label] += weight
        self.p_mask_sum *= _FADE
        if face.label is not Label.UNCERTAIN:
            self.p_mask_sum += weight * face.p_mask
        if self.best is None or weight >= weight_of(self.best):
            self.best = face

    def progress(self, rule: DecisionRule) -> float:
        """How far it is towards a verdict, 0 to 1, by number and by lead, of which the lesser counts."""
        return max(0.0, min(1.0, self._decided() / rule.min_frames, self._lead() / _SURE_LEAD))

    def winner(self, rule: DecisionRule) -> Label | None:
        """What enough votes agree on, however little they weigh."""
        if self._decided() < rule.min_frames:
            return None
        leader = self.leader()
        return leader if self.weights[leader] >= rule.agreement * sum(self.weights.values()) else None

    def sure_winner(self, rule: DecisionRule) -> Label | None:
        """Likewise, where the lead is large enough to say it now and not when the person has gone."""
        winner = self.winner(rule)
        return winner if winner is not None and self._lead() >= _SURE_LEAD else None

    def leader(self) -> Label:
        """The decided label with most of the weight; `uncertain` before the first decided vote."""
        best = max((Label.MASK, Label.NO_MASK), key=lambda label: self.weights[label])
        return best if self.weights[best] else Label.UNCERTAIN

    def _decided(self) -> int:
        return self.votes[Label.MASK] + self.votes[Label.NO_MASK]

    def _lead(self) -> float:
        """Weight by which the leading label is ahead of all other votes together."""
        return 2 * self.weights[self.leader()] - sum(self.weights.values())

    def p_mask(self) -> float | None:
        """The weighted mean of the decided votes; None before the first."""
        total = self.weights[Label.MASK] + self.weights[Label.NO_MASK]
        return self.p_mask_sum / total if total else None
