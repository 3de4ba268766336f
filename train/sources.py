"""What a run reads beside its manifest, by content: another file of the same name makes another run."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from train.choices import Choices
from train.detector.objects import png_files
from train.runs import RunFolder
from train.storage import digest


def digests_of(choices: Choices) -> dict[str, str]:
    """The beginning of the SHA-256 of what the choices name, by option; of a run it is that of its best weights.

    What is not there has none: whoever reads it says so.

    Raises:
        OSError: a file cannot be read.
    """
    files = {
        "weights": choices.weights if isinstance(choices.weights, Path) else None,
        "landmarks": choices.landmarks,
        "traps": choices.traps,
        "hard_examples": _weights_of(choices.hard_run),
        "start": _weights_of(choices.start),
        "teacher": _weights_of(choices.teacher),
    }
    found = {name: digest(path.read_bytes()) for name, path in files.items() if path and path.is_file()}
    if choices.objects:
        found["objects"] = _of_pictures(choices.objects)
    return found


def _weights_of(run: Path | None) -> Path | None:
    return RunFolder(run).best_weights if run else None


def _of_pictures(folder: Path) -> str:
    """Of the PNG files below a folder, names and order included."""
    whole = hashlib.sha256()
    for path in png_files(folder):
        whole.update(os.fsencode(path.relative_to(folder)) + b"\n" + hashlib.sha256(path.read_bytes()).digest())
    return digest(whole.digest())
