"""The bytes and pixels behind a sample's path: a file, or a member of a zip archive."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path

from edge.errors import ImageError, UsageError
from edge.vision.geometry import Image
from edge.vision.image import DEFAULT_LIMITS, decode, read_bytes
from train.samples import ARCHIVE_MARK

DAMAGE = (KeyError, RuntimeError, ValueError, zipfile.BadZipFile, OSError, EOFError, zlib.error, LZMAError)
"""What a zip raises for a member that is not there, encrypted, or damaged, by its way of compression; ValueError for a
name that is no UTF-8, or a place before the file's beginning."""

_DIGITS = 12


def digest(data: bytes) -> str:
    """What lists of pictures call a file of these bytes, wherever it lies: the beginning of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


class PictureStore:
    """Reads pictures below a root folder; archives stay open. Not to be shared by processes or threads.

    Args:
        root: what sample paths are relative to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._archives: dict[str, zipfile.ZipFile] = {}

    def read(self, path: str) -> bytes:
        """The encoded picture.

        Raises:
            ImageError: the file or the member is not there or cannot be read.
        """
        archive, mark, member = path.partition(ARCHIVE_MARK)
        # A plain file may have the mark in its name.
        if not mark or (self.root / path).is_file():
            return read_bytes(self.root / path)
        try:
            found = self._archive(archive).getinfo(member)
            if found.file_size > DEFAULT_LIMITS.max_bytes:
                raise ImageError(f"larger than {DEFAULT_LIMITS.max_bytes // 2**20} MiB")
            return self._archive(archive).read(found)
        except DAMAGE as error:
            raise ImageError(f"{member or 'member'} cannot be read from {archive}: {error}") from error

    def image(self, path: str) -> Image:
        """The decoded picture, BGR uint8 of shape (height, width, 3).

        Raises:
            ImageError: it cannot be read or decoded.
        """
        return decode(self.read(path))

    def stamp(self, path: str) -> str:
        """What tells the file that holds the picture from every other, and from itself after a change."""
        archive, mark, _ = path.partition(ARCHIVE_MARK)
        file = self.root / path
        if mark and not file.is_file():
            file = self.root / archive
        try:
            found = file.stat()
        except OSError:
            return "not there"
        return f"{file.resolve()} {found.st_size} {found.st_mtime_ns}"

    def readable(self, path: str) -> bool:
        """Whether `image` gives the picture."""
        try:
            self.image(path)
        except ImageError:
            return False
        return True

    def members(self, archive: str) -> list[str]:
        """Names of the files in an archive, sorted."""
        return sorted(info.filename for info in self._archive(archive).infolist() if not info.is_dir())

    def _archive(self, name: str) -> zipfile.ZipFile:
        if name not in self._archives:
            path = self.root / name
            if not path.is_file():
                raise UsageError(f"there is no archive {name} below {self.root}")
            try:
                self._archives[name] = zipfile.ZipFile(path)
            except DAMAGE as error:
                raise UsageError(f"{path} is no zip archive, or a damaged one: {error}") from error
        return self._archives[name]
