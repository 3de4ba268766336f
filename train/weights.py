"""Keras weights in a file: written only where there is room, and the file's name where it does not fit."""

from __future__ import annotations

import errno
import math
import os
import shutil
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge.errors import UsageError
from train.files import replacing

_PER_VARIABLE = 4096
"""Bytes that HDF5 needs beside the values of a variable, at most; about 1,600 were seen."""

_DAMAGE = (OSError, LookupError, RuntimeError, TypeError, ValueError)
"""What Keras and h5py raised for files that were cut off or had one byte changed, and for other files."""

_MADE_BY: Final = "made_by"
"""Attribute of the file."""


def save_weights(model: Any, path: Path, made_by: str = "") -> None:
    """Writes the weights that a ``keras.Model`` has now, whole or not at all.

    Args:
        model: the model.
        path: the file.
        made_by: the command that they come from, which the file keeps for `maker_of`.

    Raises:
        OSError: they cannot be written.
    """
    import h5py

    with replacing(path) as draft:
        check_room(draft, model)
        model.save_weights(str(draft))
        if made_by:
            with h5py.File(draft, "r+") as file:
                file.attrs[_MADE_BY] = made_by


def maker_of(path: Path) -> str:
    """The command that `save_weights` was told of, none for other files.

    Raises:
        UsageError: the file is damaged.
    """
    import h5py

    try:
        with h5py.File(path) as file:
            return str(file.attrs.get(_MADE_BY, ""))
    except _DAMAGE as error:
        raise UsageError(f"{path} is no file of weights: {error}") from error


def check_room(path: Path, model: Any) -> None:
    """HDF5 that meets a full disk ends the process without a word (h5py 3.14), so it must not meet one.

    Args:
        path: the file that is going to be written.
        model: a ``keras.Model``.

    Raises:
        OSError: there may be too little room.
    """
    optimizer = getattr(model, "optimizer", None)  # A model that was never compiled has no such thing.
    values = [*model.variables, *(optimizer.variables if optimizer else ())]
    needed = sum(int(math.prod(value.shape)) * 4 + _PER_VARIABLE for value in values)
    if shutil.disk_usage(path.parent).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def load_weights(model: Any, path: Path, kind: str) -> None:
    """Gives a ``keras.Model`` the weights of a file.

    Args:
        model: changed in place.
        path: the file.
        kind: what the network is called in the error.

    Raises:
        UsageError: the file is damaged or of another network, or what it holds are no numbers.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # Of each layer that does not fit; the error says it once.
            model.load_weights(str(path))
    except _DAMAGE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"{path} holds no weights of {kind}: {reason}") from error
    if not all(np.isfinite(values).all() for values in model.get_weights()):
        raise UsageError(f"{path} holds weights that are no finite numbers: give another file")
