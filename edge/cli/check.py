"""`maskgate check`."""

from __future__ import annotations

from pathlib import Path

import click

from edge.cli.options import config_option
from edge.settings import DEFAULT_CONFIG, load_settings


@click.command()
@config_option
@click.option("--offline", is_flag=True, help="Configuration and models only; no source, no broker.")
def check(config: Path | None, offline: bool) -> int:  # noqa: FBT001
    """Try the configuration, models, sources and broker: one line each, ok or the reason."""
    from edge.checks import run_checks

    settings = load_settings(config)
    read = config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else "defaults")
    code = 0
    for outcome in run_checks(settings, str(read), offline=offline):
        if outcome.error is None:
            click.echo(f"ok      {outcome.what}: {outcome.found}")
        else:
            click.echo(f"failed  {outcome.what}: {outcome.error}")
            code = max(code, outcome.error.exit_code)
    return code
