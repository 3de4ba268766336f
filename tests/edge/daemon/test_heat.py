from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge.daemon.clock import Clock
from edge.daemon.heat import CHECK_EVERY_S, HYSTERESIS_C, Heat
from edge.daemon.parts import assemble
from edge.settings import CameraSource, MqttSettings, Settings
from edge.sources.camera import Camera
from edge.sources.demo import DemoCapture
from edge.vision.geometry import Image


class Board:
    """A clock and a thermometer."""

    def __init__(self) -> None:
        self.now = 0.0
        self.found: float | None = 40.0
        self.asked = 0

    def temperature_c(self) -> float | None:
        self.asked += 1
        return self.found

    def heat(self, limit_c: float = 75.0) -> Heat:
        return Heat(limit_c, self.temperature_c, lambda: self.now)


@pytest.fixture
def board() -> Board:
    return Board()


def rates(board: Board, heat: Heat, *temperatures: float | None) -> list[int]:
    found = []
    for board.found in temperatures:
        heat.check()
        found.append(heat.one_in)
        board.now += CHECK_EVERY_S
    return found


def test_the_rate_goes_down_step_by_step_and_no_further_than_an_eighth(board: Board) -> None:
    assert rates(board, board.heat(), 60, 76, 76, 80, 90, 90) == [1, 2, 4, 8, 8, 8]


def test_it_goes_up_again_only_well_below_the_limit(board: Board) -> None:
    heat = board.heat()
    rates(board, heat, 80, 80)

    assert rates(board, heat, 74, 75 - HYSTERESIS_C, 69, 72, 69, 60) == [4, 4, 2, 2, 1, 1]


def test_between_two_checks_nothing_is_read(board: Board) -> None:
    heat = board.heat()
    board.found = 90
    for _ in range(50):
        heat.check()
        board.now += CHECK_EVERY_S / 100

    assert (heat.one_in, board.asked) == (2, 1)


def test_a_board_without_a_thermometer_is_never_slowed(board: Board) -> None:
    heat = board.heat()
    assert rates(board, heat, None, None, 90, None) == [1, 1, 2, 2]


def test_a_limit_of_zero_switches_it_off(board: Board) -> None:
    assert rates(board, board.heat(limit_c=0), 90, 120) == [1, 1]
    assert board.asked == 0


@pytest.fixture
def passage() -> list[Image]:
    """Thirty seconds of the demo scene, in which six people pass."""
    scene, frames = DemoCapture(), []
    for _ in range(300):
        scene.grab()
        frames.append(scene.retrieve())
    return frames


@pytest.mark.parametrize(
    ("temperature_c", "max_fps", "analysed"), [(60.0, 10, 300), (90.0, 10, 95), (90.0, 5, 75), (90.0, 2, 60)]
)
def test_a_hot_board_looks_at_fewer_frames_and_still_misses_nobody(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    passage: list[Image],
    temperature_c: float,
    max_fps: int,
    analysed: int,
) -> None:
    monkeypatch.setattr("edge.daemon.parts.temperature_c", lambda: temperature_c)
    now = 100.0
    clock = Clock(lambda: now, lambda: datetime.fromtimestamp(now, UTC), lambda: True)
    source = CameraSource(kind="camera", name="door", url="demo:")
    parts = assemble(Settings(state_dir=tmp_path, sources=(source,), mqtt=MqttSettings(host="")), clock)
    camera, lane = parts.sources["door"]
    assert isinstance(camera, Camera)
    for frame in passage[:: 10 // max_fps]:
        now += 1 / max_fps
        camera._put(frame, now)
        assert lane.step()
    counts = parts.tally.counts()
    parts.close()

    assert lane.analysed == analysed
    assert (counts.mask, counts.no_mask) == (3, 3)
