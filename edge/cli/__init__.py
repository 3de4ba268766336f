"""The command line: one file a command, each of which parses, calls one thing below, and prints."""

from __future__ import annotations

import errno
import os
import sys
import threading
import traceback
from importlib import import_module
from typing import NoReturn

import click

from edge import __version__
from edge.cli.streams import complain, give_up_stdout, prepare_streams
from edge.errors import ConfigError, MaskgateError, UnavailableError

_INTERNAL_ERROR = 70
_INTERRUPTED = 130
_COMMANDS = {
    "run": "The daemon: all configured sources, until SIGTERM.",
    "classify": "Classify pictures, folders or globs once.",
    "demo": "See it work with nothing set up.",
    "listen": "Print events as they come from the broker.",
    "check": "Try the configuration, models, sources and broker.",
    "bench": "Measure this machine.",
    "schema": "Print the schema of what is published.",
    "fleet": "Many devices on one broker.",
}


class _LazyGroup(click.Group):
    """Imports a command when it is used: `--help` and `schema` load no model and no OpenCV on a slow board."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG):
                raise
            return _no_output(error)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"edge.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.version_option(__version__, prog_name="maskgate")
def cli(debug: bool) -> None:  # noqa: FBT001  read from the command line by `main`, which outlives click's context
    """Face-mask events over MQTT from cameras and folders."""


def main() -> None:
    """Entry point: every error becomes one line on stderr and its exit code."""
    prepare_streams()
    _leave(_run())


def _run() -> int:
    try:
        return int(cli(standalone_mode=False) or 0)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except MaskgateError as error:
        _trace()
        for problem in error.problems if isinstance(error, ConfigError) else [str(error)]:
            complain(problem)
        return error.exit_code
    except Exception as error:  # noqa: BLE001  it is told, and how to learn more
        _trace()
        complain(f"internal error: {error!r}; run again with --debug and report it")
        return _INTERNAL_ERROR


def _trace() -> None:
    if "--debug" in sys.argv:
        traceback.print_exc()


def _leave(code: int) -> NoReturn:
    """Ends the process, at once if a thread hangs in a camera's driver: that one would be torn down in the middle."""
    try:
        sys.stdout.flush()
    except OSError as error:
        code = code or _no_output(error)
    sys.stderr.flush()
    if threading.active_count() > 1:
        os._exit(code)
    sys.exit(code)


def _no_output(error: OSError) -> int:
    """The exit code. That whoever read our records has gone is no error of ours."""
    if give_up_stdout() and isinstance(error, BrokenPipeError):
        return 0
    complain(f"output cannot be written: {error.strerror}")
    return UnavailableError.exit_code
