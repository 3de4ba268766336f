"""A run becomes a file and its card, or nothing does: what `detector export` keeps and what it refuses."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("tensorflow", reason="the training side needs the extra `train`")

from edge.errors import ModelError, UsageError
from edge.vision.decoding import Support
from support.networks import small_detector
from train.detector import export, pipeline
from train.detector.architecture import output_names
from train.detector.calibrate import Line
from train.detector.cli import detector
from train.detector.evaluate import Part
from train.detector.fit import AVERAGE_FILE

ROOT = Path(__file__).parents[3]

SUPPORT = Support(least=0.05, alone=0.5)

_FIGURES = {"ap50": 0.9, "alarms": 0.0}

PROVENANCE = export.Provenance(
    name="face_detector", version="9", data="x, train part", seed=1, command="maskgate-train", weights="none"
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run with a small network; without photos, so nothing is quantised or measured for real."""
    folder = tmp_path / "run"
    folder.mkdir()
    small_detector().save_weights(str(folder / AVERAGE_FILE))
    monkeypatch.setattr(pipeline, "build", small_detector)
    monkeypatch.setattr(pipeline, "read_part", lambda *_: Part([], []))
    monkeypatch.setattr(pipeline, "read_photos", lambda *_: [])
    monkeypatch.setattr(pipeline, "calibration_line", lambda *_: Line())
    monkeypatch.setattr(export, "calibration_pictures", lambda *_: [])
    monkeypatch.setattr(export, "finished_network", lambda *_: None)
    monkeypatch.setattr(export, "quantise", lambda *_: b"content of a new file")
    monkeypatch.setattr(pipeline, "with_further_sizes", lambda content, _: content)
    monkeypatch.setattr(pipeline, "with_folded_stem", lambda content: content + b", folded")
    monkeypatch.setattr(export, "checked_outputs", lambda *_: output_names())
    monkeypatch.setattr(export, "sizes_of", lambda _: ((288, 384), (384, 288)))
    monkeypatch.setattr(pipeline, "fit_support", lambda *_: SUPPORT)
    return folder


def _export(run: Path, output: Path, monkeypatch: pytest.MonkeyPatch, lost: float) -> dict[str, dict[str, float]]:
    results = {"float": {"ap50": 0.9, "alarms": 0.0}, "int8": {"ap50": 0.9 - lost, "alarms": 0.0}}
    monkeypatch.setattr(pipeline, "compare", lambda *_: results)
    return pipeline.export_run(run, run / AVERAGE_FILE, output, run, (288, 384), PROVENANCE)


def test_a_file_and_its_card_with_the_figures_of_both(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = run.parent / "new" / "face_detector.tflite"
    assert _export(run, output, monkeypatch, 0.009)["int8"]["ap50"] == pytest.approx(0.891)
    assert output.read_bytes() == b"content of a new file, folded"
    card = json.loads(output.with_suffix(".json").read_text())
    assert card["decoding"]["support"] == SUPPORT.model_dump()
    assert card["sha256"] == hashlib.sha256(b"content of a new file, folded").hexdigest()
    metrics = card["metrics"]
    assert (metrics["val"]["ap50"], metrics["val_float"]["ap50"]) == (pytest.approx(0.891), 0.9)


def test_the_card_tells_of_the_calibration(run: Path) -> None:
    model = run / "face_detector.tflite"
    model.write_bytes(b"content")
    card = json.loads((ROOT / "models" / "face_detector.json").read_text())
    for calibration, line in (({"scale": 2, "shift": -0.5}, Line(2.0, -0.5)), (None, Line())):
        training = {"calibration": calibration} if calibration else {}
        text = card | {"sha256": hashlib.sha256(b"content").hexdigest(), "training": training}
        model.with_suffix(".json").write_text(json.dumps(text))
        assert pipeline.recorded_line(model) == line


@pytest.mark.parametrize("calibration", [3, {"scale": 1}, {"scale": "steep", "shift": 0}, {"scale": 0, "shift": 0}])
def test_a_calibration_that_is_none_is_named(run: Path, calibration: object) -> None:
    model = run / "face_detector.tflite"
    model.write_bytes(b"content")
    card = json.loads((ROOT / "models" / "face_detector.json").read_text())
    card |= {"sha256": hashlib.sha256(b"content").hexdigest(), "training": {"calibration": calibration}}
    model.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"face_detector\.json: training\.calibration: "):
        pipeline.recorded_line(model)


def test_a_file_that_lost_too_much_does_not_replace_the_good_one(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = run.parent / "face_detector.tflite"
    output.write_bytes(b"the good one")
    with pytest.raises(ModelError, match=r"int8 loses 0\.011 of AP at IoU 0\.5, more than 0\.01"):
        _export(run, output, monkeypatch, 0.011)
    assert output.read_bytes() == b"the good one"
    assert not output.with_suffix(".json").exists()


def test_an_export_that_is_stopped_leaves_the_file_before_with_its_card(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, write = run.parent / "face_detector.tflite", Path.write_bytes
    card = output.with_suffix(".json")

    def stopped(path: Path, data: bytes) -> int:
        if path.parent == card.parent and path.suffix == ".json":
            raise KeyboardInterrupt
        return write(path, data)

    output.write_bytes(b"the good one")
    card.write_text("its card")
    monkeypatch.setattr(Path, "write_bytes", stopped)
    with pytest.raises(KeyboardInterrupt):
        _export(run, output, monkeypatch, 0.0)
    assert (output.read_bytes(), card.read_text()) == (b"the good one", "its card")
    assert sorted(run.parent.iterdir()) == [card, output, run]


def test_two_exports_of_one_run_at_once_do_not_measure_each_others_file(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (run.parent / name / "face_detector.tflite" for name in ("first", "second"))
    contents, measured = iter([b"first", b"second"]), []

    def measure(draft: Path, *_: object) -> object:
        if not second.exists():  # the first one's file is being measured, and another export begins and ends
            second.parent.mkdir()
            monkeypatch.setattr(
                pipeline, "fit_support", lambda draft, *_: measured.append(draft.read_bytes()) or SUPPORT
            )
            _export(run, second, monkeypatch, 0.0)
        measured.append(draft.read_bytes())
        return SUPPORT

    monkeypatch.setattr(export, "quantise", lambda *_: next(contents))
    monkeypatch.setattr(pipeline, "fit_support", measure)
    _export(run, first, monkeypatch, 0.0)
    assert measured == [b"second, folded", b"first, folded"]
    assert (first.read_bytes(), second.read_bytes()) == (b"first, folded", b"second, folded")
    assert [path.name for path in run.iterdir()] == [AVERAGE_FILE]


def test_a_card_that_cannot_be_written_is_named_before_the_work(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "read_part", lambda *_: pytest.fail("the work has begun"))
    (run.parent / "face_detector.json").mkdir()
    with pytest.raises(IsADirectoryError, match=r"face_detector\.json"):
        _export(run, run.parent / "face_detector.tflite", monkeypatch, 0.0)


def test_a_card_is_not_written_over_the_options(run: Path) -> None:
    (run / "options.json").write_text("{}")
    elsewhere = run.parent / "mean.weights.h5"
    small_detector().save_weights(str(elsewhere))
    for weights in (run / AVERAGE_FILE, elsewhere):
        with pytest.raises(UsageError, match=r"options\.json is read here and would be written over"):
            pipeline.export_run(run, weights, run / "options.tflite", run, (288, 384), PROVENANCE)


def test_a_seed_draws_other_calibration_pictures_and_is_in_the_card(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(export, "calibration_pictures", lambda *given: drawn.append(given[3]) or [])
    monkeypatch.setattr(pipeline, "compare", lambda *_: {"float": _FIGURES, "int8": _FIGURES})
    monkeypatch.setattr("train.detector.evaluate.table", lambda _: "")
    (run / "options.json").write_text(json.dumps({"seed": 65, "start": None, "command": "maskgate-train detector fit"}))
    output = run.parent / "face_detector.tflite"
    for options in ([], ["--seed", "7"]):
        line = ["export", str(run), "-o", str(output), "--data", str(run), *options]
        monkeypatch.setattr("sys.argv", ["maskgate-train", "detector", *line])
        CliRunner().invoke(detector, line, catch_exceptions=False, standalone_mode=False)
    assert drawn == [65, 7]
    training = json.loads(output.with_suffix(".json").read_text())["training"]
    assert training["seed"] == 65
    assert training["command"].endswith("--seed 7")


def test_a_run_is_exported_with_the_data_that_it_learned_from(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "compare", lambda *_: {"float": _FIGURES, "int8": _FIGURES})
    monkeypatch.setattr("train.detector.evaluate.table", lambda _: "")
    files = {"manifest_sha256": run / "MANIFEST.csv", "annotations_sha256": run / "detection" / "annotations.json"}
    (run / "detection").mkdir()
    for path in files.values():
        path.write_text(path.name)
    sources = {name: hashlib.sha256(path.name.encode()).hexdigest() for name, path in files.items()}
    (run / "options.json").write_text(json.dumps({"seed": 65, "start": None, "command": "fit", **sources}))
    line = ["export", str(run), "-o", str(run.parent / "face_detector.tflite"), "--data", str(run)]
    CliRunner().invoke(detector, line, catch_exceptions=False, standalone_mode=False)
    for path in files.values():
        path.write_text("other")
        with pytest.raises(UsageError, match=f"^{path} is not what the run learned from: give that with --data"):
            CliRunner().invoke(detector, line, catch_exceptions=False, standalone_mode=False)
        path.write_text(path.name)
