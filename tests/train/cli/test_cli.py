from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edge.vision.classifier import MaskClassifier
from fuzz.pictures import damaged_animation
from train.cli import main
from train.cli.command import typed_command
from train.dataset import open_dataset
from train.export import manifest_of
from train.runs import RunFolder
from train.samples import Sample, rebased, write_manifest


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


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fit", f"{os.sep}home/me/data/m.csv", "-o", "runs/one"], "fit m.csv -o one"),
        (["--debug", "fit", "m.csv", f"--start={os.sep}home/me/runs/a"], "fit m.csv --start=a"),
        (["detector", "fit", "data/", f"-o{os.sep}home/me/run", "--keep", "0.5"], "detector fit data -orun --keep 0.5"),
        (["fit", "m.csv", "-o", "./"], "fit m.csv -o ./"),
        (["fit", "m.csv", os.fsdecode(b"-oruns/caf\xe9")], r"fit m.csv '-ocaf\xe9'"),
    ],
)
def test_the_command_in_the_card_names_no_folder(words: list[str], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["maskgate-train", *words])
    assert typed_command() == f"maskgate-train {told}"


def test_evaluating_nothing_is_an_error(
    tiny_model: Path, tiny_manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = open_dataset(tiny_manifest)
    samples = rebased(dataset.part("test"), dataset.root, tmp_path)
    for name, changed, told in (
        ("mixed.csv", {"label": "mixed"}, "nothing in test can be judged"),
        ("gone.csv", {"path": "gone.png"}, "none of the 12 pictures of test can be read"),
    ):
        write_manifest(tmp_path / name, [replace(sample, **changed) for sample in samples])
        output = tmp_path / "figures.json"
        assert run("evaluate", str(tiny_model), str(tmp_path / name), "--json", str(output)) == 2
        assert told in capsys.readouterr().err
        assert not output.exists()


def test_a_place_where_no_runtime_can_open_a_model_is_refused(
    tiny_model: Path, tiny_run: RunFolder, tiny_manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    shutil.copytree(tiny_model.parent, place)
    for arguments in (
        ["fit", str(tiny_manifest), "-o", f"{place}/run"],
        ["export", str(tiny_run.path), "-o", f"{place}/mine.tflite"],
        ["evaluate", f"{place}/{tiny_model.name}", str(tiny_manifest)],
    ):
        assert run(*arguments) == 2, arguments
    told = capsys.readouterr().err
    assert told.count(r"caf\xe9") == 3
    assert told.count("is not UTF-8, so no runtime can open a model there: rename it, or give another") == 3


@pytest.mark.parametrize("option", [("evaluate", "--margin"), ("fit", "--alpha")])
@pytest.mark.parametrize("value", ["nan", "inf", "-Infinity"])
def test_a_number_that_is_none_is_wrong_usage(
    option: tuple[str, str], value: str, tiny_model: Path, tiny_manifest: Path, tmp_path: Path
) -> None:
    command, name = option
    files = [str(tiny_model)] if command == "evaluate" else ["-o", str(tmp_path / "run")]
    assert run(command, *files, str(tiny_manifest), name, value) == 2
    assert not (tmp_path / "run").exists()


def test_a_width_without_imagenet_weights_is_wrong_usage(
    tiny_manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", str(tiny_manifest), "-o", str(tmp_path / "run"), "--alpha", "0.37") == 2
    told = capsys.readouterr().err
    assert "--alpha 0.37: " in told
    assert "0.35, 0.5, 0.75, 1, 1.3, 1.4" in told
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("seed", ["-1", "4294967296"])
def test_a_seed_that_keras_does_not_take_is_wrong_usage(seed: str, tiny_manifest: Path, tmp_path: Path) -> None:
    assert run("fit", str(tiny_manifest), "-o", str(tmp_path / "run"), "--seed", seed) == 2


def test_a_manifest_that_no_command_would_read_is_not_written(tiny_folder: Path, tmp_path: Path) -> None:
    assert run("split", str(tiny_folder), "-o", str(tmp_path / "m.txt")) == 2
    assert list(tmp_path.iterdir()) == []


def test_an_output_does_not_take_the_place_of_what_is_read(
    tiny_folder: Path, tiny_model: Path, tiny_manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(shutil.copytree(tiny_folder, tmp_path / "data"))
    picture = data / "Train" / "Mask" / "0.0.png"
    model = Path(shutil.copy(tiny_model, tmp_path))
    shutil.copy(tiny_model.with_suffix(".json"), tmp_path)
    before = picture.read_bytes(), model.read_bytes()
    assert run("inspect", str(data), "--report", str(picture)) == 2
    assert f"{picture} is read here" in capsys.readouterr().err
    assert run("evaluate", str(model), str(tiny_manifest), "--json", str(model)) == 2
    assert (picture.read_bytes(), model.read_bytes()) == before


def test_export_names_what_it_leaves_out_and_says_only_its_own_on_stdout(
    tiny_run: RunFolder, tiny_manifest: Path, tmp_path: Path
) -> None:
    output = tmp_path / "models" / "mine.tflite"
    dataset = open_dataset(tiny_manifest)
    gone = Sample("gone.png", "mask", "train")
    write_manifest(tmp_path / "r.csv", [*rebased(dataset.part("train")[:6], dataset.root, tmp_path), gone])
    arguments = ["export", str(tiny_run.path), "-o", str(output), "--representative", str(tmp_path / "r.csv")]
    code = f"from train.cli import main; main({arguments!r})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    val, test, written = result.stdout.splitlines()
    assert val.startswith("val, balanced accuracy: float 1.0000, int8 1.0000")
    assert test == "test, balanced accuracy: int8 1.0 on 12 faces of 12 groups"
    assert written == str(output)
    assert "gone.png cannot be read and is left out" in result.stderr
    assert "quantizing on 6 pictures" in result.stderr
    assert MaskClassifier(str(output)).card.name == "mine"
    assert not list(tiny_run.path.glob(".export-*"))


def test_a_report_names_pictures_that_are_gone_and_ends_with_one(
    tiny_run: RunFolder, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = manifest_of(tiny_run, tiny_run.settings())
    other = RunFolder(tmp_path / "runs" / "one")
    shutil.copytree(tiny_run.path, other.path)
    for suffix in (".tflite", ".json"):
        shutil.copy(tiny_model.with_suffix(suffix), other.model.with_suffix(suffix))
    (tmp_path / "moved" / "away").mkdir(parents=True)
    shutil.copy(manifest, tmp_path / "moved" / "away" / "m.csv")  # Its pictures are not where it is now.
    other.write_settings(replace(tiny_run.settings(), manifest_path="../../moved/away/m.csv"))
    assert run("report", str(other.path), "-o", str(tmp_path / "page.html")) == 1
    assert capsys.readouterr().err.count("cannot be read and is left out") == 12
    assert "The test part has no real faces" in (tmp_path / "page.html").read_text()


def test_without_a_terminal_a_line_now_and_then_tells_how_far_the_work_is(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("inspect", str(tiny_folder)) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("train.cli.progress._LINE_EVERY_S", 0.0)
    assert run("inspect", str(tiny_folder)) == 0
    assert capsys.readouterr().err.splitlines()[-1] == "reading: 56 of 56"


def test_export_and_evaluate_tell_how_far_they_are(
    tiny_model: Path,
    tiny_run: RunFolder,
    tiny_manifest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("train.cli.progress._LINE_EVERY_S", 0.0)
    assert run("evaluate", str(tiny_model), str(tiny_manifest)) == 0
    assert "judging: 12 of 12" in capsys.readouterr().err
    assert run("export", str(tiny_run.path), "-o", str(tmp_path / "m.tflite")) == 0
    told = capsys.readouterr().err.splitlines()
    assert told.count("pictures: 12 of 12") == 1  # test
    assert told.count("pictures: 10 of 10") == 3  # val at three margins


def test_inspect_survives_what_crashes_a_plain_reader(tmp_path: Path) -> None:
    (tmp_path / "Mask").mkdir()
    (tmp_path / "Mask" / "animated.png").write_bytes(damaged_animation())
    code = "import sys; from train.cli import main; main(['inspect', sys.argv[1]])"
    result = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=60)  # noqa: PLW1510
    assert (result.returncode, result.stderr) == (0, "")
    assert "RGB 8 bit" in result.stdout


def test_pictures_in_folders_of_no_class_are_named(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(shutil.copytree(tiny_folder, tmp_path / "data"))
    (data / "Train" / "Mask").rename(data / "Train" / "improperly_worn")
    assert run("split", str(data), "-o", str(tmp_path / "m.csv")) == 0
    assert "Train/improperly_worn: 20 pictures left out; the name is that of no class" in capsys.readouterr().err
    assert run("inspect", str(data)) == 0
    assert "Train/improperly_worn: 20 pictures left out" in capsys.readouterr().err


def test_split_writes_over_nothing_that_it_reads(
    tiny_manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tiny_manifest.read_bytes()
    assert run("split", str(tiny_manifest), "-o", str(tiny_manifest)) == 2
    assert "is read here and would be written over" in capsys.readouterr().err
    assert tiny_manifest.read_bytes() == before


@pytest.mark.parametrize("option", ["--reshuffle", "--keep-published"])
def test_ratios_are_refused_where_the_published_ones_are_taken(option: str, tiny_folder: Path, tmp_path: Path) -> None:
    assert run("split", str(tiny_folder), "-o", str(tmp_path / "m.csv"), "--ratios", "1", "0", "0", option) == 2


def test_a_folder_that_no_manifest_can_name_is_refused_before_it_is_read(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    shutil.copytree(tiny_folder, data)
    assert run("split", data, "-o", str(tmp_path / "m.csv")) == 2
    told = capsys.readouterr().err
    assert "is not UTF-8, so no manifest can name it; rename the folder" in told
    assert "reading" not in told
