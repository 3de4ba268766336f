"""A thread that can be asked to stop and whose death is noticed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Worker:
    """Starts `work` at once in a thread of its own; as a context manager, ends it at the end of the block.

    Args:
        name: of the thread, for people.
        work: runs until the event that it is given is set. What it dies of is kept in `died_of`.
        stop_limit_s: how long `join` waits at most, from when it was asked to stop.
    """

    def __init__(self, name: str, work: Callable[[threading.Event], None], stop_limit_s: float) -> None:
        self.name = name
        self.died_of: BaseException | None = None
        self._stop = threading.Event()
        self._work = work
        self._stop_limit_s = stop_limit_s
        self._asked_at: float | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.ask_to_stop()
        self.join()

    def _run(self) -> None:
        try:
            self._work(self._stop)
        except BaseException as error:  # noqa: BLE001  whatever it is, who watches decides what follows
            self.died_of = error

    def ask_to_stop(self) -> None:
        if self._asked_at is None:
            self._asked_at = time.monotonic()
        self._stop.set()

    def join(self, limit_s: float | None = None) -> None:
        """Waits for its end, but not longer than its limit, or this one: it may hang in a driver."""
        asked_at = time.monotonic() if self._asked_at is None else self._asked_at
        limit_s = self._stop_limit_s if limit_s is None else limit_s
        self._thread.join(max(0.0, asked_at + limit_s - time.monotonic()))
