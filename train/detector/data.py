"""What the detector learns from: photos with boxes, photos without a face, and single faces to paste.

The folder is laid out as MANIFEST.csv describes: `detection/annotations.json` (COCO, with the split of each photo),
`detection/photos.zip`, `detection/no_face.zip`, and face crops in `faces/*.zip`. Pictures stay JPEG bytes until they
are asked for.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zipfile import ZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

from train.detector.boxes import BARE, INCORRECT, MARGINS, MASK, Boxes, to_our_rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.vision.geometry import Image

_KIND_OF_CATEGORY: Final = {"mask": MASK, "no_mask": BARE, "incorrect": INCORRECT}
_NO_BOXES: Final = np.zeros((0, 4), np.float32)


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo and the faces that somebody boxed in it.

    Attributes:
        name: file name inside its archive.
        source: whose boxes these are, a key of `MARGINS`; "no_face" for photos without a face.
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
        return decode(self.jpeg)


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
        return decode(self.jpeg)


def decode(jpeg: bytes) -> Image:
    """Decodes a picture to BGR.

    Raises:
        ValueError: the bytes are no picture.
    """
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"expected a picture, got {len(jpeg)} bytes that are none")
    return np.asarray(image, np.uint8)


def read_photos(data: Path, split: str) -> list[Photo]:
    """Reads the boxed photos of a split, in the order of the annotation file."""
    content: dict[str, Any] = json.loads((data / "detection" / "annotations.json").read_text())
    categories = {row["id"]: _KIND_OF_CATEGORY[row["name"]] for row in content["categories"]}
    rows = defaultdict(list)
    for row in content["annotations"]:
        rows[row["image_id"]].append(row)
    photos = []
    with ZipFile(data / "detection" / "photos.zip") as archive:
        for image in content["images"]:
            if image["split"] != split:
                continue
            given = np.array([row["bbox"] for row in rows[image["id"]]], np.float32).reshape(-1, 4)
            photos.append(
                Photo(
                    name=image["file_name"],
                    source=image["source"],
                    split=split,
                    jpeg=archive.read(image["file_name"]),
                    given=given,
                    boxes=to_our_rule(given, MARGINS[image["source"]]),
                    kinds=np.array([categories[row["category_id"]] for row in rows[image["id"]]], np.int64),
                )
            )
    return photos


def read_face_free(data: Path, split: str) -> list[Photo]:
    """Reads the photos of a split that show nobody's face."""
    return [
        Photo(
            name=member,
            source="no_face",
            split=split,
            jpeg=jpeg,
            given=_NO_BOXES,
            boxes=_NO_BOXES,
            kinds=np.zeros(0, np.int64),
            bait="detector_bait" in row["flags"].split(),
        )
        for row, member, jpeg in _members(data, split, "detection/no_face.zip")
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
    for row, member, jpeg in _members(data, split, "faces/"):
        flags = row["flags"].split()
        unfit = {"augmented", "not_photo", "near_uniform", "several_faces"}.intersection(flags)
        if row["label"] not in kinds or unfit or taken[row["group_id"]] >= per_group:
            continue
        taken[row["group_id"]] += 1
        faces.append(Face(member, kinds[row["label"]], row["kind"], row["group_id"], split, jpeg))
    return faces


def _members(data: Path, split: str, prefix: str) -> Iterator[tuple[dict[str, str], str, bytes]]:
    """Rows of the manifest below a path, with the member's name and bytes."""
    archives: dict[str, ZipFile] = {}
    try:
        with (data / "MANIFEST.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                if row["split"] != split or not row["path"].startswith(prefix):
                    continue
                archive, member = row["path"].split("!")
                if archive not in archives:
                    archives[archive] = ZipFile(data / archive)
                yield row, member, archives[archive].read(member)
    finally:
        for opened in archives.values():
            opened.close()
