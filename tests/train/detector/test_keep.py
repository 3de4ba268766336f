"""Weights between those that a run began with and those that it ended with."""

from __future__ import annotations

from fcntl import LOCK_EX, flock
from pathlib import Path

import numpy as np
import pytest

from edge.errors import UsageError
from support.networks import small_detector
from train.detector import pipeline
from train.detector.fit import AVERAGE_FILE
from train.detector.pipeline import finished_weights


@pytest.fixture(autouse=True)
def _small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "build", small_detector)


def test_what_is_kept_is_a_share_of_every_weight(tmp_path: Path) -> None:
    before, after = small_detector(), small_detector()
    after.set_weights([weight + 1 for weight in before.get_weights()])
    start = tmp_path / "start.weights.h5"
    before.save_weights(str(start))
    after.save_weights(str(tmp_path / AVERAGE_FILE))

    between = small_detector()
    between.load_weights(str(finished_weights(tmp_path, str(start), 0.35)))

    for old, new in zip(before.get_weights(), between.get_weights(), strict=True):
        assert np.allclose(new, old + 0.65, atol=1e-5)


def test_two_exports_of_a_run_at_once_leave_each_other_alone(tmp_path: Path) -> None:
    model = small_detector()
    start = tmp_path / "start.weights.h5"
    model.save_weights(str(start))
    model.save_weights(str(tmp_path / AVERAGE_FILE))
    half = finished_weights(tmp_path, str(start), 0.5)
    with half.open("rb") as file:
        flock(file, LOCK_EX)  # as HDF5 does with what it writes
        assert finished_weights(tmp_path, str(start), 0.5) == half
        third = finished_weights(tmp_path, str(start), 0.35)
    assert third != half
    model.load_weights(str(half))
    model.load_weights(str(third))
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([AVERAGE_FILE, start.name, half.name, third.name])


def test_without_a_share_they_are_those_of_the_run(tmp_path: Path) -> None:
    (tmp_path / AVERAGE_FILE).touch()
    assert finished_weights(tmp_path, None, 0) == tmp_path / AVERAGE_FILE


@pytest.mark.parametrize("start", [None, "gone.weights.h5"])
def test_nothing_can_be_kept_of_nothing(tmp_path: Path, start: str | None) -> None:
    (tmp_path / AVERAGE_FILE).touch()
    with pytest.raises(UsageError, match=f"began with {start or 'no weights of ours'}"):
        finished_weights(tmp_path, start, 0.35)
