"""`maskgate-train`: one file a command. What a command needs is imported when it runs, so that `--help` is quick."""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from edge import __version__
from edge.errors import MaskgateError, UnavailableError

_COMMANDS = {
    "inspect": ("train.cli.inspect", "Counts, sizes, modes, corrupt files, duplicates, sample grid."),
    "split": ("train.cli.split", "Divides a data set into train, val and test, whole groups at a time."),
    "fit": ("train.cli.fit", "Trains a network."),
    "export": ("train.cli.export", "Writes the int8 model and its card."),
    "evaluate": ("train.cli.evaluate", "Measures an int8 model on a part of a manifest."),
    "thaw": ("train.cli.thaw", "Makes a run to go on from of an int8 model whose run is gone."),
    "report": ("train.cli.report", "Curves, confusion matrix, calibration, worst mistakes as one HTML file."),
}
_DETECTOR = ("train.detector.cli", "The same for the face detector.")


class _LazyGroup(click.Group):
    """Knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [*_COMMANDS, *(["detector"] if _has_detector() else [])]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name == "detector" and _has_detector():
            module = _DETECTOR[0]
        elif cmd_name in _COMMANDS:
            module = _COMMANDS[cmd_name][0]
        else:
            return None
        command: click.Command = getattr(import_module(module), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands without importing any of them."""
        about = {name: text for name, (_, text) in _COMMANDS.items()} | {"detector": _DETECTOR[1]}
        with formatter.section("Commands"):
            formatter.write_dl([(name, about[name]) for name in self.list_commands(ctx)])


def _has_detector() -> bool:
    try:
        return find_spec(_DETECTOR[0]) is not None
    except ModuleNotFoundError:
        return False


@click.group(cls=_LazyGroup)
@click.version_option(__version__, prog_name="maskgate-train")
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
def group(**_: bool) -> None:
    """Builds, measures and reports the models of maskgate."""


def main(arguments: list[str] | None = None) -> Any:
    """Runs the command line; errors become one line on stderr and their exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # The option may stand anywhere: it is looked for when something has already gone wrong.
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        code = group.main(arguments, prog_name="maskgate-train", standalone_mode=False)
    except click.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except MaskgateError as error:
        if debug:
            traceback.print_exc()
        click.echo(f"maskgate-train: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if debug:
            traceback.print_exc()
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"maskgate-train: {where}{error.strerror or error}", err=True)
        sys.exit(UnavailableError.exit_code)
    except Exception as error:  # noqa: BLE001  The last line of defence: exit code 70, and --debug shows the rest.
        if debug:
            traceback.print_exc()
        click.echo(f"maskgate-train: {type(error).__name__}: {error} (--debug shows where)", err=True)
        sys.exit(MaskgateError.exit_code)
    if isinstance(code, int) and code:
        sys.exit(code)
