"""`maskgate listen`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from edge.cli.options import config_option
from edge.daemon.signals import StopSignals
from edge.errors import ConfigError
from edge.mqtt.topics import Topics
from edge.plain import plain
from edge.settings import load_settings

_REDRAWN_EVERY_S = 0.5


def event_line(payload: bytes) -> str:
    """An event as one line for people; what would command the terminal is spelt out."""
    try:
        event = json.loads(payload)
        where = f"{event['device']}/{event['source']}"
        what = event["image"]["path"] if event["image"] else f"person {event['track']['id']}"
        return plain(f"{event['time']}  {where:<20}  {event['event_type']:<9}  p_mask {event['p_mask']:.2f}  {what}")
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return f"no event of ours: {payload[:80]!r}"


def json_line(payload: bytes) -> str:
    """The same JSON on one line; what would command the terminal is written as JSON escapes it."""
    text = payload.decode(errors="backslashreplace")
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else " " if each in "\r\n\t" else json.dumps(each)[1:-1] for each in text)


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, as published.")
@click.option(
    "--counts",
    is_flag=True,
    help="Count verdicts a door instead: a table, live on a terminal; with --json an object a device at the end.",
)
def listen(config: Path | None, as_json: bool, counts: bool) -> None:  # noqa: FBT001
    """Print the events of all devices under mqtt.prefix as they come, until Ctrl-C."""
    from edge.heard import Heard, as_records, as_table
    from edge.mqtt.embedded import EMBEDDED
    from edge.mqtt.subscriber import receive

    settings = load_settings(config)
    if settings.mqtt.host in ("", EMBEDDED):
        raise ConfigError(f"mqtt.host: is {settings.mqtt.host!r}, and no broker that one could listen to")
    stop = StopSignals()
    topics = Topics(settings.mqtt.prefix, settings.device_id)
    events, images = topics.of_any_device("event"), topics.of_any_device("image")
    if not counts:
        receive(settings.mqtt, [events], _show_as_json if as_json else _show, stop.is_set)
        return
    heard = Heard()
    try:
        with _live(lambda: as_table(heard), on=not as_json and sys.stdout.isatty()) as refresh:

            def ended() -> bool:
                refresh()
                return stop.is_set()

            receive(settings.mqtt, [events, images], heard.take, ended)
    finally:  # what was counted for weeks is told whatever ends it
        if heard.devices() or stop.is_set():
            for line in map(json.dumps, as_records(heard)) if as_json else [as_table(heard)]:
                click.echo(line)


def _show(_topic: str, payload: bytes) -> None:
    click.echo(event_line(payload))


def _show_as_json(_topic: str, payload: bytes) -> None:
    click.echo(json_line(payload))


@contextmanager
def _live(text: Callable[[], str], *, on: bool) -> Iterator[Callable[[], None]]:
    """Shows `text` on the terminal until the end of the block, as often as one can read it."""
    if not on:
        yield lambda: None
        return
    from rich.live import Live
    from rich.text import Text

    drawn_at = float("-inf")
    with Live(auto_refresh=False, transient=True) as live:

        def refresh() -> None:
            nonlocal drawn_at
            if time.monotonic() - drawn_at >= _REDRAWN_EVERY_S:
                drawn_at = time.monotonic()
                live.update(Text(text()), refresh=True)

        yield refresh
