"""Where the records of `maskgate classify` go: one line a picture as JSON, or one row a face as CSV."""

from __future__ import annotations

import csv
from typing import Protocol, TextIO

from edge.messages import ImageRecord

CSV_COLUMNS = (
    "path",
    "image_width",
    "image_height",
    "x",
    "y",
    "width",
    "height",
    "score",
    "label",
    "p_mask",
    "summary",
    "error",
    "elapsed_ms",
    "detector",
    "classifier",
)


class RecordSink(Protocol):
    """Takes records one after the other."""

    def write(self, record: ImageRecord) -> None: ...


class JsonLinesSink:
    """`maskgate.image/1`, one object a line."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, record: ImageRecord) -> None:
        self._file.write(record.to_json() + "\n")


_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CsvSink:
    """One row a face; a picture without a face has one row whose face columns are empty.

    A name that a spreadsheet would take for a formula has `./` before it: the same file, and no formula.
    """

    def __init__(self, file: TextIO) -> None:
        self._writer = csv.DictWriter(file, CSV_COLUMNS, restval="")
        self._writer.writeheader()

    def write(self, record: ImageRecord) -> None:
        of_image = {
            "path": f"./{record.path}" if record.path.startswith(_BEGINS_A_FORMULA) else record.path,
            "image_width": record.width,
            "image_height": record.height,
            "summary": record.summary,
            "error": record.error,
            "elapsed_ms": record.elapsed_ms,
            "detector": record.model.detector,
            "classifier": record.model.classifier,
        }
        if not record.faces:
            self._writer.writerow(of_image)
        for face in record.faces:
            of_face = {"score": face.score, "label": face.label, "p_mask": face.p_mask}
            self._writer.writerow(of_image | face.box.model_dump() | of_face)
