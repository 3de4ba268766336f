"""SIGTERM and SIGINT, as something that can be waited for."""

from __future__ import annotations

import signal
from queue import Empty, SimpleQueue


class StopSignals:
    """Notes both from now on; the rest is as `threading.Event` has it.

    That itself will not do: a handler runs in the main thread, which may at that moment be inside `Event.wait` and hold
    the lock that `Event.set` would wait for, for ever. `SimpleQueue.put` may be called from within `SimpleQueue.get`.
    """

    def __init__(self) -> None:
        self._came: SimpleQueue[None] = SimpleQueue()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._came.put(None))

    def is_set(self) -> bool:
        return not self._came.empty()

    def wait(self, timeout: float) -> bool:
        """Whether one came, before or within `timeout` seconds."""
        try:
            self._came.get(timeout=timeout)
        except Empty:
            return False
        self._came.put(None)  # for who asks again
        return True
