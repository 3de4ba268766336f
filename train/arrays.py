"""The arrays of an .npz file, and one sort of error for each way in which it may be damaged."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

_DAMAGE = (OSError, EOFError, TypeError, ValueError, RuntimeError, BadZipFile, zlib.error)
"""What NumPy and zipfile raised for files that were cut off or had one byte changed, and for other files."""


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a file by name, in the order in which they were written.

    Raises:
        ValueError: it cannot be read, is damaged, or is another file; the text is one line.
    """
    try:
        with np.load(path) as stored:
            return dict(stored)
    except _DAMAGE as error:
        raise ValueError((str(error).splitlines() or [type(error).__name__])[0]) from error
