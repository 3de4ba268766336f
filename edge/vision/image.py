"""Picture files in, pixels out, with limits that hold before anything is decoded."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.errors import ImageError
from edge.vision.geometry import Image
from edge.vision.probe import probe, still_picture


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What is refused unread. 40 megapixels of the dearest kind, a progressive JPEG, take 400 MB for a moment."""

    max_bytes: int = 64 * 2**20
    max_pixels: int = 40_000_000


DEFAULT_LIMITS = ImageLimits()


def read_bytes(path: Path, limits: ImageLimits = DEFAULT_LIMITS, flags: int = 0) -> bytes:
    """The content of a regular file of at most `limits.max_bytes`; a pipe or a device is refused, not waited for.

    Args:
        path: of the file.
        limits: of which the one on bytes is used here.
        flags: more flags for opening it, such as `os.O_NOFOLLOW`.

    Raises:
        ImageError: not there, not readable, not a file, or too large.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
        with open(descriptor, "rb") as file:  # noqa: PTH123
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise ImageError("not a file")
            if facts.st_size <= limits.max_bytes:
                data = file.read(limits.max_bytes + 1)
                if len(data) <= limits.max_bytes:
                    return data
            raise ImageError(f"larger than {limits.max_bytes // 2**20} MiB")
    except OSError as error:
        if error.errno == errno.ELOOP and flags & os.O_NOFOLLOW:
            raise ImageError("a symbolic link is not followed") from error
        raise ImageError(f"cannot be read: {error.strerror}") from error


def decode(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> Image:
    """Decodes JPEG, PNG, WebP, BMP or TIFF of any depth and colour model, as a person would see it (EXIF applied).

    Returns:
        BGR, 8 bits a channel. Transparency is dropped; of several pages or frames the first is taken.

    Raises:
        ImageError: empty, unknown, damaged, cut off, or of more than `limits.max_pixels`.
    """
    header = probe(data)
    if header.width * header.height > limits.max_pixels:
        raise ImageError(
            f"the {header.format} has {header.width} x {header.height} pixels, "
            f"more than the limit of {limits.max_pixels // 1_000_000} million"
        )
    try:
        image = cv2.imdecode(np.frombuffer(still_picture(data), np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ImageError(f"the {header.format} is damaged: {error.err or error.code}") from error
    if image is None:
        raise ImageError(f"the {header.format} is damaged")
    return np.asarray(image, np.uint8)
