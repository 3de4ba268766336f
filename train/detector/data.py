"""What the detector learns from: photos with boxes, photos without a face, and single faces to paste.

The folder is laid out as MANIFEST.csv describes: `detection/annotations.json` (COCO, with the split of each photo),
`detection/photos.zip`, `detection/no_face.zip`, and face crops in `faces/*.zip`. Pictures stay JPEG bytes until they
are asked for.
"""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError, UsageError
from edge.vision.image import decode as decode_picture
from edge.vision.image import read_bytes
from train.dataset import PICTURE_SUFFIXES
from train.detector.boxes import BARE, INCORRECT, MARGINS, MASK, Boxes, to_our_rule
from train.storage import PictureStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.vision.geometry import Image

_KIND_OF_CATEGORY: Final = {"mask": MASK, "no_mask": BARE, "incorrect": INCORRECT}
_SOURCES: Final = ("andrewmvd", "macwin")
NO_FACE: Final = "no_face"
NOBODY: Final = "nobody"
_COLUMNS: Final = {"path", "label", "split", "kind", "group_id", "flags"}
_NO_BOXES: Final = np.zeros((0, 4), np.float32)


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo and the faces that somebody boxed in it.

    Attributes:
        name: file name inside its archive.
        source: whose boxes these are, a key of `MARGINS`; NO_FACE for photos without a face, NOBODY for photos whose
            faces nobody has boxed.
        split: train, val or test.
        jpeg: the file.
        given: boxes as published, shape (n, 4).
        boxes: the same boxes by our rule.
        kinds: MASK, BARE or INCORRECT of each box, shape (n,).
        bait: animals and objects that face detectors fire on.
    """

    name: str
    source: str
    split: str
    jpeg: bytes
    given: Boxes
    boxes: Boxes
    kinds: NDArray[np.int64]
    bait: bool = False

    def pixels(self) -> Image:
        """Decodes the photo, BGR."""
        return decode(self.jpeg, self.name)


@dataclass(frozen=True, slots=True)
class Face:
    """One face as a small picture; `group` joins pictures of the same original, `framing` says what it was cut from."""

    name: str
    kind: int
    framing: str
    group: str
    split: str
    jpeg: bytes

    def pixels(self) -> Image:
        """Decodes the picture, BGR."""
        return decode(self.jpeg, self.name)


def decode(data: bytes, name: str) -> Image:
    """Decodes a picture to BGR.

    Raises:
        ImageError: the bytes are no picture, damaged, or of too many pixels.
    """
    try:
        return decode_picture(data)
    except ImageError as error:
        raise ImageError(f"{name} cannot be decoded: {error}") from error


def read_file(path: Path) -> bytes:
    """The bytes of a picture file.

    Raises:
        ImageError: it cannot be read, or is too large.
    """
    try:
        return read_bytes(path)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def files_of(data: Path) -> list[Path]:
    """The files that a folder of this layout is read from."""
    return [data / "MANIFEST.csv", data / "detection" / "annotations.json", *data.rglob("*.zip")]


def read_photos(data: Path, split: str) -> list[Photo]:
    """Reads the boxed photos of a split, in the order of the annotation file.

    Raises:
        UsageError: a file is missing or not of its form, or the split has no photo.
        ImageError: a photo is missing in the archive.
    """
    path, store = data / "detection" / "annotations.json", PictureStore(data)
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        categories = {row["id"]: _KIND_OF_CATEGORY[row["name"]] for row in content["categories"]}
        rows = defaultdict(list)
        for row in content["annotations"]:
            rows[row["image_id"]].append((row["bbox"], categories[row["category_id"]]))
        images = [image for image in content["images"] if image["split"] == split]
        photos = [_photo(image, rows[image["id"]], store) for image in images]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is not of the COCO form: {error!r}") from error
    if not photos:
        raise UsageError(f"{path} has no photos of the split {split}")
    return photos


def _photo(image: dict[str, Any], boxes: list[tuple[list[float], int]], store: PictureStore) -> Photo:
    """A photo of the annotation file, whose boxes come with their kinds."""
    name, source = image["file_name"], image["source"]
    if source not in _SOURCES:
        raise UsageError(f"{name}: no rule for the boxes of the source {source}; known are {' and '.join(_SOURCES)}")
    given = np.array([_box(box, image) for box, _ in boxes], np.float32).reshape(-1, 4)
    return Photo(
        name=name,
        source=source,
        split=image["split"],
        jpeg=store.read(f"detection/photos.zip!{name}"),
        given=given,
        boxes=to_our_rule(given, MARGINS[source]),
        kinds=np.array([kind for _, kind in boxes], np.int64),
    )


def _box(numbers: list[float], image: dict[str, Any]) -> list[float]:
    """Left, top, width, height of a face in pixels of its photo; it may reach beyond the edge."""
    left, top, width, height = numbers if len(numbers) == 4 else [math.nan] * 4
    inside = left < image["width"] and top < image["height"] and left + width > 0 and top + height > 0
    if not (all(map(math.isfinite, numbers)) and width > 0 and height > 0 and inside):
        raise UsageError(f"{image['file_name']}: {numbers} is no box in {image['width']} x {image['height']} pixels")
    return numbers


def read_face_free(data: Path, split: str) -> list[Photo]:
    """Reads the photos of a split that show nobody's face."""
    return [
        Photo(
            name=row["path"],
            source=NO_FACE,
            split=split,
            jpeg=jpeg,
            given=_NO_BOXES,
            boxes=_NO_BOXES,
            kinds=np.zeros(0, np.int64),
            bait="detector_bait" in row["flags"].split(),
        )
        for row, jpeg in _members(data, split, "detection/no_face.zip")
    ]


def read_folder(folder: Path, source: str) -> list[Photo]:
    """Reads every picture below a folder, in the order of their names, to train on.

    Args:
        folder: pictures without boxes.
        source: NO_FACE if they show nobody's face, NOBODY if the teacher is to say where the faces are.

    Raises:
        UsageError: there is none.
        ImageError: one cannot be read.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
    if not paths:
        raise UsageError(f"{folder} holds no picture ({', '.join(sorted(PICTURE_SUFFIXES))})")
    nothing = np.zeros(0, np.int64)
    return [
        Photo(str(path), source, "train", read_file(path), given=_NO_BOXES, boxes=_NO_BOXES, kinds=nothing)
        for path in paths
    ]


def read_faces(data: Path, split: str, per_group: int = 2) -> list[Face]:
    """Reads face crops, at most so many of a group, skipping drawings, black frames and augmented copies.

    Args:
        data: the folder.
        split: train, val or test.
        per_group: pictures of one original or person that are kept.
    """
    kinds = {"mask": MASK, "no_mask": BARE, "incorrect": INCORRECT}
    taken: dict[str, int] = defaultdict(int)
    faces = []
    for row, jpeg in _members(data, split, "faces/"):
        flags = row["flags"].split()
        unfit = {"augmented", "not_photo", "near_uniform", "several_faces"}.intersection(flags)
        if row["label"] not in kinds or unfit or taken[row["group_id"]] >= per_group:
            continue
        taken[row["group_id"]] += 1
        faces.append(Face(row["path"], kinds[row["label"]], row["kind"], row["group_id"], split, jpeg))
    return faces


def _members(data: Path, split: str, prefix: str) -> Iterator[tuple[dict[str, str], bytes]]:
    """Rows of the manifest below a path, with the bytes of the picture.

    Raises:
        UsageError: the manifest or an archive is missing or not of its form.
        ImageError: a picture is missing in its archive.
    """
    path = data / "MANIFEST.csv"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # Spreadsheets write a mark at the beginning.
            rows = csv.DictReader(file)
            missing = _COLUMNS.difference(rows.fieldnames or ())
            if missing:
                raise UsageError(f"{path} lacks the columns {', '.join(sorted(missing))}")
            whole = (_whole(row, f"{path}, line {rows.line_num}") for row in rows)
            wanted = [row for row in whole if row["split"] == split and row["path"].startswith(prefix)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    store = PictureStore(data)
    for row in wanted:
        yield row, store.read(row["path"])


def _whole(row: dict[str, str], where: str) -> dict[str, str]:
    if None in row or None in row.values():  # csv.DictReader's way to say it
        raise UsageError(f"{where}: has more or fewer columns than the first line; was the file cut off?")
    return row
