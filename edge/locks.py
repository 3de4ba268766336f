"""A file or folder for one process alone."""

from __future__ import annotations

import fcntl
import logging

log = logging.getLogger(__name__)


def take_lock(handle: int, name: str) -> None:
    """Locks an open file or folder until it is closed; the kernel does that however the process ends.

    A file system that knows no locks, as of some network mounts, is worked on without; a warning says so.

    Args:
        handle: of what is opened.
        name: what to call it.

    Raises:
        BlockingIOError: somebody else has it.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        log.warning("%s cannot be locked (%s); see to it that nobody else has it", name, error.strerror)
