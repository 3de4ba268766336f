"""What a run is made of besides its options: the bytes of its data, its teacher and its first weights."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from edge.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_OF_DATA: Final = {"manifest_sha256": "MANIFEST.csv", "annotations_sha256": "detection/annotations.json"}


def made_of(data: Path, teacher: Path, weights: Path | None) -> dict[str, str]:
    """Names for the record of a run, with hex digests.

    Args:
        data: the folder of MANIFEST.csv.
        teacher: YuNet's .onnx file.
        weights: of the ImageNet trunk; None for a run that goes on from other weights, which its options name.

    Raises:
        UsageError: a file cannot be read.
    """
    files = {name: data / path for name, path in _OF_DATA.items()} | {"teacher_sha256": teacher}
    if weights:
        files["weights_sha256"] = weights
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


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
