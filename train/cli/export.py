"""`maskgate-train export`."""

from __future__ import annotations

import os
from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="models/NAME.tflite"
)
@click.option(
    "--representative",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Manifest of pictures to quantize on (its train part, if it has parts); by default 300 that were trained on.",
)
@click.option(
    "--average",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    help="Another run from the same beginning; the mean of the weights of all is exported. May be given several times.",
)
def export(run: Path, output: Path, representative: Path | None, average: tuple[Path, ...]) -> None:
    """Writes the int8 model of RUN, its card, and in RUN the float model and the parity report.

    Refuses a file that would crash or mislead a runtime, or that differs from float by more than 0.3 points.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from train.cli.progress import counted, note
    from train.export import export as run_export
    from train.runs import RunFolder

    others = [RunFolder(path) for path in average]
    with counted("pictures") as progress:
        card, parity = run_export(RunFolder(run), output, representative, others, note, progress)
    click.echo(
        f"val, balanced accuracy: float {parity.float_balanced_accuracy:.4f}, "
        f"int8 {parity.int8_balanced_accuracy:.4f}; "
        f"same side on {parity.same_side:.4f}, probabilities {parity.mean_difference:.4f} apart on average"
    )
    test = card.metrics["test"]
    click.echo(
        f"test, balanced accuracy: int8 {test['balanced_accuracy']} on {test['faces']} faces of {test['groups']} groups"
    )
    click.echo(output)
