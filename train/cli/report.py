"""`maskgate-train report`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="FILE.html")
def report(run: Path, output: Path) -> None:
    """Writes one HTML file about RUN: curves, confusion matrix, calibration, slices, worst mistakes.

    Ends with 1 if a picture cannot be read.
    """
    from edge.plain import shown
    from train.cli.progress import counted
    from train.cli.unreadable import end_with
    from train.report import write_report
    from train.runs import RunFolder

    with counted("judging") as progress:
        unreadable = write_report(RunFolder(run), output, progress)
    click.echo(shown(output))
    end_with(unreadable)
