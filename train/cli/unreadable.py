"""What is said of pictures that were left out, and how a command then ends."""

from __future__ import annotations

from collections.abc import Iterable

import click


def end_with(unreadable: Iterable[str]) -> None:
    """Names each picture that could not be read once, and ends with 1 if there is one."""
    paths = list(dict.fromkeys(unreadable))
    for path in paths:
        click.echo(f"{path} cannot be read and is left out; `maskgate-train inspect` says why", err=True)
    if paths:
        raise click.exceptions.Exit(1)
