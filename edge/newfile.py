"""A file that is there whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self


class NewFile:
    """Bytes that take the place of `path` when the block ends well, and leave nothing when it does not.

    They are written beside `path` under a hidden name. Where `path` is a symbolic link, what it points to is replaced.

    Raises:
        OSError: by each method, for what the file system refuses.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(os.path.realpath(path))
        self._unfinished = self._path.with_name(f".maskgate-{secrets.token_hex(8)}.part")
        self._file = self._unfinished.open("xb")

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._file.close()
            if kind is None:
                self._unfinished.replace(self._path)
        finally:
            self._unfinished.unlink(missing_ok=True)
