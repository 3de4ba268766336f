"""What a run is made of besides its options: the bytes of its data, its teacher and its first weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from edge.errors import UsageError

_OF_DATA: Final = {"manifest_sha256": "MANIFEST.csv", "annotations_sha256": "detection/annotations.json"}
_START: Final = "start_sha256"


def made_of(data: Path, teacher: Path, first: Path, *, trunk: bool) -> dict[str, str]:
    """Names for the record of a run, with hex digests.

    Args:
        data: the folder of MANIFEST.csv.
        teacher: YuNet's .onnx file.
        first: the first weights.
        trunk: whether these are of the ImageNet trunk, and not of a detector.

    Raises:
        UsageError: a file cannot be read.
    """
    files = {name: data / path for name, path in _OF_DATA.items()} | {"teacher_sha256": teacher}
    files["weights_sha256" if trunk else _START] = first
    return {name: _digest(path) for name, path in files.items()}


def check_data(recorded: dict[str, Any], data: Path) -> None:
    """Refuses other data than that of a run; a run of an earlier version does not tell of it.

    Args:
        recorded: the record of the run.
        data: the folder of MANIFEST.csv.

    Raises:
        UsageError: a file is another one, or cannot be read.
    """
    for name, path in _OF_DATA.items():
        if name in recorded and recorded[name] != _digest(data / path):
            raise UsageError(
                f"{data / path} is not what the run learned from: give that with --data, or train again with this"
            )


def check_start(recorded: dict[str, Any]) -> None:
    """Refuses first weights that are not those that a run began with any more; see `check_data`."""
    if _START in recorded and recorded[_START] != _digest(Path(recorded["start"])):
        raise UsageError(f"{recorded['start']} is not what the run began with any more, so nothing of that can be kept")


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
