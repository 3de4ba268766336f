"""Counts of what was found, and the words for them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from edge.messages import ImageRecord

KINDS = ("failed", "uncertain", "mixed", "no_mask", "mask", "no_face")
"""What a picture can be, the ones to look at first in front. `failed`: it could not be read."""
KIND_WORDS = {"no_mask": "no mask", "no_face": "no face"}


def kind_of(record: ImageRecord) -> str:
    return record.summary or "failed"


def words(kind: str) -> str:
    return KIND_WORDS.get(kind, kind)


@dataclass
class Tally:
    """How many pictures of each kind, and faces of each label, so far; and which models found them."""

    pictures: Counter[str] = field(default_factory=Counter)
    faces: Counter[str] = field(default_factory=Counter)
    detector: str | None = None
    classifier: str | None = None

    def add(self, record: ImageRecord) -> None:
        self.pictures[kind_of(record)] += 1
        self.faces.update(face.label for face in record.faces)
        self.detector, self.classifier = record.model.detector, record.model.classifier


def share(part: int, whole: int) -> str:
    """`12.5 %`; never `0.0 %` of something or `100.0 %` of not all."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %"


def counted(number: int, one: str, many: str) -> str:
    """`1 picture`, `2,000 pictures`."""
    return f"{number:,} {one if number == 1 else many}"
