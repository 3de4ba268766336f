"""`maskgate classify`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from edge.cli.options import config_option
from edge.errors import UsageError
from edge.settings import Settings, load_settings

if TYPE_CHECKING:
    from edge.batch import Classified

_SOME_FAILED = 1
_INTERRUPTED = 130


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--format", "format_", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Records go here, not to stdout.")
@click.option(
    "--faces", type=click.Choice(["detect", "whole"]), default="detect", help="whole: each picture is one face."
)
@click.option("--detector", metavar="NAME|FILE", help="Instead of the configured one.")
@click.option("--classifier", metavar="NAME|FILE", help="Instead of the configured one.")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Worker processes.")
@click.option("--no-recursive", is_flag=True, help="Do not enter folders inside folders.")
@config_option
def classify(
    paths: tuple[str, ...],
    format_: str,
    output: Path | None,
    faces: str,
    detector: str | None,
    classifier: str | None,
    jobs: int,
    no_recursive: bool,  # noqa: FBT001
    config: Path | None,
) -> int:
    """Classify pictures (files, folders, globs) once; records on stdout, one line each, in the order of sorted paths.

    Ends with 1 if a picture could not be read; each is named on stderr and in its record.
    """
    from edge.batch import Job, classify_all, find_pictures
    from edge.sinks import CsvSink, JsonLinesSink, RecordSink

    settings = _with_models(load_settings(config), detector, classifier)
    pictures = find_pictures(paths, recursive=not no_recursive)
    results = classify_all(pictures, Job(settings, whole_faces=faces == "whole"), min(jobs, max(1, len(pictures))))
    if output is not None and output.exists() and any(path.exists() and path.samefile(output) for path in pictures):
        raise UsageError(f"{output}: is one of the pictures")
    failed = 0
    with _opened(output) as file:
        sink: RecordSink = CsvSink(file) if format_ == "csv" else JsonLinesSink(file)
        try:
            for record in (each.record for each in _with_progress(results, len(pictures))):
                sink.write(record)
                if record.error is not None:
                    failed += 1
                    click.echo(f"maskgate: {record.path}: {record.error}", err=True)
        except KeyboardInterrupt:
            return _INTERRUPTED
    return _SOME_FAILED if failed else 0


def _with_models(settings: Settings, detector: str | None, classifier: str | None) -> Settings:
    update: dict[str, object] = {}
    if detector is not None:
        update["detector"] = settings.detector.model_copy(update={"model": detector})
    if classifier is not None:
        update["classifier"] = settings.classifier.model_copy(update={"model": classifier})
    return settings.model_copy(update=update)


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout
        return
    try:
        file = output.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise UsageError(f"{output}: {error.strerror}") from error
    with file:
        yield file


def _with_progress(results: Iterable[Classified], total: int) -> Iterable[Classified]:
    """The same; a bar on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        return results
    from rich.console import Console
    from rich.progress import track

    return track(results, "classifying", total=total, console=Console(stderr=True))
