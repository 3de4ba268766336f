"""What the commands refuse before they begin, and what they hand on."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

tf = pytest.importorskip("tensorflow", reason="the training side needs the extra `train`")

from edge.errors import UnavailableError, UsageError  # noqa: E402
from train.detector.architecture import build  # noqa: E402
from train.detector.cli import detector  # noqa: E402
from train.detector.material import Material  # noqa: E402
from train.detector.scene import Scene  # noqa: E402
from train.detector.traps import load_traps, save_traps  # noqa: E402
from train.files import claimed  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Holds a folder that is no run, a run that has only begun, a teacher and broken weights; is the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none").mkdir()
    (tmp_path / "data" / "faces").mkdir(parents=True)
    (tmp_path / "data" / "faces" / "a.zip").touch()
    (tmp_path / "data" / "MANIFEST.csv").touch()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "options.json").write_text(json.dumps({"seed": 1, "start": None, "command": "fit"}))
    (tmp_path / "yunet.onnx").touch()
    (tmp_path / "yunet.json").write_text("{}")
    (tmp_path / "broken.weights.h5").write_bytes(b"weights")
    return tmp_path


def _run(line: str) -> None:
    CliRunner().invoke(detector, line.split(), catch_exceptions=False, standalone_mode=False)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("export none -o x.tflite --data none", "none is no run folder"),
        ("export begun -o x.tflite --data none", "begun has no average.weights.h5"),
        ("export begun -o x.txt --data none", "x.txt: the name of a model ends in .tflite"),
        ("export begun -o x.tflite --data none --width 100", "--width: expected a multiple of 32, got 100"),
        ("export begun -o x.tflite --data none --height 33", "--height: expected a multiple of 32, got 33"),
        ("fit none -o run --teacher yunet.onnx --weights yunet.onnx --size 72", "--size: expected a multiple of 32"),
        ("fit none -o run --teacher yunet.onnx --weights yunet.onnx --as-int8", "--as-int8 is for a network that has"),
        ("evaluate yunet.onnx none --json yunet.json", "yunet.json is read here and would be written over"),
        ("evaluate yunet.onnx none --json yunet.onnx", "yunet.onnx is read here and would be written over"),
        (
            "evaluate yunet.onnx data --json data/MANIFEST.csv",
            "data/MANIFEST.csv is read here and would be written over",
        ),
        ("evaluate yunet.onnx data --json data/faces/a.zip", "data/faces/a.zip is read here and would be written over"),
        ("mine begun -o x.npz --data none --teacher yunet.onnx", "begun has no average.weights.h5"),
        ("mine begun -o x --data none --teacher yunet.onnx", "x: the name of a file of false alarms ends in .npz"),
        ("mine broken.weights.h5 -o x.npz --data none --teacher yunet.onnx", "broken.weights.h5 holds no weights"),
        ("thaw yunet.onnx -o x.h5 --data none", "x.h5: the name of a file of weights ends in .weights.h5"),
    ],
)
def test_what_cannot_be_is_refused(folder: Path, line: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        _run(line)
    assert not list(folder.glob("x*"))


@pytest.mark.parametrize(
    "line",
    [
        "fit none -o run --teacher yunet.onnx --weights yunet.onnx --rate",
        "fit none -o run --teacher yunet.onnx --weights yunet.onnx --teacher-share",
        "export begun -o x.tflite --data none --keep",
        "mine begun -o x.npz --data none --teacher yunet.onnx --min-score",
    ],
)
def test_a_number_that_is_none_is_refused(folder: Path, line: str) -> None:
    for value in ("nan", "-NaN", "inf"):
        with pytest.raises(click.BadParameter):
            _run(f"{line} {value}")


def test_false_alarms_of_thawed_weights_can_be_mined(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tf.keras.utils.set_random_seed(1)
    network = build()
    network.get_layer("score").set_weights([network.get_layer("score").get_weights()[0], np.full(1, -0.1, np.float32)])
    network.save_weights("start.weights.h5")
    pixels = np.random.default_rng(1).integers(0, 255, (96, 128, 3)).astype(np.uint8)
    street = Scene(pixels, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64))
    monkeypatch.setattr("train.detector.material.gather", lambda *_: Material([street], [], [], []))
    _run("mine start.weights.h5 -o traps.npz --data none --teacher yunet.onnx")
    assert load_traps(folder / "traps.npz")


def test_what_could_not_be_measured_is_null(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = {"ours": {"ap50": 0.123456, "alarms": float("nan")}}
    monkeypatch.setattr("train.detector.pipeline.evaluate_file", lambda *_: results)
    _run("evaluate yunet.onnx none --json figures.json")
    assert json.loads((folder / "figures.json").read_text()) == {"ours": {"ap50": 0.123456, "alarms": None}}


def test_a_comparison_on_val_leaves_what_export_wrote(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.detector.pipeline.evaluate_file", lambda *_: {"ours": {"ap50": 0.5}})
    (folder / "yunet.json").write_text(json.dumps({"metrics": {"val": {"ap50": 0.9}}}))
    for split in ("val", "test"):
        _run(f"evaluate yunet.onnx none --split {split} --into-card")
    compared = {"ours": {"ap50": 0.5}}
    metrics = json.loads((folder / "yunet.json").read_text())["metrics"]
    assert metrics == {"val": {"ap50": 0.9}, "val_compared": compared, "test": compared}


@pytest.mark.parametrize(
    "line",
    [
        "export done -o none/there/x.tflite --data none",
        "mine broken.weights.h5 -o none/there/x.npz --data none --teacher yunet.onnx",
        "thaw yunet.onnx -o none/there/x.weights.h5 --data none",
        "evaluate yunet.onnx none --json none/there/x.json",
    ],
)
def test_an_output_that_cannot_be_written_is_named_before_the_work(folder: Path, line: str) -> None:
    (folder / "done").mkdir()
    (folder / "done" / "options.json").write_text(json.dumps({"seed": 1, "start": None, "command": "fit"}))
    (folder / "done" / "average.weights.h5").touch()
    (folder / "none" / "there").touch()  # a file where the folder would have to be
    with pytest.raises(OSError, match="none/there"):
        _run(line)


def test_a_folder_in_which_somebody_trains_is_left_to_them(folder: Path) -> None:
    with claimed(folder / "run"), pytest.raises(UnavailableError, match="run is in use by another maskgate-train"):
        _run("fit none -o run --teacher yunet.onnx --weights yunet.onnx")


@pytest.mark.parametrize("content", [b"", b"patches", b"PK\x03\x04patches"])
def test_a_file_of_no_false_alarms_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "traps.npz"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=f"^{path} is no file of false alarms"):
        load_traps(path)
    np.save(tmp_path / "traps.npy", np.zeros(3))
    with pytest.raises(UsageError, match="is no file of false alarms"):
        load_traps(tmp_path / "traps.npy")


def test_no_false_alarm_at_all_is_a_file_too(tmp_path: Path) -> None:
    save_traps([], tmp_path / "traps.npz")
    assert load_traps(tmp_path / "traps.npz") == []
