"""`maskgate demo`."""

from __future__ import annotations

import click

from edge.cli.listen import event_line
from edge.sources.demo import DEMO_URL


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the embedded broker; 0 takes a free one.")
@click.option("--seconds", type=click.FloatRange(min=0), default=30, show_default=True, help="0 runs until Ctrl-C.")
@click.option("--source", "url", default=DEMO_URL, help="A camera of yours instead of the bundled scene.")
def demo(port: int, seconds: float, url: str) -> None:
    """The main job with nothing set up: an embedded broker, the daemon on a moving scene, and its events."""
    from edge.daemon.demo import free_port, run_demo
    from edge.daemon.logs import set_up_logs
    from edge.daemon.signals import StopSignals
    from edge.errors import UnavailableError, UsageError

    if not url:
        raise UsageError("--source: is empty")
    set_up_logs("warning")
    port = port or free_port()
    stop = StopSignals()
    click.echo(f"broker on 127.0.0.1:{port}; watch it yourself: mosquitto_sub -p {port} -t 'maskgate/#' -v")
    received = run_demo(url, port, seconds, lambda payload: click.echo(event_line(payload)), stop.is_set)
    click.echo(f"{received} events")
    if not received:
        raise UnavailableError("no event came: nobody walked through the picture, or the source has none")
