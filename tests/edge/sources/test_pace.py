from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from edge.sources.pace import BEHIND_FOR_S, BEHIND_S, DRIFT, Pace

FRAME_S = 1 / 30


def noticed_at(frames: Iterable[tuple[float, float]]) -> float | None:
    """When it was first said that the reader falls behind, if ever."""
    pace = Pace()
    return next((now for stream_s, now in frames if pace.falls_behind(stream_s, now)), None)


def read(for_s: float, *, capacity: float, beginning: float = 1000.0) -> Iterator[tuple[float, float]]:
    """Frames as they come to a reader who can take `capacity` times as many as are sent."""
    now = 0.0
    for number in range(round(for_s / FRAME_S)):
        now = max(now + FRAME_S / capacity, number * FRAME_S)
        yield beginning + number * FRAME_S, now


@pytest.mark.parametrize("capacity", [1.0, 1.2, 10.0])
def test_whoever_takes_as_much_as_comes_keeps_up(capacity: float) -> None:
    assert noticed_at(read(120, capacity=capacity)) is None


@pytest.mark.parametrize("capacity", [0.2, 0.5, 0.9, 0.97])
def test_whoever_takes_less_falls_behind(capacity: float) -> None:
    at = noticed_at(read(120, capacity=capacity))

    assert at is not None
    late_by_a_frame_s = FRAME_S * (1 / capacity - 1)
    frames_to_be_late = BEHIND_S / late_by_a_frame_s
    assert at == pytest.approx(frames_to_be_late * FRAME_S / capacity + BEHIND_FOR_S, rel=0.05)


@pytest.mark.parametrize("beginning", [-1e14, 0.0, 1e6])
def test_where_the_time_stamps_begin_says_nothing(beginning: float) -> None:
    assert noticed_at(read(60, capacity=1.2, beginning=beginning)) is None
    assert noticed_at(read(60, capacity=0.5, beginning=beginning)) is not None


def test_what_had_waited_when_the_stream_was_opened_is_forgiven() -> None:
    waiting = [(number * FRAME_S, 1.0) for number in range(30)]
    live = [(number * FRAME_S, number * FRAME_S) for number in range(30, 3000)]

    assert noticed_at(waiting + live) is None


def test_a_network_that_hangs_is_no_weak_reader() -> None:
    before = list(read(20, capacity=2))
    hung_for_s, caught_up_after_s = 4.0, 8.0
    after = [
        (stream_s + 20, now + 20 + hung_for_s * max(0.0, 1 - now / caught_up_after_s))
        for stream_s, now in read(60, capacity=2)
    ]

    assert noticed_at(before + after) is None


@pytest.mark.parametrize(("drift", "noticed"), [(DRIFT / 2, False), (DRIFT * 5, True)])
def test_the_clock_of_a_camera_may_be_a_little_slow(drift: float, noticed: bool) -> None:
    day = [(number * (1 - drift), float(number)) for number in range(24 * 3600)]

    assert (noticed_at(day) is not None) is noticed


def test_time_stamps_that_jump_ahead_are_nothing_to_catch_up_with() -> None:
    frames = list(read(20, capacity=1.2)) + [(stream_s + 3620, now + 20) for stream_s, now in read(60, capacity=1.2)]

    assert noticed_at(frames) is None
