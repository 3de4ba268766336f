"""`maskgate run`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from edge.cli.options import config_option
from edge.daemon.daemon import Daemon
from edge.daemon.logs import set_up_logs
from edge.daemon.notify import notify
from edge.daemon.signals import StopSignals
from edge.errors import UnavailableError
from edge.settings import load_settings

_PAUSE_S = 5.0
"""After what is missing. The unit starts again at once, as it should after a crash; all day long that would be two
times a second, with lines in the journal that wear an SD card. systemd before 254 cannot let the pauses grow."""


@click.command()
@config_option
def run(config: Path | None) -> None:
    """The daemon: all configured sources, until SIGTERM or SIGINT."""
    settings = load_settings(config)
    set_up_logs(settings.log.level)
    stop = StopSignals()
    try:
        Daemon(settings).run(stop)
    except UnavailableError as error:
        if os.environ.get("NOTIFY_SOCKET"):
            notify(f"STATUS={error}")
            if stop.wait(_PAUSE_S):
                return
        raise
