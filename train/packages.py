"""Pictures inside published packages, which are found by their bytes wherever they lie."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from train.dataset import PICTURE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.vision.geometry import Image

DIGITS: Final = 12
"""Of the SHA-256 by which a list of pictures names each."""


def digest(data: bytes) -> str:
    """What a list calls a picture file of these bytes."""
    return hashlib.sha256(data).hexdigest()[:DIGITS]


def pictures_of(folder: Path) -> Iterator[bytes]:
    """Every picture file in a folder, those in its tar and zip archives as well.

    Raises:
        tarfile.TarError, zipfile.BadZipFile, OSError: an archive is damaged or cannot be read.
    """
    suffixes = tuple(PICTURE_SUFFIXES)
    for path in sorted(folder.rglob("*")):
        if path.name.endswith((".tar.gz", ".tgz")):
            with tarfile.open(path) as archive:
                for member in archive:
                    if member.isfile() and member.name.lower().endswith(suffixes):
                        content = archive.extractfile(member)
                        yield content.read() if content else b""
        elif path.suffix in (".zip", ".whl"):
            with zipfile.ZipFile(path) as zipped:
                for name in zipped.namelist():
                    if name.lower().endswith(suffixes):
                        yield zipped.read(name)
        elif path.is_file() and path.name.lower().endswith(suffixes):
            yield path.read_bytes()


def at_most(image: Image, long_side: int) -> Image:
    """A picture shrunk to a long side in pixels; a smaller one as it is."""
    scale = long_side / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
