"""The comparison: our file and others on one split, as figures and as a table."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

from train.detector.data import read_face_free, read_photos
from train.detector.measure import Contender, find, race, summary

if TYPE_CHECKING:
    from pathlib import Path

    from train.detector.data import Photo

_COLUMNS: Final = (
    ("AP 0.5 all / mask / bare", ("ap50", "ap50_mask", "ap50_bare")),
    ("AP 0.35 all / mask / bare", ("ap35", "ap35_mask", "ap35_bare")),
    ("AP 0.5, 16-32 / 32-64 / 64+ px", ("ap50_16", "ap50_32", "ap50_64")),
    ("AP 0.5 by our rule, all / mask / bare", ("ap50_rule", "ap50_mask_rule", "ap50_bare_rule")),
    ("recall / precision", ("recall", "precision")),
    (
        "AP 0.35, all faces boxed, all / mask / bare",
        ("ap35_completed", "ap35_mask_completed", "ap35_bare_completed"),
    ),
    ("recall / precision, all faces boxed", ("recall_completed", "precision_completed")),
    ("false boxes a face-free photo / photos with one", ("alarms", "alarmed")),
    ("ms, median / least", ("ms", "ms_least")),
)


@dataclass(frozen=True, slots=True)
class Part:
    """The photos that are measured on.

    Attributes:
        photos: with faces.
        face_free: without.
    """

    photos: list[Photo]
    face_free: list[Photo]


def read_part(data: Path, split: str) -> Part:
    """Reads a split.

    Args:
        data: the folder of MANIFEST.csv.
        split: val to choose by, test to report.
    """
    return Part(read_photos(data, split), read_face_free(data, split))


def compare(part: Part, contenders: list[Contender]) -> dict[str, dict[str, float]]:
    """Measures each detector, on one thread.

    Args:
        part: from `read_part`.
        contenders: the detectors.

    Returns:
        By name, the figures of `measure.summary`, and the times of `measure.race`: `ms` is the median over the photos.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        results = {each.name: summary(find(each, part.photos), find(each, part.face_free)) for each in contenders}
        for name, times in race(contenders, part.photos).items():
            results[name] |= {"ms": statistics.median(times), "ms_least": min(times)}
    finally:
        cv2.setNumThreads(threads)
    return results


def table(results: dict[str, dict[str, float]]) -> str:
    """Markdown, a line for each detector; shares with three places, times with two."""
    shown = [column for column in _COLUMNS if all(name in row for row in results.values() for name in column[1])]
    lines = ["| detector | " + " | ".join(title for title, _ in shown) + " |", "|---" * (len(shown) + 1) + "|"]
    for name, row in results.items():
        cells = [
            " / ".join(f"{row[key]:.2f}" if key.startswith("ms") else f"{row[key]:.3f}" for key in keys)
            for _, keys in shown
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def rounded(figures: dict[str, float]) -> dict[str, Any]:
    """For the card: four places, None for what could not be measured."""
    return {name: None if np.isnan(value) else round(float(value), 4) for name, value in figures.items()}
