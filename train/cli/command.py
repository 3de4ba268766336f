"""How this program was called, for cards and records."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from edge.plain import shown


def typed_command() -> str:
    r"""The command as typed, with folders left out of the paths in it: a card names no machine.

    Bytes of a name that are no UTF-8 are spelt out (`\xe9`): JSON cannot hold them.
    """
    words = ["maskgate-train", *(_without_folders(word) for word in sys.argv[1:] if word != "--debug")]
    return shown(shlex.join(words))


def _without_folders(word: str) -> str:
    """A path by its last part, also one that is in one word with its option: `--start=runs/one`, `-oruns/one`."""
    option, equals, value = "", "", word
    if word.startswith("--"):
        option, equals, value = word.partition("=")
    elif word.startswith("-"):
        option, value = word[:2], word[2:]
    return option + equals + (Path(value).name or value if "/" in value else value)
