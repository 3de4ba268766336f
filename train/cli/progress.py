"""What a long command shows on stderr: a bar on a terminal; elsewhere a line an epoch, and a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from train.fit import Progress
from train.progress import Count
from train.runs import EpochRecord

_LINE_EVERY_S = 30.0
"""Between two lines where there is no terminal; what takes less shows nothing."""


def note(text: str) -> None:
    """Says something on stderr, above the bar if there is one."""
    click.echo(text, file=sys.stderr)  # With err=True click finds its own way to the terminal, into the bar.


@contextmanager
def counted(what: str) -> Iterator[Count]:
    """A bar that counts if stderr is a terminal, a line with the count now and then otherwise."""
    if not sys.stderr.isatty():
        yield _lines(what)
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True)) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def fit_progress() -> Iterator[Progress]:
    """Shows the steps of an epoch as a bar if stderr is a terminal, and each epoch as a line."""
    if not sys.stderr.isatty():
        yield Progress(epoch=lambda record, best: click.echo(_line(record, best), err=True), read=_lines("reading"))
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    with Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task("training")

        def step(done: int, total: int, loss: float) -> None:
            bar.update(task, completed=done, total=total, description=f"loss {loss:.3f}")

        yield Progress(
            step=step,
            epoch=lambda record, best: bar.console.print(_line(record, best), highlight=False),
            read=lambda done, total: bar.update(task, completed=done, total=total, description="reading"),
        )


def _lines(what: str) -> Count:
    """Writes how far the work is, at most a line in `_LINE_EVERY_S`."""
    last = time.monotonic()

    def count(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_EVERY_S:
            last = time.monotonic()
            click.echo(f"{what}: {done} of {total}", err=True)

    return count


def _line(record: EpochRecord, best: bool) -> str:  # noqa: FBT001
    return (
        f"{record.epoch:3.0f} {record.phase}: loss {record.loss:.4f}, accuracy {record.accuracy:.4f}; "
        f"val loss {record.val_loss:.4f}, accuracy {record.val_accuracy:.4f}, "
        f"balanced {record.val_balanced_accuracy:.4f}, "
        f"worn badly called mask {record.val_incorrect_as_mask:.2f}, faces dropped {record.val_faces_dropped:.4f}; "
        f"{record.seconds:.0f} s{' *' if best else ''}"
    )
