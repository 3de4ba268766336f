"""Whose a folder is: one program's at a time, by a lock that the kernel gives back however that program ends."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from edge.errors import UnavailableError
from edge.locks import take_lock


class Ownership:
    """A lock on a folder itself, in which nothing is written for it. Safe for several threads."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._handle: int | None = None
        self._given_back = False

    def take(self, folder: Path) -> bool:
        """Locks what is at `folder` now, which may have been replaced since the last time; that one is let go.

        A file system that knows no locks, as of some network mounts, is worked on without.

        Returns:
            Whether it is another folder than the last time.

        Raises:
            OSError: it cannot be opened.
            UnavailableError: another program, or another part of this one, has it.
        """
        with self._changing:
            return not self._given_back and self._take(folder)

    def _take(self, folder: Path) -> bool:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if self._handle is not None and os.path.samestat(os.fstat(handle), os.fstat(self._handle)):
            os.close(handle)
            return False
        try:
            take_lock(handle, str(folder))
        except BlockingIOError as error:
            os.close(handle)
            raise UnavailableError(
                f"{folder.parent} is in use by another maskgate, or by another source; give each its own"
            ) from error
        self._let_go()
        self._handle = handle
        return True

    def give_back(self) -> None:
        """For good: a thread that is late does not `take` it again."""
        with self._changing:
            self._given_back = True
            self._let_go()

    def _let_go(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
