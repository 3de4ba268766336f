"""Where worker processes come from: a server that has imported what they need, and forks.

A worker is then ready at once and shares that memory with the others. The server imports beside whoever starts it, so
it is to be started before that one imports the same.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path

from edge.errors import UsageError

_NEEDED = ["edge.batch"]


def start_server() -> ForkServerContext:
    """Starts the server if it does not run; what worker processes are to be made with. Only in the main thread.

    It ends with this process.

    Raises:
        UsageError: see `check_working_directory`.
    """
    check_working_directory()
    context = get_context("forkserver")
    context.set_forkserver_preload(_NEEDED)
    with without_interrupts(), _without_the_working_directory():
        forkserver.ensure_running()
    return context


def check_working_directory() -> None:
    """Goes to where the user is by its name, as each worker process will.

    Raises:
        UsageError: it is gone, or may not be entered.
    """
    try:
        os.chdir(Path.cwd())
    except OSError as error:
        raise UsageError(f"the folder that this was started in: {error.strerror}: start it from another") from error


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Processes that start in this block inherit that Ctrl-C is not for them; the terminal sends it to all."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _without_the_working_directory() -> Iterator[None]:
    """A Python that starts in this block imports nothing from where the user is: that may be a folder of anybody's."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before
