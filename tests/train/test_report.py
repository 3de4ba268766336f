from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="the training extra is not installed")

from edge.errors import UsageError
from train.report import write_report
from train.runs import RunFolder
from train.samples import Sample, read_manifest, write_manifest


def _with_manifest(run: RunFolder, model: Path, like: Path, samples: Sequence[Sample], name: str) -> RunFolder:
    """An exported run, as if it had been made from a manifest of these samples."""
    manifest = like.with_name(f"{name}.csv")
    write_manifest(manifest, samples)
    other = RunFolder(Path(shutil.copytree(run.path, run.path.with_name(name))))
    for suffix in (".tflite", ".json"):
        shutil.copy(model.with_suffix(suffix), other.path / f"model{suffix}")
    settings = replace(
        run.settings(),
        manifest_sha256=hashlib.sha256(manifest.read_bytes()).hexdigest(),
        manifest_path=os.path.relpath(manifest.resolve(), other.path.resolve()),
    )
    other.write_settings(settings)
    return other


@pytest.mark.parametrize(
    ("name", "tested", "drawings", "says"),
    [
        ("no_test", (), 1, "The test part has no real faces with a label."),
        ("one_class", ("mask",), 3, "All real faces of test are mask"),
    ],
)
def test_a_run_whose_test_part_lacks_a_class_or_both_is_reported(
    tiny_run: RunFolder,
    tiny_model: Path,
    tiny_manifest: Path,
    tmp_path: Path,
    name: str,
    tested: tuple[str, ...],
    drawings: int,
    says: str,
) -> None:
    samples = [s for s in read_manifest(tiny_manifest) if s.split != "test" or s.label in tested]
    run = _with_manifest(tiny_run, tiny_model, tiny_manifest, samples, name)
    write_report(run, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert text.count('src="data:image/png') == drawings
    assert says in text


def test_a_run_that_was_never_trained_here_is_reported(
    tiny_run: RunFolder, tiny_model: Path, tiny_manifest: Path, tmp_path: Path
) -> None:
    run = _with_manifest(tiny_run, tiny_model, tiny_manifest, read_manifest(tiny_manifest), "thawed_and_exported")
    (run.path / "history.csv").unlink()
    write_report(run, tmp_path / "report.html")
    assert "<h2>Training</h2>" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("name", ["history.csv", "run.json", "state.json", "model.json"])
def test_a_report_is_not_written_over_the_run(name: str, tiny_run: RunFolder, tiny_model: Path) -> None:
    assert tiny_model.is_file()
    before = (tiny_run.path / name).read_bytes()
    with pytest.raises(UsageError, match="is read here and would be written over"):
        write_report(tiny_run, tiny_run.path / name)
    assert (tiny_run.path / name).read_bytes() == before


def test_a_report_is_not_written_over_the_manifest(tiny_run: RunFolder, tiny_model: Path, tiny_manifest: Path) -> None:
    assert tiny_model.is_file()
    with pytest.raises(UsageError, match="is read here and would be written over"):
        write_report(tiny_run, tiny_manifest)
    assert read_manifest(tiny_manifest)
