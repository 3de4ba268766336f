"""What has happened since the start, kept in memory: counts, by the hour too, and the last events."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from edge.messages import Counts, Event
from edge.vision.classifier import Label

HOURS = 24
_RECENT = 20
LATENCY_BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_MILLISECONDS = 1000
_LABELS = frozenset(map(str, Label))


@dataclass(frozen=True, slots=True)
class HourCounts:
    """Verdicts of one hour of the day, 0 to 23, in local time."""

    hour: int
    mask: int
    no_mask: int
    uncertain: int

    @property
    def total(self) -> int:
        return self.mask + self.no_mask + self.uncertain


class Tally:
    """How often what has been seen. Written by the pipeline, read by others.

    Args:
        now: the time of day.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(Counts.model_fields, 0)
        self._day: date | None = None
        self._hours: dict[tuple[int, str], int] = {}

    def add(self, name: str, number: int = 1) -> None:
        with self._lock:
            self._counts[name] += number
            if name in _LABELS:
                hour = self._turn_to_today()
                self._hours[hour, name] = self._hours.get((hour, name), 0) + number

    def counts(self) -> Counts:
        with self._lock:
            return Counts(**self._counts)

    def today(self) -> tuple[HourCounts, ...]:
        """The verdicts of this day, of which the hours before the start are not known; 24 entries."""
        with self._lock:
            self._turn_to_today()
            return tuple(
                HourCounts(hour, **{str(label): self._hours.get((hour, label), 0) for label in Label})
                for hour in range(HOURS)
            )

    def _turn_to_today(self) -> int:
        """Forgets what was before today; the hour of now."""
        local = self._now().astimezone()
        if local.date() != self._day:
            self._day = local.date()
            self._hours.clear()
        return local.hour


@dataclass(frozen=True, slots=True)
class Latency:
    """How long events took: how many took up to each of `LATENCY_BOUNDS_S`, how many in all, and their sum."""

    within: tuple[int, ...]
    count: int
    sum_s: float


class History:
    """The last events. Written by the pipeline, read by others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: deque[Event] = deque(maxlen=_RECENT)
        self._latency = Latency((0,) * len(LATENCY_BOUNDS_S), 0, 0.0)

    def note(self, event: Event) -> None:
        took_s = event.latency_ms / _MILLISECONDS
        with self._lock:
            self._recent.appendleft(event)
            self._latency = Latency(
                tuple(
                    number + (took_s <= bound)
                    for number, bound in zip(self._latency.within, LATENCY_BOUNDS_S, strict=True)
                ),
                self._latency.count + 1,
                self._latency.sum_s + took_s,
            )

    def recent(self) -> tuple[Event, ...]:
        """The newest first. Their `seq` is given later, where they are stored, and is 0 here."""
        with self._lock:
            return tuple(self._recent)

    def latency(self) -> Latency:
        with self._lock:
            return self._latency
