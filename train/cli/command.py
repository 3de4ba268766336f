"""How this program was called, for cards and records."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def typed_command() -> str:
    """The command as typed, with folders left out of the paths in it: a card names no machine."""
    return shlex.join(["maskgate-train", *(_without_folders(word) for word in sys.argv[1:] if word != "--debug")])


def _without_folders(word: str) -> str:
    """A path by its last part, also one that is in one word with its option: `--start=runs/one`, `-oruns/one`."""
    option, equals, value = "", "", word
    if word.startswith("--"):
        option, equals, value = word.partition("=")
    elif word.startswith("-"):
        option, value = word[:2], word[2:]
    return option + equals + (Path(value).name or value if "/" in value else value)
