"""`maskgate classify`."""

from __future__ import annotations

import errno
import fcntl
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Self, TextIO

import click

from edge.cli.options import config_option
from edge.cli.streams import complain
from edge.errors import UnavailableError, UsageError
from edge.paths import file_ids
from edge.settings import Settings, load_settings

if TYPE_CHECKING:
    from edge.batch import Classified, Job
    from edge.mirror import Mirror
    from edge.report.writer import ReportWriter

_SOME_FAILED = 1
_ENDED_BY_SIGNAL = 128


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--format", "format_", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Records go here, not to stdout.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.html",
    help="Also write a page to look at, with small pictures.",
)
@click.option(
    "--annotate",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Also write the pictures there, with boxes and labels drawn in.",
)
@click.option(
    "--faces", type=click.Choice(["detect", "whole"]), default="detect", help="whole: each picture is one face."
)
@click.option("--detector", metavar="NAME|FILE", help="Instead of the configured one.")
@click.option("--classifier", metavar="NAME|FILE", help="Instead of the configured one.")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Worker processes.")
@click.option(
    "--engine", type=click.Choice(["local", "dask"]), default="local", show_default=True, help="What does the work."
)
@click.option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster; without it one is started here, with --jobs.")
@click.option(
    "--resume", is_flag=True, help="Keep the records that the file of -o has, and add those that are missing."
)
@click.option("--no-recursive", is_flag=True, help="Do not enter folders inside folders.")
@config_option
def classify(
    paths: tuple[str, ...],
    format_: str,
    output: Path | None,
    report: Path | None,
    annotate: Path | None,
    faces: str,
    detector: str | None,
    classifier: str | None,
    jobs: int,
    engine: str,
    scheduler: str | None,
    resume: bool,  # noqa: FBT001
    no_recursive: bool,  # noqa: FBT001
    config: Path | None,
) -> int:
    """Classify pictures (files, folders, globs) once; records on stdout, one line each, in the order of sorted paths.

    Ends with 1 if a picture could not be read; each is named on stderr and in its record.
    """
    _prepare_workers(engine, jobs)

    from edge.batch import Job, find_pictures
    from edge.mirror import Mirror
    from edge.report.writer import THUMBNAIL_PX
    from edge.sinks import CsvSink, JsonLinesSink, RecordSink

    settings = _with_models(load_settings(config), detector, classifier)
    pictures = find_pictures(paths, recursive=not no_recursive)
    _refuse_to_overwrite(output, report, pictures)
    _refuse_what_does_not_go_together(engine, scheduler, resume=resume, with_pictures=bool(report or annotate))
    mirror = None if annotate is None else Mirror.plan(annotate, paths, pictures)
    job = Job(settings, faces == "whole", None if report is None else THUMBNAIL_PX, mirror)
    failed = 0
    with (
        _reporting(report, paths, len(pictures), mirror) as page,
        _opened(output) as file,
        _Ending() as ending,
    ):
        if resume:
            pictures, failed = _without_done(pictures, output, format_, job)
        results = _results(pictures, job, engine, scheduler, min(jobs, max(1, len(pictures))))
        if output is not None and output.is_file() and not resume:
            file.truncate(0)
        sink: RecordSink = CsvSink(file) if format_ == "csv" else JsonLinesSink(file)
        for each in ending.cut_off(_with_progress(results, len(pictures))):
            sink.write(each.record)
            if page is not None:
                page.write(each)
            if each.record.error is not None:
                failed += 1
                complain(f"{each.record.path}: {each.record.error}")
    if failed and annotate is not None:
        complain(f"{annotate}: without the {failed} of {len(pictures)} that could not be read")
    if ending.signal is not None:
        return _ENDED_BY_SIGNAL + ending.signal
    return _SOME_FAILED if failed else 0


def _prepare_workers(engine: str, jobs: int) -> None:
    """To be called before anything large is imported."""
    from edge.workers import check_working_directory, start_server

    if engine == "dask":
        check_working_directory()  # from a folder that is gone, Python 3.13 cannot load what is needed to say so later
    elif jobs > 1:
        start_server()  # which imports what the workers need while the same is imported here


def _with_models(settings: Settings, detector: str | None, classifier: str | None) -> Settings:
    update: dict[str, object] = {}
    if detector is not None:
        update["detector"] = settings.detector.model_copy(update={"model": detector})
    if classifier is not None:
        update["classifier"] = settings.classifier.model_copy(update={"model": classifier})
    return settings.model_copy(update=update)


def _refuse_what_does_not_go_together(engine: str, scheduler: str | None, *, resume: bool, with_pictures: bool) -> None:
    if scheduler is not None and engine != "dask":
        raise UsageError("--scheduler needs --engine dask")
    if with_pictures and (resume or engine == "dask"):
        raise UsageError("--report and --annotate go with neither --resume nor --engine dask")


def _without_done(pictures: Sequence[Path], output: Path | None, format_: str, job: Job) -> tuple[list[Path], int]:
    """The pictures that have no record yet, and how many of those that have one failed."""
    from edge.plain import shown
    from edge.resume import read_done

    if output is None or format_ != "jsonl":
        raise UsageError("--resume needs -o FILE and --format jsonl")
    done = read_done(output, job.vision())
    return [picture for picture in pictures if shown(picture) not in done.paths], done.failed


def _results(pictures: Sequence[Path], job: Job, engine: str, scheduler: str | None, jobs: int) -> Iterator[Classified]:
    if engine == "dask":
        from edge.cluster import classify_on_cluster

        return classify_on_cluster(pictures, job, scheduler, jobs)
    from edge.batch import classify_all

    return classify_all(pictures, job, jobs)


def _refuse_to_overwrite(output: Path | None, report: Path | None, pictures: Sequence[Path]) -> None:
    if output is not None and report is not None and output.resolve() == report.resolve():
        raise UsageError(f"{report}: cannot hold both the records and the report")
    for written in (output, report):
        there = set() if written is None else set(file_ids([written]))
        if there and not there.isdisjoint(file_ids(pictures)):
            raise UsageError(f"{written}: is one of the pictures")


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    """What the records go to, at its end. A file is nobody else's meanwhile: two at once would spoil it."""
    if output is None:
        yield sys.stdout
        return
    try:
        file = output.open("a", encoding="utf-8", newline="")
    except OSError as error:
        raise UsageError(f"{output}: {error.strerror}") from error
    with file:
        if output.is_file():
            _lock(file, output)
        yield file


def _lock(file: TextIO, output: Path) -> None:
    """Until the file is closed. Where the file system knows no locks, there is none."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UnavailableError(f"{output}: another program is writing to it") from error
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise UsageError(f"{output}: {error.strerror}") from error


def _reporting(
    path: Path | None, arguments: Sequence[str], pictures: int, mirror: Mirror | None
) -> AbstractContextManager[ReportWriter | None]:
    from edge.plain import shown
    from edge.report.page import Run
    from edge.report.writer import new_report

    if path is None:
        return nullcontext()
    return new_report(path, Run([shown(each) for each in arguments], pictures, datetime.now(UTC)), mirror)


class _Ending:
    """Inside its block Ctrl-C and SIGTERM are noted, to end after the picture at work; the second one ends at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __enter__(self) -> Self:
        self._before = {each: signal.signal(each, self._note) for each in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def cut_off(self, results: Iterable[Classified]) -> Iterator[Classified]:
        """What is done before a signal. Where all processes of a service get it, the workers may end first."""
        try:
            for each in results:
                yield each
                if self.signal is not None:
                    return
        except UnavailableError:
            if self.signal is None:
                raise

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number


def _with_progress(results: Iterable[Classified], total: int) -> Iterable[Classified]:
    """The same; a bar on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        return results
    from rich.console import Console
    from rich.progress import track

    return track(results, "classifying", total=total, console=Console(stderr=True))
