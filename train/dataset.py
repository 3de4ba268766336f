"""Opens whatever DATA is: a folder of class folders, a zip of one, or a manifest with boxed photos beside it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from edge.errors import UsageError
from train.annotations import faces_of, why_none
from train.labels import label_of_name, part_of_name
from train.samples import ARCHIVE_MARK, Sample, read_manifest
from train.storage import PictureStore

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True)
class Dataset:
    """Samples with the folder that their paths are relative to.

    Attributes:
        unlabelled: folders whose names are those of no class, with how many pictures in them are left out.
    """

    root: Path
    samples: list[Sample]
    unlabelled: Mapping[str, int] = field(default_factory=dict)

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
        names = sorted(path.relative_to(data).as_posix() for path in _files_below(data))
        return _from_names(names, "", data, data)
    if data.suffix.lower() == ".zip" and data.is_file():
        names = PictureStore(data.parent).members(data.name)
        return _from_names(names, data.name + ARCHIVE_MARK, data, data.parent)
    if data.suffix.lower() == ".csv":
        return Dataset(data.parent, read_manifest(data))
    raise UsageError(f"{data} is no folder, zip or manifest (.csv)")


def _files_below(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """Every file, also behind links; a link to where it lies itself leads nowhere."""
    place = os.path.realpath(folder)
    if place in above:
        return
    for path in folder.iterdir():
        if path.is_dir():
            yield from _files_below(path, (*above, place))
        elif path.is_file():
            yield path


def _is_picture(path: PurePosixPath) -> bool:
    # Only the last suffix says what a file is: 4.4.png and 27.9.jpg are pictures named "4.4" and "27.9".
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        return False
    # In a hidden folder lies what was thrown away (.Trash-0), or a program's own.
    return not any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in path.parts)


def _classes(folders: set[PurePosixPath]) -> dict[PurePosixPath, str]:
    """The label of each folder that has one: by its name, or that of the nearest folder above.

    A folder above that has another class below it names the data set, not a class: what is in `face_mask/other` beside
    `face_mask/no_mask` is no mask for that.
    """
    everywhere = {each for folder in folders for each in (folder, *folder.parents)}
    named = {each: label for each in everywhere if (label := label_of_name(each.name))}
    sets = {above for folder in named for above in folder.parents}
    found = {}
    for folder in folders:
        nearest = (each for each in (folder, *folder.parents) if each in named and (each == folder or each not in sets))
        if chosen := next(nearest, None):
            found[folder] = named[chosen]
    return found


def _from_names(names: Sequence[str], prefix: str, data: Path, root: Path) -> Dataset:
    """Labels and parts from folder names; the class folder nearest to the file decides."""
    samples = []
    unlabelled: Counter[str] = Counter()
    pictures = [(name, path) for name in names if _is_picture(path := PurePosixPath(name))]
    classes = _classes({path.parent for _, path in pictures})
    for name, path in pictures:
        folders = path.parts[-2::-1]
        label = classes.get(path.parent)
        if label is None:
            unlabelled[path.parent.as_posix()] += 1
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
    return Dataset(root, samples, dict(sorted(unlabelled.items())))


def with_boxes(dataset: Dataset) -> Dataset:
    """Replaces each photo that has COCO annotations (`train.annotations`) by one sample a face box.

    Photos without annotations that have a label (pictures without faces) stay as they are.

    Raises:
        UsageError: a photo has neither annotations nor a label, or annotations are not of the COCO form.
    """
    faces = faces_of(dataset.root, (sample.path for sample in dataset.samples if sample.kind == "photo"))
    samples: list[Sample] = []
    for sample in dataset.samples:
        if sample.kind == "photo" and sample.path in faces:
            samples.extend(
                replace(sample, kind="boxed", box=box, label=label, published_label=label)
                for box, label in faces[sample.path]
            )
            continue
        if sample.kind == "photo" and not sample.label:
            raise UsageError(f"{sample.path}: a photo without a label, and {why_none(dataset.root, sample.path)}")
        samples.append(sample)
    return replace(dataset, samples=samples)
