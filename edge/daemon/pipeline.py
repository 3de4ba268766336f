"""The way of a picture: from the sources through their lanes, in turn, in one thread for all."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from edge.daemon.clock import Clock

_IDLE_S = 0.5


class Lane(Protocol):
    """One source on its way through the pipeline."""

    @property
    def analysed(self) -> int: ...

    @property
    def patience_s(self) -> float:
        """How long one step may take beside what is usual."""
        ...

    def step(self) -> bool:
        """Takes one picture through; False if there was none."""
        ...


class Pipeline:
    """Takes turns between the lanes, one picture each, so that no source starves another. `run` is one thread."""

    def __init__(self, lanes: Sequence[Lane], clock: Clock) -> None:
        self._lanes = lanes
        self._clock = clock
        self._awake = threading.Event()
        self.turned_at = clock.monotonic()
        """When the last step began: what the watchdog looks at."""
        self.patience_s = 0.0
        """Of the lane whose step it is."""

    def wake(self) -> None:
        """A source has something."""
        self._awake.set()

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._awake.clear()
            worked = False
            for lane in self._lanes:
                self.turned_at, self.patience_s = self._clock.monotonic(), lane.patience_s
                worked |= lane.step()
            self.turned_at, self.patience_s = self._clock.monotonic(), 0.0
            if not worked:
                self._awake.wait(_IDLE_S)
