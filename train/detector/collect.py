"""Photos of people and of nobody in published packages, for `fit --unboxed` and `--face-free`.

`further_photos.csv` beside this file names each by its package and its bytes, and says what it shows: `faces`, bare
ones nearly all, or `nothing`, which our detector mostly took for a face. Each was looked at by eye; drawings, statues
and dolls are no `faces`. Packages are npm's, or PyPI's where `pypi:` says so. docs/decisions/0020 tells how they were
found. No picture is in this repository.
"""

from __future__ import annotations

import csv
import logging
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import cv2

from edge.errors import UsageError
from train.detector.data import decode
from train.files import replacing
from train.packages import at_most, pictures_of
from train.storage import digest

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

FOLDERS: Final = {"faces": "unboxed", "nothing": "face_free"}
"""Where a picture goes, by what it shows."""

_LONG_SIDE: Final = 960
"""Pixels: the teacher's largest, and more than a window ever shows of a whole photo."""

_QUALITY: Final = 92


def listed() -> dict[str, tuple[str, str]]:
    """Package and FOLDERS key of each picture, by its digest."""
    text = (files(__package__) / "further_photos.csv").read_text(encoding="utf-8")
    return {row["sha256"]: (row["package"], row["shows"]) for row in csv.DictReader(text.splitlines())}


def collect(packages: Path, output: Path, wanted: dict[str, tuple[str, str]] | None = None) -> dict[str, int]:
    """Writes the listed pictures that are found in a folder as JPEG files, shrunk to 960 pixels.

    Args:
        packages: folder of the packages, as the registry has them or unpacked.
        output: folder; the pictures go into `FOLDERS` below it, named by their digests.
        wanted: as `listed` gives them, the default.

    Returns:
        How many went into each of `FOLDERS`. The log names the packages that pictures are missing of.

    Raises:
        UsageError: a package is damaged, or none of the pictures is there.
        ImageError: a picture is damaged.
        OSError: one cannot be written.
    """
    wanted = listed() if wanted is None else wanted
    found: dict[str, str] = {}
    for data in pictures_of(packages):
        name = digest(data)
        if name in wanted and name not in found:
            found[name] = wanted[name][1]
            _write(data, output / FOLDERS[found[name]] / f"{name}.jpg")
    if not found:
        raise UsageError(f"{packages} holds none of the {len(wanted)} pictures of further_photos.csv")
    missing = sorted({wanted[name][0] for name in wanted.keys() - found.keys()})
    if missing:
        log.warning("pictures that are missing: %d, of %s", len(wanted) - len(found), ", ".join(missing))
    return {folder: sum(shows == what for what in found.values()) for shows, folder in FOLDERS.items()}


def _write(data: bytes, path: Path) -> None:
    image = at_most(decode(data, path.name), _LONG_SIDE)
    _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_bytes(jpeg.tobytes())
