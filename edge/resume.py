"""What an interrupted `maskgate classify` has already written, so that it is not done again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.assembly import Vision
from edge.errors import UsageError
from edge.vision.analyzer import Analyzer
from edge.vision.classifier import Label

_ROUNDING = 0.5e-4
"""By how much `p_mask` of a record can differ from what was judged."""


@dataclass(frozen=True, slots=True)
class Done:
    """The paths that have a record, and how many of these records tell of a failure."""

    paths: frozenset[str]
    failed: int


def read_done(file: Path, vision: Vision) -> Done:
    """Reads the records in `file` and cuts off a last line that was not finished.

    Args:
        file: of JSON lines; one that is not there has none.
        vision: that the rest will be classified with.

    Raises:
        UsageError: the file cannot be used, holds something else, or comes of other models or thresholds.
    """
    paths, failed, end = set(), 0, 0
    try:
        if not file.exists():
            return Done(frozenset(), 0)
        with file.open("r+b") as opened:
            for number, line in enumerate(opened, 1):
                if not line.endswith(b"\n"):
                    break
                path, error = _read(file, number, line, vision)
                paths.add(path)
                failed += error is not None
                end += len(line)
            opened.truncate(end)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from error
    return Done(frozenset(paths), failed)


def _read(file: Path, number: int, line: bytes, vision: Vision) -> tuple[str, object]:
    try:
        record = json.loads(line)
        path, error, made_with = record["path"], record["error"], record["model"]
        is_of_these = all(_can_come_of(vision.analyzer, face) for face in record["faces"])
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise UsageError(f"{file}: line {number} is no record of a picture") from problem
    if made_with != vision.identities.model_dump():
        raise UsageError(f"{file}: line {number} was made with other models: take these, or another file")
    if not is_of_these:
        raise UsageError(
            f"{file}: line {number} was made with other thresholds or another min_face_px: take these, or another file"
        )
    return str(path), error


def _can_come_of(analyzer: Analyzer, face: dict[str, Any]) -> bool:
    """Whether a face of a record can have been judged so; whether it was too blurred, a record does not tell."""
    if face["label"] == Label.UNCERTAIN:
        return True
    if min(face["box"]["width"], face["box"]["height"]) < analyzer.min_face_px:
        return False
    if face["label"] == Label.MASK:
        return bool(face["p_mask"] >= analyzer.thresholds.mask_above - _ROUNDING)
    return bool(face["p_mask"] <= analyzer.thresholds.no_mask_below + _ROUNDING)
