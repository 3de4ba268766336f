"""Where the program prints to, and what becomes of that when nobody reads it any more."""

from __future__ import annotations

import io
import os
import select
import sys
from pathlib import Path
from typing import Any

import click

from edge.plain import plain

_ENCODING, _ERRORS = "utf-8", "backslashreplace"


class _Stderr(io.FileIO):
    """Says what can be said: that a reader has gone, or a disk is full, ends no work that the words are about."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def prepare_streams() -> None:
    """Records are UTF-8 whatever the terminal is; a stream that whoever started us has closed takes everything."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding=_ENCODING))  # noqa: SIM115  for as long as we live
    sys.stdout.reconfigure(encoding=_ENCODING, errors=_ERRORS)  # type: ignore[union-attr]
    raw = io.BufferedWriter(_Stderr(sys.stderr.fileno(), "w", closefd=False))
    sys.stderr = io.TextIOWrapper(raw, encoding=_ENCODING, errors=_ERRORS, line_buffering=True)


def complain(text: str) -> None:
    """One line on stderr, whatever somebody has called a file that it names."""
    click.echo(f"maskgate: {plain(text)}", err=True)


def give_up_stdout() -> bool:
    """What is still printed goes nowhere. Whether that is because its reader has gone, as `head` does."""
    looked_at = select.poll()
    looked_at.register(sys.stdout, 0)
    reader_is_gone = bool(looked_at.poll(0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return reader_is_gone
