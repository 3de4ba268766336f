"""`maskgate-train fit`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from edge.errors import UsageError
from train.cli.command import typed_command
from train.cli.finite import FiniteRange


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "-o", "--output", "run", type=click.Path(path_type=Path, file_okay=False), required=True, help="Run folder."
)
@click.option("--arch", type=click.Choice(["mobilenet_v2", "cnn3", "cnn4"]), help="Network; the preset's if not given.")
@click.option("--alpha", type=FiniteRange(0.1, 2.0), help="Width of MobileNetV2.")
@click.option("--size", type=click.IntRange(32, 320), help="Side of the input in pixels.")
@click.option("--preset", help="maskgate, bangkit or fakhrezi; by default the one of the architecture.")
@click.option("--weights", help="imagenet, none, or a .weights.h5 file. Default: imagenet for MobileNetV2.")
@click.option(
    "--landmarks",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="YuNet .onnx: lets masks be drawn on bare faces.",
)
@click.option(
    "--hard-examples",
    "hard_run",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="An earlier run of the same split; what it finds difficult is drawn more often.",
)
@click.option(
    "--start",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="An earlier run of the same split and network, from whose best weights this one goes on.",
)
@click.option(
    "--teacher",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A run of a larger network on the same split, whose answers are learned beside the labels.",
)
@click.option(
    "--objects",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of PNG files with transparency that show no face.",
)
@click.option(
    "--traps",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What a detector took for faces, from `maskgate-train detector mine`.",
)
@click.option("--epochs", type=click.IntRange(1), help="Of the last phase, at most.")
@click.option("--steps", type=click.IntRange(1), help="Batches an epoch, for presets that draw at random.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True)
def fit(
    manifest: Path,
    run: Path,
    arch: str | None,
    alpha: float | None,
    size: int | None,
    preset: str | None,
    weights: str | None,
    landmarks: Path | None,
    hard_run: Path | None,
    start: Path | None,
    teacher: Path | None,
    objects: Path | None,
    traps: Path | None,
    epochs: int | None,
    steps: int | None,
    seed: int,
) -> None:
    """Trains on the `train` part of MANIFEST, keeps the best weights by `val`, goes on if RUN was interrupted."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from train.choices import USUAL_WEIGHTS, Choices
    from train.cli.progress import fit_progress, note
    from train.experiment import fit as run_fit
    from train.runs import RunFolder

    choices = Choices(
        arch=arch,
        preset=preset,
        alpha=alpha,
        size=size,
        epochs=epochs,
        steps=steps,
        weights=USUAL_WEIGHTS if weights is None else _weights(weights),
        landmarks=landmarks,
        hard_run=hard_run,
        start=start,
        teacher=teacher,
        objects=objects,
        traps=traps,
        seed=seed,
        command=typed_command(),
    )
    with fit_progress() as progress:
        run_fit(manifest, RunFolder(run), choices, progress, note)
    click.echo(run)


def _weights(given: str) -> Path | str | None:
    if given == "none":
        return None
    if given == "imagenet":
        return given
    path = Path(given)
    if not path.is_file():
        raise UsageError(f"--weights: no file {given}; or say imagenet or none")
    return path
