"""A file that is there whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self


class NewFile:
    """Bytes that take the place of `path` once they are complete; nothing is left of them if the block ends before.

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

    def complete(self) -> None:
        self._file.close()
        self._unfinished.replace(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._unfinished.unlink(missing_ok=True)
        with suppress(OSError):  # what could not be written was said by write or complete
            self._file.close()
