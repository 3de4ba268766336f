"""Which files show the same picture: same bytes, or nearly the same pixels. Copies across a split are a leak."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.geometry import Image

NEAR_PHASH, NEAR_DHASH = 4, 8
"""Bits of 64 that may differ. Read by eye on the reference set: at these two it was always the same picture; at pHash 4
with dHash from 10 on different bare faces began to match."""

_UNIFORM = 4.0
"""Standard deviation of the grey levels under which a picture is a plain surface and like every other one."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a picture is recognised by; the two perceptual hashes are None for a plain surface."""

    sha256: str
    phash: int | None
    dhash: int | None
    mirrored_phash: int | None
    mirrored_dhash: int | None


def fingerprint(data: bytes, image: Image) -> Fingerprint:
    """Fingerprint of a file's bytes and of its pixels, the mirror image too."""
    digest = hashlib.sha256(data).hexdigest()
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    if float(grey.std()) < _UNIFORM:
        return Fingerprint(digest, None, None, None, None)
    mirror = np.ascontiguousarray(grey[:, ::-1])
    return Fingerprint(digest, _phash(grey), _dhash(grey), _phash(mirror), _dhash(mirror))


def _phash(grey: NDArray[np.uint8]) -> int:
    """Sign against the median of the 8 x 8 lowest frequencies (Zauner 2010), 64 bits."""
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    return _packed(low > np.median(low[1:]))


def _dhash(grey: NDArray[np.uint8]) -> int:
    """Whether each of 8 x 8 cells is brighter than its right neighbour, 64 bits."""
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    return _packed((small[:, 1:] > small[:, :-1]).ravel())


def _packed(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


class _Families:
    """Sets that grow together (union-find)."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def root(self, index: int) -> int:
        while self._parent[index] != index:
            self._parent[index] = self._parent[self._parent[index]]
            index = self._parent[index]
        return index

    def join(self, a: int, b: int) -> None:
        first, second = sorted((self.root(a), self.root(b)))
        self._parent[second] = first


def exact_families(prints: Sequence[Fingerprint]) -> list[list[int]]:
    """Indices of files with the same bytes, two or more in each list."""
    by_hash: dict[str, list[int]] = defaultdict(list)
    for index, one in enumerate(prints):
        by_hash[one.sha256].append(index)
    return [family for family in by_hash.values() if len(family) > 1]


def families(prints: Sequence[Fingerprint], names: Sequence[str] = (), groups: Sequence[str] = ()) -> list[int]:
    """For each file the index of the first file that shows the same picture; that is its own for most.

    Joined are same bytes, near pixels (also mirrored), and, if names are given, files that a publisher's augmentation
    made of one original. A plain surface is joined by its bytes alone: it shows nobody, and a black frame is among the
    augmented files of many. If groups are given, each stays whole.
    """
    joined = _Families(len(prints))
    for family in exact_families(prints):
        for index in family[1:]:
            joined.join(family[0], index)
    for first, second in _near_pairs(prints):
        joined.join(first, second)
    by_name: dict[str, int] = {}
    for index, name in enumerate(names):
        stem = _augmentation_family(name)
        if stem and prints[index].phash is not None:
            joined.join(by_name.setdefault(stem, index), index)
    by_group: dict[str, int] = {}
    for index, group in enumerate(groups):
        joined.join(by_group.setdefault(group, index), index)
    return [joined.root(index) for index in range(len(prints))]


def augmented_beside_plain(names: Iterable[str]) -> list[str]:
    """The names that an augmenter gave, if there are others too: `families` joins none of them with its original."""
    given = list(names)
    augmented = [name for name in given if _augmentation_family(name)]
    return augmented if len(augmented) < len(given) else []


def _augmentation_family(path: str) -> str | None:
    """`Augmented_12_334` and `Augmented_12_87` come from one picture of one folder; None for any other name."""
    folder, _, name = path.rpartition("/")
    found = re.match(r"(?i)(?:augmented|aug)[_-](\d+)[_-]\d+", name)
    # Parts of a published split share the numbering, so that the class folder alone is taken from the path.
    return f"{folder.rpartition('/')[2]}/{found[1]}" if found else None


def _near_pairs(prints: Sequence[Fingerprint]) -> Iterable[tuple[int, int]]:
    """Pairs that look the same, each index against all earlier ones."""
    chosen = [index for index, one in enumerate(prints) if one.phash is not None]
    if not chosen:
        return
    kinds = ("phash", "dhash", "mirrored_phash", "mirrored_dhash")
    table = {kind: np.array([getattr(prints[index], kind) for index in chosen], np.uint64) for kind in kinds}
    for row in range(1, len(chosen)):
        near = np.zeros(row, bool)
        for phash, dhash in (("phash", "dhash"), ("mirrored_phash", "mirrored_dhash")):
            close = _distance(table["phash"][:row], table[phash][row]) <= NEAR_PHASH
            near |= close & (_distance(table["dhash"][:row], table[dhash][row]) <= NEAR_DHASH)
        for other in np.nonzero(near)[0]:
            yield chosen[int(other)], chosen[row]


def _distance(hashes: NDArray[np.uint64], one: np.uint64) -> NDArray[np.uint8]:
    """Bits that differ."""
    return np.asarray(np.bitwise_count(hashes ^ one), np.uint8)
