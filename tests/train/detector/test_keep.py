"""Weights between those that a run began with and those that it ended with."""

from __future__ import annotations

import json
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edge.errors import UsageError
from support.networks import small_detector
from train.detector import pipeline
from train.detector.cli import detector
from train.detector.fit import AVERAGE_FILE
from train.detector.pipeline import average, finished_weights


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


def _shifted(by: float) -> Any:
    network = small_detector()
    network.set_weights([np.full_like(weight, by) for weight in network.get_weights()])
    return network


def test_the_mean_of_networks_counts_one_that_is_given_twice_twice(tmp_path: Path) -> None:
    run, file, mean = tmp_path / "run", tmp_path / "file.weights.h5", tmp_path / "mean.weights.h5"
    run.mkdir()
    _shifted(1).save_weights(str(run / AVERAGE_FILE))
    _shifted(4).save_weights(str(file))

    average([file, run, file], mean, "maskgate-train detector average")

    found = small_detector()
    found.load_weights(str(mean))
    for weight in found.get_weights():
        assert np.allclose(weight, 3, atol=1e-6)


def test_a_mean_is_not_written_over_what_it_is_of(tmp_path: Path) -> None:
    file = tmp_path / "file.weights.h5"
    _shifted(1).save_weights(str(file))
    before = file.read_bytes()
    with pytest.raises(UsageError, match=r"file\.weights\.h5 is read here and would be written over"):
        average([file], file, "")
    assert file.read_bytes() == before


def test_what_has_not_learned_yet_has_no_share_in_a_mean(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no average\.weights\.h5: let"):
        average([tmp_path], tmp_path / "mean.weights.h5", "")


def test_a_mean_is_exported_instead_of_the_weights_of_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, mean, output = tmp_path / "run", tmp_path / "mean.weights.h5", tmp_path / "face_detector.tflite"
    run.mkdir()
    (run / "options.json").write_text(json.dumps({"seed": 1, "start": None, "command": "fit"}))
    _shifted(1).save_weights(str(run / AVERAGE_FILE))
    average([run], mean, "maskgate-train detector average run")
    given: list[Any] = []
    monkeypatch.setattr(pipeline, "export_run", lambda *arguments: given.append(arguments) or {})
    monkeypatch.setattr("train.detector.evaluate.table", lambda _: "")
    line = ["export", str(run), "-o", str(output), "--data", str(run), "--weights", str(mean)]
    monkeypatch.setattr("sys.argv", ["maskgate-train", "detector", *line])
    CliRunner().invoke(detector, line, catch_exceptions=False, standalone_mode=False)
    ((folder, weights, _, _, _, provenance, _),) = given
    assert (folder, weights) == (run, mean)
    assert provenance.command.startswith("fit; maskgate-train detector average run; maskgate-train detector export run")
    assert provenance.command.endswith("--weights mean.weights.h5")

    mean.write_bytes(mean.read_bytes()[:200])
    with pytest.raises(UsageError, match=r"mean\.weights\.h5 is no file of weights"):
        CliRunner().invoke(detector, line, catch_exceptions=False, standalone_mode=False)
    with pytest.raises(UsageError, match="--keep is of the run's own weights"):
        CliRunner().invoke(detector, [*line, "--keep", "0.5"], catch_exceptions=False, standalone_mode=False)
