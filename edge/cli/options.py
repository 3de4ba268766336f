"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="TOML file; without it /etc/maskgate/maskgate.toml is read if it exists.",
)
