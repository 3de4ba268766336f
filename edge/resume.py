"""What an interrupted `maskgate classify` has already written, so that it is not done again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edge.errors import UsageError


@dataclass(frozen=True, slots=True)
class Done:
    """The paths that have a record, and how many of these records tell of a failure."""

    paths: frozenset[str]
    failed: int


def read_done(file: Path, models: dict[str, object]) -> Done:
    """Reads the records in `file` and cuts off a last line that was not finished.

    Args:
        file: of JSON lines; one that is not there has none.
        models: that the rest will be classified with.

    Raises:
        UsageError: the file cannot be used, holds something else, or comes of other models.
    """
    paths, failed, end = set(), 0, 0
    try:
        if not file.exists():
            return Done(frozenset(), 0)
        with file.open("r+b") as opened:
            for number, line in enumerate(opened, 1):
                if not line.endswith(b"\n"):
                    break
                path, error = _read(file, number, line, models)
                paths.add(path)
                failed += error is not None
                end += len(line)
            opened.truncate(end)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from error
    return Done(frozenset(paths), failed)


def _read(file: Path, number: int, line: bytes, models: dict[str, object]) -> tuple[str, object]:
    try:
        record = json.loads(line)
        path, error, made_with = record["path"], record["error"], record["model"]
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise UsageError(f"{file}: line {number} is no record of a picture") from problem
    if made_with != models:
        raise UsageError(f"{file}: line {number} was made with other models: take these, or another file")
    return str(path), error
