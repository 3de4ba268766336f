"""`maskgate-train detector ...`."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from pathlib import Path

import click

from edge.errors import UsageError
from train.cli.command import typed_command
from train.cli.finite import FiniteRange

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_DATA_HELP = "Folder of MANIFEST.csv."
_TEACHER_HELP = "YuNet .onnx: labels faces that nobody boxed."


@click.group()
def detector() -> None:
    """Trains, exports and measures the face detector."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("absl").setLevel(logging.ERROR)


@detector.command()
@click.argument("data", type=_FOLDER)
@click.option(
    "-o", "--output", "run", type=click.Path(path_type=Path, file_okay=False), required=True, help="Run folder."
)
@click.option("--teacher", type=_FILE, required=True, help=_TEACHER_HELP)
@click.option(
    "--weights", type=_FILE, help="Keras weights of MobileNetV2 alpha 0.35 without its top; of no use with --start."
)
@click.option("--steps", type=click.IntRange(1), default=6000, show_default=True, help="Batches.")
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="Pictures in a batch.")
@click.option("--size", type=click.IntRange(64), default=256, show_default=True, help="Side of the pictures, pixels.")
@click.option("--rate", type=FiniteRange(1e-6, 1), default=2e-3, show_default=True, help="Highest learning rate.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True)
@click.option("--start", type=_FILE, help="Weights to go on from, instead of the ImageNet trunk.")
@click.option("--traps", type=_FILE, help="False alarms to paste, from `mine`.")
@click.option("--objects", type=_FOLDER, help="Folder of PNG files with transparency that show no face, to paste.")
@click.option("--face-free", type=_FOLDER, help="Folder of further pictures that show nobody's face.")
@click.option("--unboxed", type=_FOLDER, help="Folder of further photos with bare faces: the teacher says where.")
@click.option("--unboxed-share", type=FiniteRange(0, 1), default=0.4, show_default=True, help="Of the windows, theirs.")
@click.option(
    "--teacher-share",
    type=FiniteRange(0, 1),
    default=0,
    show_default=True,
    help="Of the teacher's score in what a face's score is to be; less of faces that are small for it.",
)
@click.option("--masked-share", type=FiniteRange(0, 1), help="The same for masked faces, where it is to be another.")
@click.option(
    "--feeders",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes that make pictures; beside a GPU as many as there are other cores.",
)
@click.option(
    "--as-int8", is_flag=True, help="Fake quantization: learn with the rounding of the int8 file; needs --start."
)
def fit(
    data: Path,
    run: Path,
    teacher: Path,
    weights: Path | None,
    steps: int,
    batch: int,
    size: int,
    rate: float,
    seed: int,
    start: Path | None,
    traps: Path | None,
    objects: Path | None,
    face_free: Path | None,
    unboxed: Path | None,
    unboxed_share: float,
    teacher_share: float,
    masked_share: float | None,
    feeders: int,
    as_int8: bool,  # noqa: FBT001 - click passes options by name
) -> None:
    """Trains on the train part of DATA; goes on where RUN was interrupted."""
    from train.detector.fit import fit as run_fit
    from train.detector.mix import Mix
    from train.detector.trainer import FitOptions

    _check_multiple("--size", size)
    if as_int8 and not start:
        raise UsageError("--as-int8 is for a network that has learned already: give its weights with --start")
    options = FitOptions(
        steps=steps,
        batch=batch,
        size=size,
        rate=rate,
        seed=seed,
        mix=Mix(unboxed=unboxed_share),
        start=start and start.resolve(),
        traps=traps,
        objects=objects,
        face_free=face_free,
        unboxed=unboxed,
        teacher_share=teacher_share,
        masked_share=masked_share,
        as_int8=as_int8,
        feeders=feeders,
        command=typed_command(),
    )
    click.echo(run_fit(data, teacher, weights, run, options))


@detector.command()
@click.argument("run", type=_FOLDER)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The .tflite file."
)
@click.option("--data", type=_FOLDER, required=True, help=_DATA_HELP)
@click.option("--width", type=click.IntRange(32), default=384, show_default=True, help="Of the first input, pixels.")
@click.option("--height", type=click.IntRange(32), default=288, show_default=True, help="Of the first input, pixels.")
@click.option("--version", default="1", show_default=True, help="For the card.")
@click.option("--keep", type=FiniteRange(0, 1), default=0, show_default=True, help="Share of what the run began with.")
@click.option("--weights", type=_FILE, help="From `average`, instead of the run's.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Draws the calibration pictures; else the run's.")
def export(
    run: Path,
    output: Path,
    data: Path,
    width: int,
    height: int,
    version: str,
    keep: float,
    weights: Path | None,
    seed: int | None,
) -> None:
    """Makes the int8 file and its card of RUN, and holds it against the float network on the validation part.

    The file gets inputs of other shapes and about the same area besides, for wide, square and upright pictures.
    """
    from train.detector.evaluate import table
    from train.detector.export import Provenance
    from train.detector.fit import recorded_options
    from train.detector.pipeline import export_run, finished_weights
    from train.detector.sources import check_data, check_start
    from train.weights import maker_of

    _check_suffix(output, ".tflite", "model")
    _check_multiple("--width", width)
    _check_multiple("--height", height)
    if weights and keep:
        raise UsageError("--keep is of the run's own weights: leave it out, or --weights")
    options = recorded_options(run)
    check_data(options, data)
    if keep:
        check_start(options)
    commands = [options["command"], maker_of(weights) if weights else ""]
    if keep or weights or seed is not None:
        commands.append(typed_command())
    provenance = Provenance(
        name=output.stem,
        version=version,
        data=f"{data.resolve().name}/MANIFEST.csv, train part",
        seed=options["seed"],
        command="; ".join(filter(None, commands)),
        weights="MobileNetV2 alpha 0.35, ImageNet, blocks 3 to 16",
    )
    chosen = weights or finished_weights(run, options["start"], keep)
    click.echo(table(export_run(run, chosen, output, data, (height, width), provenance, seed)))


@detector.command()
@click.argument("networks", type=click.Path(path_type=Path, exists=True), nargs=-1, required=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="A .weights.h5 file."
)
def average(networks: tuple[Path, ...], output: Path) -> None:
    """Makes the mean of NETWORKS, folders of `fit` or .weights.h5 files that were trained on from one another.

    One that is given twice counts twice. For `export --weights` and `fit --start`.
    """
    from train.detector.pipeline import average as mean

    _check_suffix(output, ".weights.h5", "file of weights")
    mean(list(networks), output, typed_command())
    click.echo(output)


@detector.command()
@click.argument("packages", type=_FOLDER)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the pictures."
)
def collect(packages: Path, output: Path) -> None:
    """Takes the further photos that are named in train/detector/further_photos.csv out of PACKAGES, a folder.

    They go into the folders `unboxed` and `face_free`, for the options of these names of `fit`.
    """
    from train.detector.collect import collect as take

    for folder, count in take(packages, output).items():
        click.echo(f"{output / folder}: {count} pictures")


@detector.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True))
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The .npz file.")
@click.option("--data", type=_FOLDER, required=True, help=_DATA_HELP)
@click.option("--teacher", type=_FILE, required=True, help=_TEACHER_HELP)
@click.option("--min-score", type=FiniteRange(0, 0.5), default=0.2, show_default=True, help="Those above may be faces.")
def mine(run: Path, output: Path, data: Path, teacher: Path, min_score: float) -> None:
    """Collects the false alarms of RUN, a folder or a .weights.h5 file, on the training photos, for `fit --traps`."""
    from train.detector.pipeline import mine_run

    _check_suffix(output, ".npz", "file of false alarms")
    click.echo(f"{mine_run(run, output, data, teacher, (288, 384), min_score)} patches")


@detector.command()
@click.argument("model", type=_FILE)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="A .weights.h5 file."
)
@click.option("--data", type=_FOLDER, required=True, help=_DATA_HELP)
def thaw(model: Path, output: Path, data: Path) -> None:
    """Makes weights to go on from (`fit --start`) of MODEL, an int8 file whose run is gone."""
    from train.detector.pipeline import thaw_file

    _check_suffix(output, ".weights.h5", "file of weights")
    thaw_file(model, output, data, (288, 384))
    click.echo(output)


@detector.command()
@click.argument("model", type=_FILE)
@click.argument("data", type=_FOLDER)
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True)
@click.option("--yunet", type=_FILE, help="YuNet .onnx to compare with.")
@click.option("--blazeface", type=_FILE, help="BlazeFace .tflite to compare with.")
@click.option("--json", "output", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures there.")
@click.option("--into-card", is_flag=True, help="Write all figures into the model's card.")
def evaluate(
    model: Path,
    data: Path,
    split: str,
    yunet: Path | None,
    blazeface: Path | None,
    output: Path | None,
    into_card: bool,  # noqa: FBT001 - click passes options by name
) -> None:
    """Measures MODEL and other detectors on a part of DATA, each on one thread."""
    from train.detector.data import files_of
    from train.detector.evaluate import table
    from train.detector.pipeline import evaluate_file, with_metrics
    from train.files import check_output, write_output

    card = model.with_suffix(".json")
    if output:
        rivals = (rival for rival in (yunet, blazeface) if rival)
        check_output(output, model, card, *rivals, *files_of(data))
    results = evaluate_file(model, data, split, yunet, blazeface)
    click.echo(table(results))
    if output:
        figures = {name: _without_nan(row) for name, row in results.items()}
        write_output(output, json.dumps(figures, indent=2, allow_nan=False) + "\n")
    if into_card:
        text = with_metrics(json.loads(card.read_text(encoding="utf-8")), split, results)
        write_output(card, json.dumps(text, indent=2) + "\n")


def _check_suffix(output: Path, suffix: str, what: str) -> None:
    if not output.name.endswith(suffix):
        raise UsageError(f"{output}: the name of a {what} ends in {suffix}")


def _check_multiple(option: str, pixels: int) -> None:
    if pixels % 32:
        raise UsageError(f"{option}: expected a multiple of 32, got {pixels}")


def _without_nan(figures: dict[str, float]) -> dict[str, float | None]:
    """For JSON, which has no NaN: None for what could not be measured."""
    return {name: None if math.isnan(value) else value for name, value in figures.items()}
