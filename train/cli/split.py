"""`maskgate-train split`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Manifest to write."
)
@click.option("--ratios", type=float, nargs=3, help="train val test  [default: 0.8 0.1 0.1]")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--reshuffle", is_flag=True, help="Pool the published split and deal it out again in its proportions.")
@click.option("--keep-published", is_flag=True, help="Keep split and labels as published, leaks included.")
def split(
    data: Path,
    output: Path,
    ratios: tuple[float, float, float] | None,
    seed: int,
    *,
    reshuffle: bool,
    keep_published: bool,
) -> None:
    """Writes a manifest of DATA (folder, zip or manifest) with its parts; a group is never in two of them.

    Copies and near copies are found first unless DATA names a group for each picture. Ends with 1 if a file cannot be
    read then; where all groups are named, no picture is opened.
    """
    from edge.errors import UsageError
    from train import split as parts
    from train.cli.progress import counted
    from train.cli.unlabelled import tell_unlabelled
    from train.dataset import open_dataset
    from train.duplicates import augmented_beside_plain
    from train.files import check_output
    from train.samples import rebased, way_to, write_manifest

    if reshuffle and keep_published:
        raise UsageError("--reshuffle and --keep-published exclude each other")
    if ratios and (reshuffle or keep_published):
        raise UsageError("--ratios: --reshuffle and --keep-published take the published proportions; leave it out")
    if output.suffix.lower() != ".csv":
        raise UsageError(f"{output}: the name of a manifest ends in .csv")
    if output.parent.is_dir():
        check_output(output, data)
    dataset = open_dataset(data)
    way_to(dataset.root, output.parent)  # what cannot be named in it is refused before the pictures are read
    tell_unlabelled(dataset)
    _tell_augmented(augmented_beside_plain(sample.path for sample in parts.without_group(dataset.samples)))
    with counted("reading") as progress:
        found = parts.grouped(dataset, progress)
    kept = {sample.path for sample in found.samples}
    unreadable = [sample.path for sample in dataset.samples if sample.path not in kept]
    for path in unreadable:
        click.echo(f"{path} cannot be read and is left out; `maskgate-train inspect` says why", err=True)
    if not kept:
        raise UsageError(f"{data} has no picture that can be read")
    if keep_published:
        samples = parts.as_published(found.samples)
        _tell_leaking(len(parts.leaking_groups(samples)))
    else:
        samples = (
            parts.reshuffled(found.samples, seed)
            if reshuffle
            else parts.split(found.samples, parts.Ratios(*(ratios or ())), seed)
        )
        parts.check_groups(samples)
    write_manifest(output, rebased(samples, found.root, output.parent))
    for (part, label), count in sorted(Counter((sample.split, sample.label) for sample in samples).items()):
        click.echo(f"{part or '-':6} {label or '-':10} {count}")
    if unreadable:
        raise click.exceptions.Exit(1)


def _tell_augmented(paths: Sequence[str]) -> None:
    if paths:
        click.echo(
            f"{len(paths)} files were augmented by their names ({paths[0]}): turned or zoomed copies are not found, "
            "so that their plain originals may come into other parts; say what belongs together in a manifest's column "
            "group_id",
            err=True,
        )


def _tell_leaking(groups: int) -> None:
    if groups:
        click.echo(
            f"{groups} groups are on two sides of the published split: its validation score is no accuracy", err=True
        )
