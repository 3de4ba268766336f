"""The report as a file: rows as they come, what needs all of them behind, and in place only when it is whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from edge.batch import Classified
from edge.errors import UnavailableError, UsageError
from edge.mirror import Mirror
from edge.newfile import NewFile
from edge.paths import is_other_than_file
from edge.report import page
from edge.report.album import Album
from edge.report.page import Run
from edge.report.tally import Tally

MOST_THUMBNAILS = 300
"""Of about 14 kB each, and a third more as text: 6 MB."""
THUMBNAIL_PX = 320


class ReportWriter:
    """Takes what came of each picture, one after the other. What it keeps of them is bounded, however many they are."""

    def __init__(self, file: NewFile, path: Path, run: Run, mirror: Mirror | None) -> None:
        self._file = file
        self._path = path
        self._run = run
        self._mirror = mirror
        self._tally = Tally()
        self._album = Album(MOST_THUMBNAILS)
        self._write(page.head(run))
        self._write('<script type="application/json" id="rows">[')

    def write(self, classified: Classified) -> None:
        """Adds a picture.

        Raises:
            UnavailableError: the disk is full, or gone.
        """
        number = self._tally.pictures.total()
        record = classified.record
        self._write(f"{',' if number else ''}\n{page.row(record, self._links(classified))}")
        self._tally.add(record)
        if classified.thumbnail is not None and record.summary is not None:
            self._album.offer(number, record.summary, classified.thumbnail)

    def finish(self) -> None:
        """Writes what stands behind the rows; raises UnavailableError."""
        chosen = self._album.chosen()
        self._write("\n]</script>\n")
        for piece in page.thumbnails(chosen):
            self._write(piece)
        self._write(page.body(self._run, self._tally, len(chosen)))
        try:
            self._file.complete()
        except OSError as error:
            raise self._problem(error) from error

    def _links(self, classified: Classified) -> list[str]:
        """Addresses, relative to the report, of the picture and of its annotated copy."""
        if classified.record.error is not None:
            return []
        paths = [classified.path] if self._mirror is None else [classified.path, self._mirror.copy_of(classified.path)]
        return [f"./{quote(os.path.relpath(os.fsencode(path), os.fsencode(self._path.parent)))}" for path in paths]

    def _write(self, text: str) -> None:
        try:
            self._file.write(text.encode())
        except OSError as error:
            raise self._problem(error) from error

    def _problem(self, error: OSError) -> UnavailableError:
        return UnavailableError(f"{self._path}: cannot be written: {error.strerror}")


@contextmanager
def new_report(path: Path, run: Run, mirror: Mirror | None) -> Iterator[ReportWriter]:
    """A report that takes the place of `path` when the block ends well; otherwise that stays as it was.

    Raises:
        UsageError: nothing can be written there.
        UnavailableError: the disk is full, or gone.
    """
    if is_other_than_file(path):
        raise UsageError(f"{path}: is no file; a report cannot take its place")
    try:
        file = NewFile(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    with file:
        writer = ReportWriter(file, path, run, mirror)
        yield writer
        writer.finish()
