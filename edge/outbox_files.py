"""What is done with the files of an outbox past SQLite: where it is damaged, cannot be written to, or cannot be had."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

_DIGITS = 18
"""Always as many, so that the file never grows; less than a sector, so that it is written whole or not at all;
and no more than SQLite's integers have."""


def set_aside(path: Path) -> Path | None:
    """Renames a damaged database and what belongs to it; None where even that is not possible."""
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}")
    try:
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    except OSError:
        return None
    return aside


def uri_to_read(path: Path) -> str:
    """What to have SQLite open so that it reads a database and needs to make nothing beside it. May raise OSError.

    A log needs an index: one in memory will do if SQLite is told that it must not write that, and if there is a file of
    its name, however short. Without a log the file is all there is, and the lock of the state directory keeps it still.
    """
    log = path.with_name(f"{path.name}-wal")
    how = "readonly_shm" if log.exists() and log.stat().st_size else "immutable"
    return f"{path.absolute().as_uri()}?mode=ro&{how}=1"


class LastSeq:
    """The last `seq` that was given while the database took nothing, in a small file that is overwritten in place.

    A disk that is full still takes that, so no number is given twice after a kill. One that is read-only or gone does
    not, and neither does a full one on which nothing is overwritten in place (btrfs, F2FS). Nothing here raises: the
    outbox has told already that its disk refuses.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._durable = True

    def read(self) -> int | None:
        """The number, None where there is none that can be read."""
        with suppress(OSError, ValueError):
            return int(self._path.read_bytes()[:_DIGITS])
        return None

    def reserve(self, seq: int) -> None:
        """Makes the file while there is room for it, if it is missing."""
        if self.read() is None:
            self.write(seq)

    def write(self, seq: int) -> None:
        """Outlives the process at once, and a power cut after `sync`."""
        with suppress(OSError):
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(file, f"{seq:0{_DIGITS}}\n".encode(), 0)
            finally:
                os.close(file)
            self._durable = False

    def sync(self) -> None:
        """Brings what was written to the disk, if anything was."""
        if self._durable:
            return
        with suppress(OSError):
            file = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.fdatasync(file)
            finally:
                os.close(file)
            self._durable = True
