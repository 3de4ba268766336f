"""The bytes and pixels behind a sample's path: a file, or a member of a zip archive."""

from __future__ import annotations

import zipfile
from pathlib import Path

from edge.errors import ImageError, UsageError
from edge.vision.geometry import Image
from edge.vision.image import decode, read_bytes
from train.samples import ARCHIVE_MARK


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
        if not mark:
            return read_bytes(self.root / path)
        try:
            return self._archive(archive).read(member)
        except (KeyError, RuntimeError, zipfile.BadZipFile, OSError) as error:  # An encrypted member is a RuntimeError.
            raise ImageError(f"{member or 'member'} cannot be read from {archive}: {error}") from error

    def image(self, path: str) -> Image:
        """The decoded picture, BGR uint8 of shape (height, width, 3).

        Raises:
            ImageError: it cannot be read or decoded.
        """
        return decode(self.read(path))

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
            except (zipfile.BadZipFile, OSError) as error:
                raise UsageError(f"{path} is no zip archive: {error}") from error
        return self._archives[name]
