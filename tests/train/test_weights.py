"""Weights and the disk: HDF5 that meets a full one takes the process with it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

tf = pytest.importorskip("tensorflow", reason="the training side needs the extra `train`")

from edge.errors import UsageError  # noqa: E402
from support.components import ROOT  # noqa: E402
from support.disk import small_disk  # noqa: E402
from support.networks import small_detector  # noqa: E402
from train.detector import pipeline  # noqa: E402
from train.detector.calibrate import Line  # noqa: E402
from train.detector.fit import AVERAGE_FILE, _save_average  # noqa: E402
from train.weights import load_weights, save_weights  # noqa: E402


def _average(folder: Path) -> None:
    _save_average(SimpleNamespace(average=small_detector()), folder)  # type: ignore[arg-type]


def _between(folder: Path) -> None:
    pipeline.finished_weights(folder, str(folder / AVERAGE_FILE), 0.5)


def _thawed(folder: Path) -> None:
    pipeline.thaw_file(folder / "m.tflite", folder / "thawed.weights.h5", folder, (288, 384))


@pytest.mark.parametrize(
    ("write", "name"),
    [(_average, AVERAGE_FILE), (_between, "between-0.5.weights.h5"), (_thawed, "thawed.weights.h5")],
)
def test_weights_that_the_disk_has_no_room_for_are_named_and_the_old_ones_stay(
    write: Callable[[Path], None], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "recorded_line", lambda _: Line())
    monkeypatch.setattr("train.detector.thaw.thaw", lambda *_: small_detector())
    monkeypatch.setattr(pipeline, "build", small_detector)
    monkeypatch.setattr("train.detector.export.training_batches", lambda *_: [])
    small_detector().save_weights(str(tmp_path / AVERAGE_FILE))
    write(tmp_path)
    before = (tmp_path / name).read_bytes()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4 * small_detector().count_params()))
    with pytest.raises(OSError, match=re.escape(f"No space left on device: '{tmp_path / name}'")):
        write(tmp_path)
    assert (tmp_path / name).read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {AVERAGE_FILE, name}


def test_a_full_disk_does_not_end_the_process(tmp_path: Path) -> None:
    program = (
        "import sys, types, pathlib\n"
        "from train.detector.architecture import build\nfrom train.detector.fit import _save_average\n"
        "trainer = types.SimpleNamespace(average=build())\n"
        "for _ in range(2):\n"
        "    try: print(_save_average(trainer, pathlib.Path(sys.argv[1])).name, flush=True)\n"
        "    except OSError as error: print(error, flush=True)\n"
    )
    with small_disk(tmp_path / "disk", "4000k") as disk:  # room for one file and a half
        ended = subprocess.run(
            [sys.executable, "-c", program, str(disk)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        left = [path.name for path in disk.iterdir()]
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[0] == AVERAGE_FILE
    assert ended.stdout.splitlines()[1].startswith("[Errno 28] No space left on device")
    assert left == [AVERAGE_FILE]


def test_weights_come_back_and_others_are_told_in_one_line(tmp_path: Path) -> None:
    layers = tf.keras.layers
    one, other = (tf.keras.Sequential([tf.keras.Input((4,)), layers.Dense(width)]) for width in (3, 5))
    path = tmp_path / "w.weights.h5"
    save_weights(one, path)
    load_weights(one, path, "this network")
    whole = path.read_bytes()
    with pytest.raises(UsageError, match=rf"^{path} holds no weights of another network: [^\n]+$"):
        load_weights(other, path, "another network")
    for content in (whole[: len(whole) // 2], b"", b"weights"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=rf"^{path} holds no weights of this network: [^\n]+$"):
            load_weights(one, path, "this network")
