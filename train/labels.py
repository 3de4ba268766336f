"""What the folders and columns of data sets in the wild call the classes and the parts of a split."""

from __future__ import annotations

import re

MASK, NO_MASK, INCORRECT, NO_FACE = "mask", "no_mask", "incorrect", "no_face"
"""Labels of samples. `incorrect` is a mask below the nose or under the chin, `no_face` a picture without a person."""

_WORDS = {
    MASK: {
        "mask",
        "masked",
        "withmask",
        "wearingmask",
        "wearmask",
        "facemask",
        "maskon",
        "correct",
        "correctmask",
        "yes",
    },
    NO_MASK: {
        *("nomask", "withoutmask", "notmask", "notwearingmask", "unmasked", "notmasked", "nonmask", "nonmasked"),
        *("maskoff", "without", "bare", "no"),
    },
    INCORRECT: {
        *("incorrect", "incorrectmask", "incorrectlymasked", "maskwearedincorrect", "maskwornincorrectly"),
        *("wrongmask", "improper", "impropermask", "badmask"),
    },
    NO_FACE: {"noface", "notaface", "nofaces", "background", "negative", "negatives"},
}
_PARTS = {
    "train": {"train", "training", "trainset"},
    "val": {"val", "valid", "validation", "dev", "validationset"},
    "test": {"test", "testing", "teset", "testset"},
}


def _bare(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def label_of_name(name: str) -> str | None:
    """The label that a folder name or a column value stands for, None if it is no class name.

    Letter case, digits, blanks and punctuation do not count: `With_Mask`, `with mask` and `WithMask` are one name.
    """
    bare = _bare(name)
    return next((label for label, words in _WORDS.items() if bare in words), None)


def part_of_name(name: str) -> str | None:
    """`train`, `val` or `test` for a folder name that stands for a part of a split, else None."""
    bare = _bare(name)
    return next((part for part, words in _PARTS.items() if bare in words), None)
