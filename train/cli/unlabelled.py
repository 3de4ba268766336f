"""Pictures that a data set leaves out because no folder above them has the name of a class."""

from __future__ import annotations

import click

from train.dataset import Dataset


def tell_unlabelled(dataset: Dataset) -> None:
    """Names the folders on stderr."""
    for folder, count in dataset.unlabelled.items():
        click.echo(
            f"{folder}: {count} {'picture' if count == 1 else 'pictures'} left out; the name is that of no class "
            "(mask, no_mask, incorrect, no_face, or what others call them)",
            err=True,
        )
