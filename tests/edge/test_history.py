"""Counts by the hour, and the last events."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from edge.history import History, Tally
from edge.vision.classifier import Label
from support.messages import an_event


class WallClock:
    def __init__(self, text: str) -> None:
        self.now = datetime.fromisoformat(text)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def kolkata(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local time that is neither UTC nor whole hours off it."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("kolkata")
def test_verdicts_are_counted_by_the_hour_of_local_time() -> None:
    clock = WallClock("2026-11-22T06:29:00+00:00")  # 11:59 there
    tally = Tally(clock)
    tally.add(Label.MASK)
    clock.now = datetime.fromisoformat("2026-11-22T06:31:00+00:00")
    tally.add(Label.NO_MASK, 2)
    tally.add("too_small", 5)

    hours = tally.today()
    assert [hour.hour for hour in hours] == list(range(24))
    assert {hour.hour: (hour.mask, hour.no_mask) for hour in hours if hour.total} == {11: (1, 0), 12: (0, 2)}
    assert tally.counts().too_small == 5


@pytest.mark.usefixtures("kolkata")
def test_a_new_day_begins_with_nothing_while_the_counts_go_on() -> None:
    clock = WallClock("2026-11-22T18:29:00+00:00")  # a minute before midnight
    tally = Tally(clock)
    tally.add(Label.MASK)
    clock.now = datetime.fromisoformat("2026-11-22T18:31:00+00:00")

    assert sum(hour.total for hour in tally.today()) == 0
    tally.add(Label.UNCERTAIN)
    assert [(hour.hour, hour.uncertain) for hour in tally.today() if hour.total] == [(0, 1)]
    assert tally.counts().mask == 1


def test_the_last_events_come_newest_first_and_old_ones_go() -> None:
    history = History()
    events = [an_event().model_copy(update={"p_mask": number / 100}) for number in range(30)]
    for event in events:
        history.note(event)

    recent = history.recent()
    assert recent[0] is events[-1]
    assert len(recent) == 20


def test_latencies_are_counted_in_buckets() -> None:
    history = History()
    for milliseconds in (50, 60, 9000):
        history.note(an_event().model_copy(update={"latency_ms": float(milliseconds)}))

    latency = history.latency()
    assert latency.within == (1, 2, 2, 2, 2, 2, 2)
    assert (latency.count, round(latency.sum_s, 2)) == (3, 9.11)
