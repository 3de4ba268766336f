"""`maskgate-train evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from train.cli.finite import FiniteRange


@click.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("manifest", type=click.Path(path_type=Path, exists=True))
@click.option("--split", "part", type=click.Choice(["train", "val", "test", "all"]), default="test", show_default=True)
@click.option("--margin", type=FiniteRange(-0.3, 1.0), help="Around the face box, instead of the card's.")
@click.option("--json", "output", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures there.")
def evaluate(model: Path, manifest: Path, part: str, margin: float | None, output: Path | None) -> None:
    """Measures the int8 file MODEL itself on a part of MANIFEST, by group.

    Ends with 1 if a picture cannot be read.
    """
    from edge.errors import UsageError
    from train.cli.progress import counted
    from train.cli.unreadable import end_with
    from train.dataset import open_dataset, with_boxes
    from train.evaluation import figures_of
    from train.files import check_output, write_output
    from train.judging import judge

    dataset = with_boxes(open_dataset(manifest))
    if output:
        check_output(output, model, model.with_suffix(".json"), manifest, *dataset.files())
    samples = dataset.samples if part == "all" else dataset.part(part)
    if not samples:
        raise UsageError(f"the manifest has no {part} part")
    with counted("judging") as progress:
        seen = judge(model, samples, dataset.store(), margin, progress)
    if not seen.samples:
        raise UsageError(_nothing(manifest, part, len(seen.unreadable)))
    figures = figures_of(seen)
    _show(figures)
    if output:
        write_output(output, json.dumps(figures, indent=2) + "\n")
    end_with(seen.unreadable)


def _nothing(manifest: Path, part: str, unreadable: int) -> str:
    if unreadable:
        return f"{manifest}: none of the {unreadable} pictures of {part} can be read; `maskgate-train inspect` says why"
    return f"{manifest}: nothing in {part} can be judged; it needs pictures with a label, boxed faces not too small"


def _show(figures: dict[str, Any]) -> None:
    for name, value in figures.items():
        if name not in ("slices", "worst_slice"):
            click.echo(f"{name:32} {'-' if value is None else value}")
    for entry in figures["slices"]:
        click.echo(
            f"  {entry['name']:44} {entry['faces']:5} faces {entry['groups']:5} groups"
            f"  right {entry['right']}  uncertain {entry['uncertain']}"
        )
    if figures["worst_slice"]:
        click.echo(f"worst slice: {figures['worst_slice']['name']}, right {figures['worst_slice']['right']}")
