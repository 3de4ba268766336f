"""Opens whatever DATA is: a folder of class folders, a zip of one, or a manifest with boxed photos beside it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from edge.errors import UsageError
from edge.vision.geometry import Box
from train.labels import INCORRECT, MASK, NO_MASK, label_of_name, part_of_name
from train.samples import ARCHIVE_MARK, Sample, read_manifest
from train.storage import PictureStore

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
_ANNOTATIONS = "annotations.json"
_BOX_LABELS = {"mask": MASK, "no_mask": NO_MASK, "incorrect": INCORRECT}


@dataclass(frozen=True)
class Dataset:
    """Samples with the folder that their paths are relative to."""

    root: Path
    samples: list[Sample]

    def store(self) -> PictureStore:
        """A new reader of the pictures, one for each process."""
        return PictureStore(self.root)

    def files(self) -> list[Path]:
        """The files that the pictures are in."""
        return [self.root / path for path in {sample.path.partition(ARCHIVE_MARK)[0] for sample in self.samples}]

    def part(self, name: str) -> list[Sample]:
        """The samples of `train`, `val` or `test`."""
        return [sample for sample in self.samples if sample.split == name]


def open_dataset(data: Path) -> Dataset:
    """Reads the list of samples; no picture is opened.

    Raises:
        UsageError: DATA is neither a folder, a zip nor a manifest, or holds no class folder.
    """
    if data.is_dir():
        names = sorted(path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file())
        return Dataset(data, _from_names(names, "", data))
    if data.suffix.lower() == ".zip" and data.is_file():
        names = PictureStore(data.parent).members(data.name)
        return Dataset(data.parent, _from_names(names, data.name + ARCHIVE_MARK, data))
    if data.suffix.lower() == ".csv":
        return Dataset(data.parent, read_manifest(data))
    raise UsageError(f"{data} is no folder, zip or manifest (.csv)")


def _from_names(names: Iterable[str], prefix: str, data: Path) -> list[Sample]:
    """Labels and parts from folder names; the class folder nearest to the file decides."""
    samples = []
    for name in names:
        path = PurePosixPath(name)
        # Only the last suffix says what a file is: 4.4.png and 27.9.jpg are pictures named "4.4" and "27.9".
        if path.suffix.lower() not in PICTURE_SUFFIXES or path.name.startswith(".") or "__MACOSX" in path.parts:
            continue
        folders = path.parts[-2::-1]
        label = next((found for folder in folders if (found := label_of_name(folder))), None)
        if label is None:
            continue
        if name.encode(errors="ignore").decode() != name:
            raise UsageError(f"{data} holds a picture whose name is not UTF-8, {name!a}; rename it")
        part = next((found for folder in folders if (found := part_of_name(folder))), "")
        samples.append(
            Sample(
                path=prefix + name,
                label=label,
                split=part,
                group=prefix + name,
                source=data.stem,
                published_split=part,
                published_label=label,
            )
        )
    if not samples:
        raise UsageError(f"{data} holds no pictures in class folders (Mask, with_mask, No_mask, WithoutMask, ...)")
    return samples


def with_boxes(dataset: Dataset) -> Dataset:
    """Replaces each photo that has COCO annotations beside its archive by one sample a face box.

    Photos without annotations (pictures without faces) stay as they are.
    """
    annotated = {folder: _annotations(dataset.root / folder / _ANNOTATIONS) for folder in _photo_folders(dataset)}
    samples: list[Sample] = []
    for sample in dataset.samples:
        boxes = annotated.get(_folder(sample), {}).get(sample.name) if sample.kind == "photo" else None
        if boxes is None:
            samples.append(sample)
            continue
        samples.extend(
            replace(sample, kind="boxed", box=box, label=label, published_label=label) for box, label in boxes
        )
    return Dataset(dataset.root, samples)


def _folder(sample: Sample) -> str:
    return PurePosixPath(sample.path.partition(ARCHIVE_MARK)[0]).parent.as_posix()


def _photo_folders(dataset: Dataset) -> set[str]:
    return {_folder(sample) for sample in dataset.samples if sample.kind == "photo"}


def _annotations(path: Path) -> dict[str, list[tuple[Box, str]]]:
    """Boxes of each photo by file name; empty if there is no annotation file.

    Raises:
        UsageError: the file is not of the COCO form.
    """
    if not path.is_file():
        return {}
    try:
        coco = json.loads(path.read_text(encoding="utf-8"))
        labels = {category["id"]: _BOX_LABELS[category["name"]] for category in coco["categories"]}
        files = {image["id"]: image["file_name"] for image in coco["images"]}
        boxes: dict[str, list[tuple[Box, str]]] = defaultdict(list)
        for name in files.values():
            boxes[name] = []
        for note in coco["annotations"]:
            x, y, width, height = (round(value) for value in note["bbox"])
            boxes[files[note["image_id"]]].append((Box(x, y, width, height), labels[note["category_id"]]))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is not of the COCO form: {error!r}") from error
    return dict(boxes)
