"""The two clocks: one that only runs forward, for durations, and one that tells the time, for stamps."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_TIMESYNCD = Path("/run/systemd/timesync/synchronized")
_UNSYNCHRONIZED = 5
_TIMEX_BYTES = 512
"""More than any architecture's `struct timex`; zeroed, it only asks (adjtimex(2))."""


def system_clock_synced() -> bool:
    """Whether something keeps the clock right; false too where the system does not say."""
    if _TIMESYNCD.exists():
        return True
    answer = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return answer in range(_UNSYNCHRONIZED)


@dataclass(frozen=True, slots=True)
class Clock:
    """What tells the time; tests give their own."""

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    synced: Callable[[], bool] = system_clock_synced
