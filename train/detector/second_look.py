"""What nobody boxed: a second look at the photos, by eye.

Annotators leave faces out, and a detector that finds them pays for it as if it had seen ghosts. So every box that one
of several detectors put where nobody had boxed a face was looked at, in random order, without knowing whose box it was
or how sure: `second_look.csv` beside this file, 1,187 boxes in 511 photos. docs/detector.md says which detectors, from
which scores on, and what was found. A photo is known by its bytes, so that a file of the same name elsewhere is none.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import numpy as np

from train.detector.boxes import BARE, DOUBTFUL, MARGINS, MASK, NOTHING, UNTOLD, Boxes, to_our_rule
from train.storage import digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from train.detector.data import Photo

_KINDS: Final = {"mask": MASK, "no_mask": BARE, "face": UNTOLD, "doubtful": DOUBTFUL, "nothing": NOTHING}
_SIDES: Final = ("left", "top", "width", "height")


@dataclass(frozen=True, slots=True)
class Look:
    """Boxes of one photo, shape (n, 4), and what each of them shows, shape (n,)."""

    boxes: Boxes
    kinds: NDArray[np.int64]


_NOTHING_SEEN: Final = Look(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))


def look_at(jpeg: bytes) -> Look:
    """What the second look saw in a photo, without boxes if it was not looked at or all was boxed.

    Args:
        jpeg: the photo's file.
    """
    return _looks().get(digest(jpeg), _NOTHING_SEEN)


def completed(photo: Photo) -> Photo:
    """A photo with the faces, certain and doubtful ones, that nobody had boxed."""
    look = look_at(photo.jpeg)
    seen = look.kinds != NOTHING
    boxes = look.boxes[seen]
    return replace(
        photo,
        given=np.concatenate([photo.given, boxes]),
        boxes=np.concatenate([photo.boxes, to_our_rule(boxes, MARGINS["second_look"])]),
        kinds=np.concatenate([photo.kinds, look.kinds[seen]]),
    )


@cache
def _looks() -> dict[str, Look]:
    rows = defaultdict(list)
    text = (files(__package__) / "second_look.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        rows[row["sha256"]].append(([float(row[side]) for side in _SIDES], _KINDS[row["seen"]]))
    return {
        name: Look(np.array([box for box, _ in found], np.float32), np.array([kind for _, kind in found], np.int64))
        for name, found in rows.items()
    }
