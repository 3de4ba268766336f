"""Annotated copies of pictures: a folder that mirrors the folders which the pictures are in."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from edge.errors import UnavailableError, UsageError
from edge.newfile import NewFile
from edge.paths import file_ids, is_folder
from edge.vision.geometry import Image

_KEPT_SUFFIXES = frozenset([".jpg", ".jpeg", ".jpe", ".jfif", ".png"])
"""Copies of these have the name of the picture; all other copies are JPEG, and get `.jpg` behind their whole name."""
_LONGEST_NAME = 255
"""In bytes: what file systems allow."""
_JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True)
class Mirror:
    """Which file is the copy of which picture. Small, to travel to worker processes.

    Attributes:
        folder: where the copies go.
        base: absolute; the folder whose inside is mirrored.
        renamed: names of the few copies that would otherwise have the name of another.
    """

    folder: Path
    base: Path
    renamed: Mapping[Path, str]

    @classmethod
    def plan(cls, folder: Path, arguments: Sequence[str], pictures: Sequence[Path]) -> Mirror:
        """Fixes all names before any work is done, and makes the folder.

        Args:
            folder: where the copies go; made if it is not there.
            arguments: what the pictures were found by. What folders among them hold is mirrored from there on; with
                several, from the folder on that all have in common.
            pictures: all that may be copied.

        Raises:
            UsageError: the folder cannot be made or written to, lies in one of the arguments, or a copy would overwrite
                a picture.
        """
        folders = [argument for argument in arguments if is_folder(Path(argument))]
        for argument in folders:
            if folder.resolve().is_relative_to(Path(argument).resolve()):
                raise UsageError(f"{folder}: lies in {argument}, which is classified; choose a folder outside of it")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: {error.strerror}") from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UsageError(f"{folder}: cannot be written to")
        base = _common_folder(folders, pictures)
        mirror = cls(folder, base, dict(_renamed(cls(folder, base, {}), pictures)))
        mirror._refuse_to_overwrite(pictures)
        return mirror

    def copy_of(self, picture: Path) -> Path:
        """Where the copy of a picture goes."""
        inside = Path(os.path.relpath(picture, self.base))
        return self.folder / inside.with_name(self.renamed.get(picture) or _copy_name(picture.name))

    def _refuse_to_overwrite(self, pictures: Sequence[Path]) -> None:
        """By what a name leads to: links in the folder may lead back to the pictures."""
        known = set(file_ids(pictures))
        for picture in pictures:
            copy = self.copy_of(picture)
            if not known.isdisjoint(file_ids([copy])):
                raise UsageError(f"{copy}: is one of the pictures; choose another folder for the annotated ones")


def write_copy(path: Path, image: Image) -> None:
    """Writes an annotated picture (BGR), as PNG or JPEG by its suffix, whole or not at all.

    Raises:
        UnavailableError: it cannot be written.
    """
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, data = cv2.imencode(".png" if path.suffix.lower() == ".png" else ".jpg", image, quality)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NewFile(path) as file:
            file.write(data.tobytes())
            file.complete()
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be written: {error.strerror}") from error


def _common_folder(folders: Sequence[str], pictures: Sequence[Path]) -> Path:
    """The deepest folder that holds all folders, and all pictures that are in none of them."""
    roots = {os.path.abspath(folder) for folder in folders}  # noqa: PTH100  by name alone: links are not followed
    parents = {os.path.abspath(picture.parent) for picture in pictures}  # noqa: PTH100
    others = {parent for parent in parents if not any(Path(parent).is_relative_to(root) for root in roots)}
    return Path(os.path.commonpath(roots | others)) if roots | others else Path.cwd()


def _renamed(mirror: Mirror, pictures: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Those whose copy would have the name of another, also where case or Unicode form alone tells them apart."""
    taken: set[str] = set()
    for picture in pictures:
        name = _copy_name(picture.name)
        path, number = mirror.copy_of(picture), 1
        while _folded(path) in taken:
            number += 1
            path = path.with_name(_fitting(name, f"-{number}"))
        taken.add(_folded(path))
        if number > 1:
            yield picture, path.name


def _folded(path: Path) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()


def _copy_name(name: str) -> str:
    return _fitting(name if Path(name).suffix.lower() in _KEPT_SUFFIXES else f"{name}.jpg", "")


def _fitting(name: str, added: str) -> str:
    """`name` with `added` before its suffix, its stem cut to what file systems allow."""
    stem, suffix = Path(name).stem, Path(name).suffix
    while len(os.fsencode(f"{stem}{added}{suffix}")) > _LONGEST_NAME:
        stem = stem[:-1]
    return f"{stem}{added}{suffix}"
