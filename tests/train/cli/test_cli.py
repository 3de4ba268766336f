from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from train.cli import main


def run(*arguments: str) -> int:
    try:
        main(list(arguments))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = "import sys; from train.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print(sorted({'tensorflow', 'keras', 'matplotlib', 'cv2', 'numpy', 'sklearn'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.splitlines()[-1] == "[]"
    for command in ("inspect", "split", "fit", "export", "evaluate", "thaw", "report"):
        assert f"  {command} " in result.stdout


def test_the_way_from_a_folder_to_a_judged_model(
    tiny_folder: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "m.csv"
    assert run("split", str(tiny_folder), "-o", str(manifest), "--seed", "4") == 0
    first = manifest.read_bytes()
    assert run("split", str(tiny_folder), "-o", str(manifest), "--seed", "4") == 0
    assert manifest.read_bytes() == first
    capsys.readouterr()
    assert run("evaluate", str(tiny_model), str(manifest), "--json", str(tmp_path / "figures.json")) == 0
    assert "balanced_accuracy" in capsys.readouterr().out
    assert json.loads((tmp_path / "figures.json").read_text())["balanced_accuracy"] == 1.0


def test_inspect_names_a_corrupt_file_and_ends_with_one(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Mask").mkdir()
    (tmp_path / "Mask" / "good.png").write_bytes((tiny_folder / "Train/Mask/0.0.png").read_bytes())
    (tmp_path / "Mask" / "bad.png").write_bytes(b"")
    assert run("inspect", str(tmp_path), "--report", str(tmp_path / "page.html")) == 1
    assert "Mask/bad.png: " in capsys.readouterr().err
    assert "bad.png" in (tmp_path / "page.html").read_text()


def with_a_corrupt_file(tiny_folder: Path, folder: Path) -> Path:
    shutil.copytree(tiny_folder, folder)
    (folder / "Train" / "Mask" / "bad.png").write_bytes(b"")
    return folder


def test_split_names_what_it_leaves_out_and_ends_with_one(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = with_a_corrupt_file(tiny_folder, tmp_path / "data")
    assert run("split", str(data), "-o", str(tmp_path / "m.csv")) == 1
    assert "Train/Mask/bad.png cannot be read" in capsys.readouterr().err
    assert len((tmp_path / "m.csv").read_text().splitlines()) == 1 + 56


def test_split_of_nothing_readable_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data" / "Mask").mkdir(parents=True)
    (tmp_path / "data" / "Mask" / "bad.png").write_bytes(b"")
    assert run("split", str(tmp_path / "data"), "-o", str(tmp_path / "m.csv")) == 2
    assert "no picture that can be read" in capsys.readouterr().err
    assert not (tmp_path / "m.csv").exists()


def test_evaluate_names_a_picture_that_is_gone_and_ends_with_one(
    tiny_folder: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(tiny_folder, tmp_path / "data")
    assert run("split", str(data), "-o", str(tmp_path / "m.csv")) == 0
    gone = next(line for line in (tmp_path / "m.csv").read_text().splitlines() if ",test," in line).split(",")[0]
    (tmp_path / gone).unlink()
    capsys.readouterr()
    assert run("evaluate", str(tiny_model), str(tmp_path / "m.csv")) == 1
    told = capsys.readouterr()
    assert f"{gone} cannot be read" in told.err
    assert "balanced_accuracy" in told.out


def test_an_output_that_cannot_be_written_is_named(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "no" / "such" / "folder" / "page.html"
    assert run("inspect", str(tiny_folder), "--report", str(output)) == 69
    assert capsys.readouterr().err.splitlines()[-1] == f"maskgate-train: {output}: No such file or directory"


def test_reshuffle_and_keep_published_exclude_each_other(tiny_folder: Path, tmp_path: Path) -> None:
    assert run("split", str(tiny_folder), "-o", str(tmp_path / "m.csv"), "--reshuffle", "--keep-published") == 2


def test_a_folder_that_is_no_run_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export", str(tmp_path), "-o", str(tmp_path / "m.tflite")) == 2
    assert "no run folder" in capsys.readouterr().err


def test_without_the_training_extra_fit_says_what_to_install(
    tiny_manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert run("fit", str(tiny_manifest), "-o", str(tmp_path / "run"), "--arch", "cnn4") == 69
    assert "install maskgate[train]" in capsys.readouterr().err


def test_weights_that_are_not_there_are_named(
    tiny_manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", str(tiny_manifest), "-o", str(tmp_path / "run"), "--weights", "gone.h5") == 2
    assert "gone.h5" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--weights", "imagenet"), ("--alpha", "0.5"), ("--steps", "2")])
def test_an_option_without_a_meaning_for_the_network_is_wrong_usage(
    option: tuple[str, str], tiny_manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", str(tiny_manifest), "-o", str(tmp_path / "run"), "--arch", "cnn4", *option) == 2
    assert f"{option[0]}: the preset fakhrezi/cnn4 has no use" in capsys.readouterr().err


def test_the_command_in_the_card_names_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    from train.cli.fit import _command

    monkeypatch.setattr(sys, "argv", ["maskgate-train", "fit", f"{os.sep}home/me/data/m.csv", "-o", "runs/one"])
    assert _command() == "maskgate-train fit m.csv -o one"
