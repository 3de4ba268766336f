"""`maskgate-train thaw`."""

from __future__ import annotations

import os
from pathlib import Path

import click


@click.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("manifest", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "-o", "--output", "run", type=click.Path(path_type=Path, file_okay=False), required=True, help="Run folder."
)
def thaw(model: Path, manifest: Path, run: Path) -> None:
    """Makes a run to go on from (`fit --start`) of MODEL, an int8 file trained on MANIFEST whose run is gone."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from train.cli.progress import note
    from train.runs import RunFolder
    from train.thaw import thaw as run_thaw

    run_thaw(model, manifest, RunFolder(run), note)
    click.echo(run)
