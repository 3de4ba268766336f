"""Pictures inside published packages."""

from __future__ import annotations

import tarfile
import zipfile
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.errors import UsageError
from train.dataset import PICTURE_SUFFIXES
from train.storage import DAMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.vision.geometry import Image


def pictures_of(folder: Path) -> Iterator[bytes]:
    """Every picture file in a folder, those in its tar and zip archives as well.

    Raises:
        UsageError: a file is damaged or cannot be read.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            try:
                yield from _pictures_in(path)
            except (tarfile.TarError, *DAMAGE) as error:
                raise UsageError(f"{path} cannot be read: {error}") from error


def _pictures_in(path: Path) -> Iterator[bytes]:
    if path.name.endswith((".tar.gz", ".tgz")):
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and _is_picture(member.name):
                    content = archive.extractfile(member)
                    yield content.read() if content else b""
    elif path.suffix in (".zip", ".whl"):
        with zipfile.ZipFile(path) as zipped:
            for name in zipped.namelist():
                if _is_picture(name):
                    yield zipped.read(name)
    elif _is_picture(path.name):
        yield path.read_bytes()


def _is_picture(name: str) -> bool:
    return name.lower().endswith(tuple(PICTURE_SUFFIXES))


def at_most(image: Image, long_side: int) -> Image:
    """A picture shrunk to a long side in pixels; a smaller one as it is."""
    scale = long_side / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
