"""Face boxes of photos out of COCO files (`annotations.json`) that lie beside them or above."""

from __future__ import annotations

import json
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from edge.errors import UsageError
from edge.vision.geometry import Box
from train.labels import INCORRECT, MASK, NO_MASK
from train.samples import ARCHIVE_MARK

ANNOTATIONS = "annotations.json"
_BOX_LABELS = {"mask": MASK, "no_mask": NO_MASK, "incorrect": INCORRECT}

Faces = list[tuple[Box, str]]
"""Boxes in pixels of a photo, each with its label."""


def faces_of(root: Path, photos: Iterable[str]) -> dict[str, Faces]:
    """The faces of each photo that has an entry in the nearest annotations.

    An entry is that of a photo if its `file_name` is the way to the photo from the annotations, or inside its archive;
    or else if it has the photo's name, and no other entry and no other photo has it.

    Args:
        root: what the paths are relative to.
        photos: paths as in a manifest.

    Raises:
        UsageError: annotations are not of the COCO form.
    """
    paths = dict.fromkeys(photos)
    nearest = {folder: _nearest(root, folder) for folder in {_folder(path) for path in paths}}
    by_folder: dict[PurePosixPath, dict[str, str]] = defaultdict(dict)
    for path in paths:
        folder = nearest[_folder(path)]
        if folder is not None:
            by_folder[folder][path] = _way(folder, path)
    found: dict[str, Faces] = {}
    for folder, ways in by_folder.items():
        found |= _matched(ways, *_entries(root / folder / ANNOTATIONS))
    return found


def why_none(root: Path, path: str) -> str:
    """What is to be done about a photo that `faces_of` has nothing of."""
    folder = _nearest(root, _folder(path))
    if folder is None:
        return f"there is no {ANNOTATIONS} beside it or above; put one there, or label it no_face or drop"
    return (
        f"{root / folder / ANNOTATIONS} has no entry of it, or one that may be another photo's; name it there "
        f"{_way(folder, path)!r}, or label it no_face or drop"
    )


def _folder(path: str) -> PurePosixPath:
    return PurePosixPath(path.partition(ARCHIVE_MARK)[0]).parent


def _nearest(root: Path, folder: PurePosixPath) -> PurePosixPath | None:
    for each in (folder, *folder.parents):
        if (root / each / ANNOTATIONS).is_file():
            return each
        if each.name == "..":  # What is left of it lies below, not above.
            break
    return None


def _way(folder: PurePosixPath, path: str) -> str:
    """From the annotations to the photo, or inside its archive."""
    archive, mark, member = path.partition(ARCHIVE_MARK)
    return posixpath.normpath(member if mark else PurePosixPath(archive).relative_to(folder).as_posix())


def _matched(ways: dict[str, str], faces: dict[str, Faces], names: Counter[str]) -> dict[str, Faces]:
    of_way, of_name = Counter(ways.values()), Counter(map(posixpath.basename, ways.values()))
    by_name = {posixpath.basename(way): way for way in faces}
    found = {}
    for path, way in ways.items():
        name = posixpath.basename(way)
        if way in faces:
            if of_way[way] == 1:
                found[path] = faces[way]
        elif names[name] == of_name[name] == 1:
            found[path] = faces[by_name[name]]
    return found


def _entries(path: Path) -> tuple[dict[str, Faces], Counter[str]]:
    """The faces of each entry by its way, and how many entries there are of each bare name."""
    try:
        coco = json.loads(path.read_text(encoding="utf-8"))
        labels = {category["id"]: _BOX_LABELS[category["name"]] for category in coco["categories"]}
        ways = {image["id"]: posixpath.normpath(image["file_name"]) for image in coco["images"]}
        faces: dict[str, Faces] = {way: [] for way in ways.values()}
        for note in coco["annotations"]:
            x, y, width, height = (round(value) for value in note["bbox"])
            faces[ways[note["image_id"]]].append((Box(x, y, width, height), labels[note["category_id"]]))
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UsageError(f"{path} is not of the COCO form: {error!r}") from error
    return faces, Counter(map(posixpath.basename, ways.values()))
