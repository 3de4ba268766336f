"""What a path leads to, as far as it can be seen.

Until Python 3.14 the methods of `Path` raise where a folder may not be entered. Here such a path leads to nothing, and
whoever goes on to open it is told the reason.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112


def is_other_than_file(path: Path) -> bool:
    """Whether something is there that is no regular file."""
    return os.path.exists(path) and not os.path.isfile(path)  # noqa: PTH110, PTH113


def file_ids(paths: Iterable[Path]) -> Iterator[tuple[int, int]]:
    """What tells files apart whatever they are called; of those that are there."""
    for path in paths:
        try:
            facts = path.stat()
        except OSError:
            continue
        yield facts.st_dev, facts.st_ino


def make_folder(path: Path, *, parents: bool = False) -> None:
    """Makes a folder if there is none.

    Raises:
        FileExistsError: something else is there.
        FileNotFoundError: it, or with `parents` a folder above it, is a link to a disk that is away perhaps.
    """
    try:
        path.mkdir(parents=parents, exist_ok=True)
    except FileExistsError:
        require_end(path)
        raise


def require_end(path: Path) -> None:
    """Refuses a path that cannot be made, for it or the nearest thing above it that is there is a link to nowhere.

    Raises:
        FileNotFoundError: which link that is.
    """
    nearest = next(above for above in (path, *path.absolute().parents) if os.path.lexists(above))
    if not os.path.exists(nearest):  # noqa: PTH110
        raise FileNotFoundError(errno.ENOENT, f"{nearest} is a link to a folder that is not there", str(path))
