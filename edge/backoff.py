"""How long to wait before the next try."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Doubles from `first` to `ceiling` seconds, each wait drawn from its upper half.

    The draw keeps forty doors from coming back to a restarted broker in the same second (the "equal jitter" of Brooker,
    Exponential Backoff and Jitter, 2015).
    """

    def __init__(self, first: float, ceiling: float, draw: Callable[[], float] = random.random) -> None:
        self._first = first
        self._ceiling = ceiling
        self._draw = draw
        self._next = first

    def wait(self) -> float:
        """Seconds to wait now; the next one is longer."""
        longest = self._next
        self._next = min(self._ceiling, 2 * longest)
        return longest * (0.5 + 0.5 * self._draw())

    def reset(self) -> None:
        """It worked: the next wait is the first again."""
        self._next = self._first
