"""`maskgate-train inspect`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with plots and a sample grid."
)
def inspect(data: Path, report: Path | None) -> None:
    """Counts, sizes, modes, corrupt files and copies in DATA (folder, zip or manifest).

    Ends with 1 if a file cannot be read.
    """
    from train.cli.progress import counted
    from train.cli.unlabelled import tell_unlabelled
    from train.dataset import open_dataset
    from train.files import check_output, write_output
    from train.inspection import inspect_dataset

    dataset = open_dataset(data)
    if report:
        check_output(report, data, *dataset.files())
    tell_unlabelled(dataset)
    with counted("reading") as progress:
        found = inspect_dataset(dataset, progress)
    for part, label, files, pictures in found.counts():
        click.echo(f"{part or '-':6} {label or '-':10} {files:6} files, {pictures:6} different pictures")
    for name, unit in (("width", "px"), ("height", "px"), ("size_bytes", "bytes")):
        low, middle, high = found.spread(name)
        click.echo(f"{name:10} {low:.0f} to {high:.0f} {unit}, median {middle:.0f}")
    for mode, count in found.modes().most_common():
        click.echo(f"{mode:24} {count}")
    click.echo(f"same bytes: {sum(len(family) - 1 for family in found.copies)} files in {len(found.copies)} families")
    click.echo(f"same picture: {sum(len(family) - 1 for family in found.alike)} files in {len(found.alike)} families")
    click.echo(f"copies in another part of the split: {len(found.leaks)}")
    for path, reason in found.corrupt:
        click.echo(f"{path}: {reason}", err=True)
    if report:
        from train.pages import inspection_page

        write_output(report, inspection_page(dataset, found))
        click.echo(report)
    if found.corrupt:
        raise click.exceptions.Exit(1)
