"""`maskgate fleet`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from edge.cli.streams import complain


@click.group()
def fleet() -> None:
    """Many devices on one broker."""


@fleet.command()
@click.argument("devices", nargs=-1, metavar="[DEVICE]...")
@click.option("--devices", "file", type=click.Path(dir_okay=False, path_type=Path), help="More device ids, one a line.")
@click.option("--reader", "readers", multiple=True, metavar="NAME", help="May hear every device. Can be repeated.")
@click.option(
    "--homeassistant", "homeassistants", multiple=True, metavar="NAME", help="The user of Home Assistant's MQTT."
)
@click.option("--prefix", default="maskgate", show_default=True, help="mqtt.prefix of the devices.")
@click.option(
    "--discovery-prefix", default="homeassistant", show_default=True, help="homeassistant.prefix of the devices."
)
@click.option(
    "--credentials",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Make a password for each name that has none: mosquitto.passwd for the broker, NAME/mqtt__password for NAME.",
)
def acl(
    devices: tuple[str, ...],
    file: Path | None,
    readers: tuple[str, ...],
    homeassistants: tuple[str, ...],
    prefix: str,
    discovery_prefix: str,
    credentials: Path | None,
) -> None:
    """Print mosquitto's ACL file for these devices: each writes its own topics and reads nobody's."""
    from edge.fleet import PASSWORD_FILE, Fleet, issue_passwords, read_names

    named = dict.fromkeys([*devices, *(read_names(file) if file else ())])
    fleet = Fleet(
        tuple(named), tuple(dict.fromkeys(readers)), tuple(dict.fromkeys(homeassistants)), prefix, discovery_prefix
    )
    if credentials is not None:
        issued = issue_passwords(fleet.users, credentials)
        complain(f"passwords: {len(issued.new)} new, {len(issued.kept)} kept")
        for name in issued.strangers:
            cure = shlex.join(["mosquitto_passwd", "-D", str(credentials / PASSWORD_FILE), name])
            complain(f"{name!r} is not named, and its password stays; to remove it: {cure}")
    click.echo(fleet.acl(), nl=False)
