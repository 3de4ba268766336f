from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from edge.daemon.clock import Clock
from edge.daemon.heat import CHECK_EVERY_S, HYSTERESIS_C, Heat
from edge.daemon.parts import assemble
from edge.settings import CameraSource, MqttSettings, Settings
from edge.sources.camera import Camera


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


@pytest.mark.parametrize(("temperature_c", "analysed"), [(60.0, 40), (90.0, 20)])
def test_a_hot_board_analyses_every_other_frame_of_its_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temperature_c: float, analysed: int
) -> None:
    monkeypatch.setattr("edge.daemon.parts.temperature_c", lambda: temperature_c)
    now = 100.0
    clock = Clock(lambda: now, lambda: datetime.fromtimestamp(now, UTC), lambda: True)
    source = CameraSource(kind="camera", name="door", url="demo:")
    parts = assemble(Settings(state_dir=tmp_path, sources=(source,), mqtt=MqttSettings(host="")), clock)
    camera, lane = parts.sources["door"]
    assert isinstance(camera, Camera)
    for number in range(40):  # black and white in turn, so that the gate is open
        now += 0.1
        camera._put(np.full((48, 64, 3), 255 * (number // 2 % 2), np.uint8), now)
        assert lane.step()
    parts.close()

    assert lane.analysed == analysed
