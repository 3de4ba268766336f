"""`maskgate bench`."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import click

from edge.cli.options import config_option
from edge.settings import load_settings

_ENDED_BY_SIGTERM = 128 + signal.SIGTERM


@click.command()
@click.option(
    "--image", type=click.Path(path_type=Path), help="A picture of yours; without it, a frame of the demo scene."
)
@click.option(
    "--seconds", type=click.FloatRange(0.1, 3600), default=10, show_default=True, help="For all stages together."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@config_option
def bench(image: Path | None, seconds: float, as_json: bool, config: Path | None) -> None:  # noqa: FBT001
    """Measure this machine: stages in milliseconds, frames a second, memory; a start of the daemon."""
    import cv2

    from edge.bench import measure
    from edge.daemon.machine import rss_mb

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_ENDED_BY_SIGTERM))  # not before the daemon that it has started
    cv2.setNumThreads(1)
    settings = load_settings(config)
    measured = measure(settings, image, seconds, rss_mb)
    if as_json:
        click.echo(json.dumps(measured.as_json()))
        return
    threads = (
        "one thread" if settings.detector.threads == 1 else f"{settings.detector.threads} threads for the detector"
    )
    click.echo(f"{measured.runtime}, {threads}; {measured.picture}, {measured.faces} face(s)")
    click.echo(f"{'ms a call':<12}{'p50':>9}{'p95':>9}{'calls':>8}")
    for name, timing in measured.stages.items():
        click.echo(f"{name:<12}{timing.p50_ms:>9.2f}{timing.p95_ms:>9.2f}{timing.calls:>8}")
    if measured.over_networks is not None:
        click.echo(f"whole is {measured.over_networks} times the two networks alone")
    click.echo(f"{measured.frames_per_s} frames/s, {measured.rss_mb} MB, {measured.cold_start_s} s from start to READY")
