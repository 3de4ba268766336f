"""`maskgate run`."""

from __future__ import annotations

from pathlib import Path

import click

from edge.cli.options import config_option
from edge.daemon.logs import set_up_logs
from edge.daemon.service import serve
from edge.daemon.signals import StopSignals
from edge.settings import load_settings


@click.command()
@config_option
def run(config: Path | None) -> None:
    """The daemon: all configured sources, until SIGTERM or SIGINT."""
    settings = load_settings(config)
    set_up_logs(settings.log.level)
    serve(settings, StopSignals())
