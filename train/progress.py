"""How long work tells the outside where it stands. The defaults say nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Note: TypeAlias = Callable[[str], None]
"""Takes a sentence for the person who waits."""

Count: TypeAlias = Callable[[int, int], None]
"""Takes how many are done, and of how many."""


def silent(text: str) -> None:
    """A `Note` that is not passed on."""


def uncounted(done: int, total: int) -> None:
    """A `Count` that is not passed on."""
