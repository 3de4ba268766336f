"""One labelled face or picture of a data set, and the manifest file that lists them."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge.errors import UsageError
from edge.vision.geometry import Box
from train.files import replacing

ARCHIVE_MARK = "!"
"""Divides archive and member in a path: `faces/extra.zip!mask/12.jpg`."""

PARTS = ("train", "val", "test")

LABELS = ("mask", "no_mask", "incorrect", "no_face", "mixed", "drop", "")
"""What a manifest may say: `mixed` is a picture of several people, `drop` one that is left out, and a photo whose boxes
carry the labels has none."""

COLUMNS = (
    *("path", "label", "published_label", "source", "split", "ref_split", "group_id", "kind"),
    *("face_x", "face_y", "face_w", "face_h", "width", "height", "sha256", "flags"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture, or one face box in a photo.

    Attributes:
        path: relative to the data set's root; `archive!member` inside a zip.
        label: one of `LABELS`.
        split: `train`, `val`, `test`, or empty for a sample that takes part in none.
        group: joins samples that show the same original; a group is never on two sides of a split.
        kind: `crop`, `context_crop`, `portrait`, `photo`, or `boxed` for one box of a photo.
        box: the face in pixels of the picture, if known.
        published_split, published_label: as the publisher had them.
        flags: what is special about it, for example `simulated_mask` or `augmented`.
    """

    path: str
    label: str
    split: str = ""
    group: str = ""
    kind: str = "crop"
    box: Box | None = None
    source: str = ""
    published_split: str = ""
    published_label: str = ""
    sha256: str = ""
    width: int = 0
    height: int = 0
    flags: frozenset[str] = field(default_factory=frozenset)

    @property
    def name(self) -> str:
        """The last part of the path; dots in it are part of the name."""
        return self.path.rpartition(ARCHIVE_MARK)[2].rpartition("/")[2]

    @property
    def drawn_on(self) -> bool:
        return "simulated_mask" in self.flags


def _box(row: Mapping[str, str]) -> Box | None:
    values = [row.get(f"face_{axis}") or "" for axis in "xywh"]
    if not all(values):
        return None
    x, y, width, height = (round(float(value)) for value in values)
    return Box(x, y, width, height) if width > 0 and height > 0 else None


def read_manifest(path: Path) -> list[Sample]:
    """Reads a manifest; columns that are missing count as empty.

    Raises:
        UsageError: no such file, it has no columns `path` and `label`, or a line holds what it cannot; the line is
            named.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # Spreadsheets write a mark at the beginning.
            reader = csv.DictReader(file)
            if not {"path", "label"} <= set(reader.fieldnames or ()):
                raise UsageError(f"{path} is no manifest: it needs the columns path and label")
            return [_checked(row, f"{path}, line {reader.line_num}") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _checked(row: Mapping[str, str], where: str) -> Sample:
    if None in row or None in row.values():  # csv.DictReader's way to say it
        raise UsageError(f"{where}: has more or fewer columns than the first line; was the file cut off?")
    if row["label"] not in LABELS:
        raise UsageError(f"{where}: label {row['label']!r} is none of {', '.join(filter(None, LABELS))}")
    part = row.get("split") or ""
    if part not in ("", *PARTS):
        raise UsageError(f"{where}: split {part!r} is none of {', '.join(PARTS)}; empty for a picture in none of them")
    try:
        return _sample(row)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{where}: sizes and face boxes are numbers: {error}") from error


def _sample(row: Mapping[str, str]) -> Sample:
    return Sample(
        path=row["path"],
        label=row["label"],
        split=row.get("split") or "",
        group=row.get("group_id") or row["path"],
        kind=row.get("kind") or "crop",
        box=_box(row),
        source=row.get("source") or "",
        published_split=row.get("ref_split") or "",
        published_label=row.get("published_label") or "",
        sha256=row.get("sha256") or "",
        width=round(float(row.get("width") or 0)),  # tables of other programs say 640.0
        height=round(float(row.get("height") or 0)),
        flags=frozenset((row.get("flags") or "").split()),
    )


def write_manifest(path: Path, samples: Iterable[Sample]) -> None:
    """Writes a manifest; the same samples give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        plain = csv.writer(file, lineterminator="\n")
        quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        plain.writerow(COLUMNS)
        for sample in samples:
            row = _row(sample)
            # A plain writer takes no notice of it, but every reader does.
            (quoted if any("\r" in str(value) for value in row) else plain).writerow(row)


def _row(sample: Sample) -> list[str | int]:
    box = sample.box
    corners = ("", "", "", "") if box is None else (box.x, box.y, box.width, box.height)
    return [
        *(sample.path, sample.label, sample.published_label, sample.source, sample.split),
        *(sample.published_split, sample.group, sample.kind, *corners),
        *(sample.width or "", sample.height or "", sample.sha256, " ".join(sorted(sample.flags))),
    ]


def way_to(root: Path, start: Path) -> str:
    """How a manifest in the folder `start` names `root`.

    Raises:
        UsageError: it cannot, for the way is not UTF-8, as a manifest is.
    """
    way = os.path.relpath(root.resolve(), start.resolve())
    if way.encode(errors="ignore").decode() != way:
        raise UsageError(f"{way!a} is not UTF-8, so no manifest can name it; rename the folder")
    return way


def rebased(samples: Iterable[Sample], old_root: Path, new_root: Path) -> list[Sample]:
    """The same samples with paths relative to another folder, so that a manifest can lie away from its data.

    Raises:
        UsageError: see `way_to`.
    """
    prefix = way_to(old_root, new_root)
    return [
        sample if Path(sample.path).is_absolute() else replace(sample, path=os.path.normpath(f"{prefix}/{sample.path}"))
        for sample in samples
    ]
