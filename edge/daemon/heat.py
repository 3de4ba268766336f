"""Less work while the processor is hot, before the kernel makes everything slower."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)

CHECK_EVERY_S = 10.0
"""Heat is slow: a lower rate shows in the temperature after about so long."""
HYSTERESIS_C = 5.0
"""So much below the limit the rate is raised again, so that it does not swing."""
MOST_STEPS = 3


class Heat:
    """Decides which share of the frames is analysed: all, or one in 2, 4 or 8 while it is too hot.

    Args:
        limit_c: degrees Celsius above which the rate is halved, and halved again at each check; 0 never lowers it.
        temperature_c: of the processor; None where the board does not tell, and then nothing is lowered.
        clock: monotonic, in seconds.
    """

    def __init__(self, limit_c: float, temperature_c: Callable[[], float | None], clock: Callable[[], float]) -> None:
        self._limit_c = limit_c
        self._temperature_c = temperature_c
        self._clock = clock
        self._checked_at = float("-inf")
        self._steps = 0

    @property
    def one_in(self) -> int:
        """1 where every frame is analysed, 8 where one of eight is."""
        return 1 << self._steps

    def check(self) -> None:
        """Reads the temperature, if it is time to, and goes a step up or down."""
        now = self._clock()
        if not self._limit_c or now - self._checked_at < CHECK_EVERY_S:
            return
        self._checked_at = now
        found = self._temperature_c()
        if found is None:
            return
        before = self._steps
        if found > self._limit_c:
            self._steps = min(MOST_STEPS, self._steps + 1)
        elif found < self._limit_c - HYSTERESIS_C:
            self._steps = max(0, self._steps - 1)
        if self._steps != before:
            log.warning("%.1f degrees: one in %d frames is analysed (limit %.0f)", found, self.one_in, self._limit_c)
