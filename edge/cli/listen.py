"""`maskgate listen`."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import click

from edge.cli.options import config_option
from edge.errors import ConfigError
from edge.mqtt.topics import Topics
from edge.settings import load_settings


def event_line(payload: bytes) -> str:
    """An event as one line for people; what would command the terminal is spelt out."""
    try:
        event = json.loads(payload)
        where = f"{event['device']}/{event['source']}"
        what = event["image"]["path"] if event["image"] else f"person {event['track']['id']}"
        line = f"{event['time']}  {where:<20}  {event['event_type']:<9}  p_mask {event['p_mask']:.2f}  {what}"
        return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"no event of ours: {payload[:80]!r}"


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, as published.")
def listen(config: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """Print the events of all devices under mqtt.prefix as they come, until Ctrl-C."""
    from edge.mqtt.embedded import EMBEDDED
    from edge.mqtt.subscriber import receive

    settings = load_settings(config)
    if settings.mqtt.host in ("", EMBEDDED):
        raise ConfigError(f"mqtt.host: is {settings.mqtt.host!r}, and no broker that one could listen to")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def show(_topic: str, payload: bytes) -> None:
        click.echo(payload.decode(errors="backslashreplace") if as_json else event_line(payload))

    receive(settings.mqtt, Topics(settings.mqtt.prefix, settings.device_id).of_any_device("event"), show, stop.is_set)
