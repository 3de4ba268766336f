"""What a long command shows on stderr: a bar on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from train.fit import Progress
from train.progress import Count, uncounted
from train.runs import EpochRecord


@contextmanager
def counted(what: str) -> Iterator[Count]:
    """A bar that counts, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield uncounted
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
        yield Progress(epoch=lambda record, best: click.echo(_line(record, best), err=True))
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

        yield Progress(step=step, epoch=lambda record, best: bar.console.print(_line(record, best), highlight=False))


def _line(record: EpochRecord, best: bool) -> str:  # noqa: FBT001
    return (
        f"{record.epoch:3.0f} {record.phase}: loss {record.loss:.4f}, accuracy {record.accuracy:.4f}; "
        f"val loss {record.val_loss:.4f}, accuracy {record.val_accuracy:.4f}, "
        f"balanced {record.val_balanced_accuracy:.4f}, "
        f"worn badly called mask {record.val_incorrect_as_mask:.2f}, faces dropped {record.val_faces_dropped:.4f}; "
        f"{record.seconds:.0f} s{' *' if best else ''}"
    )
