"""What is in a data set before anybody trains on it: counts, sizes, modes, files that cannot be read, copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError
from edge.vision.image import decode
from edge.vision.probe import probe, still_picture
from train.dataset import Dataset
from train.duplicates import Fingerprint, exact_families, families, fingerprint
from train.progress import Count, uncounted
from train.samples import Sample

GRID_SIDE = 96
"""Of a thumbnail in pixels."""


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """One file that could be read."""

    sample: Sample
    format: str
    mode: str
    width: int
    height: int
    size_bytes: int
    print: Fingerprint


@dataclass(frozen=True)
class Inspection:
    """Everything found.

    Attributes:
        facts: of the readable files, in order.
        corrupt: path and reason of the others.
        copies: lists of paths with the same bytes.
        alike: lists of paths that show nearly the same picture, those with the same bytes included.
        leaks: paths that have a copy (same or nearly the same) in another part of the split.
    """

    facts: list[PictureFacts]
    corrupt: list[tuple[str, str]]
    copies: list[list[str]] = field(default_factory=list)
    alike: list[list[str]] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)

    def counts(self) -> list[tuple[str, str, int, int]]:
        """Part, label, files, and different pictures among them."""
        family = _family_of(self)
        groups: dict[tuple[str, str], list[int]] = {}
        for index, fact in enumerate(self.facts):
            groups.setdefault((fact.sample.split, fact.sample.label), []).append(family[index])
        return [(part, label, len(found), len(set(found))) for (part, label), found in sorted(groups.items())]

    def modes(self) -> Counter[str]:
        return Counter(f"{fact.format} {fact.mode}" for fact in self.facts)

    def spread(self, name: str) -> tuple[float, float, float]:
        """Smallest, median and largest of `width`, `height` or `size_bytes`; zeros if no file could be read."""
        values = [getattr(fact, name) for fact in self.facts] or [0]
        return float(np.min(values)), float(np.median(values)), float(np.max(values))


def _family_of(inspection: Inspection) -> list[int]:
    index = {fact.sample.path: number for number, fact in enumerate(inspection.facts)}
    family = list(range(len(index)))
    for paths in inspection.alike:
        for path in paths:
            family[index[path]] = index[paths[0]]
    return family


def inspect_dataset(dataset: Dataset, progress: Count = uncounted) -> Inspection:
    """Opens every file once, apart from clips."""
    store = dataset.store()
    facts: list[PictureFacts] = []
    corrupt: list[tuple[str, str]] = []
    seen: set[str] = set()
    for number, sample in enumerate(dataset.samples):
        progress(number, len(dataset.samples))
        if sample.path in seen or sample.kind == "clip":
            continue
        seen.add(sample.path)
        try:
            data = store.read(sample.path)
            facts.append(_facts(sample, data))
        except ImageError as error:
            corrupt.append((sample.path, str(error)))
    progress(len(dataset.samples), len(dataset.samples))
    return _compared(facts, corrupt)


def _facts(sample: Sample, data: bytes) -> PictureFacts:
    header = probe(data)
    image = decode(data)
    return PictureFacts(
        sample=sample,
        format=header.format,
        mode=_mode(data),
        width=image.shape[1],
        height=image.shape[0],
        size_bytes=len(data),
        print=fingerprint(data, image),
    )


def _mode(data: bytes) -> str:
    """Channels and depth as stored: a 32-bit picture with transparency among JPEGs is worth knowing of."""
    stored = cv2.imdecode(np.frombuffer(still_picture(data), np.uint8), cv2.IMREAD_UNCHANGED)
    channels = 1 if stored is None or stored.ndim == 2 else stored.shape[2]
    name = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGBA"}.get(channels, f"{channels} channels")
    depth = 8 if stored is None else stored.dtype.itemsize * 8
    return f"{name} {depth} bit"


def _compared(facts: list[PictureFacts], corrupt: list[tuple[str, str]]) -> Inspection:
    prints = [fact.print for fact in facts]
    paths = [fact.sample.path for fact in facts]
    roots = families(prints, paths)
    by_root: dict[int, list[int]] = {}
    for index, root in enumerate(roots):
        by_root.setdefault(root, []).append(index)
    alike = [members for members in by_root.values() if len(members) > 1]
    leaks = [
        paths[index]
        for members in alike
        if len({facts[other].sample.split for other in members} - {""}) > 1
        for index in members
    ]
    return Inspection(
        facts,
        corrupt,
        [[paths[index] for index in members] for members in exact_families(prints)],
        [[paths[index] for index in members] for members in alike],
        sorted(leaks),
    )


def sample_grid(dataset: Dataset, samples: Sequence[Sample], columns: int) -> NDArray[np.uint8]:
    """Thumbnails side by side, BGR; pictures that cannot be read stay black. Shape (rows, columns) x `GRID_SIDE`."""
    store = dataset.store()
    rows = -(-len(samples) // columns)
    grid = np.zeros((max(rows, 1) * GRID_SIDE, columns * GRID_SIDE, 3), np.uint8)
    for index, sample in enumerate(samples):
        try:
            image = store.image(sample.path)
        except ImageError:
            continue  # Named in `corrupt`; its place stays black.
        scale = GRID_SIDE / max(image.shape[:2])
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        top, left = index // columns * GRID_SIDE, index % columns * GRID_SIDE
        grid[top : top + small.shape[0], left : left + small.shape[1]] = small
    return grid
