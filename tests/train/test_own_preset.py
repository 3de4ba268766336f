from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the training extra is not installed")

from edge.errors import UsageError
from train.choices import Choices
from train.dataset import open_dataset
from train.experiment import fit
from train.fit import Progress
from train.hard import HardRange, hard_examples
from train.regions import RegionCache, RegionFile
from train.runs import RunFolder
from train.samples import read_manifest


@pytest.fixture
def eagerly() -> Iterator[None]:
    """Two steps do not pay for tracing a graph of 150 layers."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(run_eagerly=True)
    yield
    tf.config.run_functions_eagerly(run_eagerly=False)


@pytest.mark.usefixtures("eagerly")
def test_our_preset_trains_both_phases_with_hard_examples_of_an_earlier_run(
    tiny_manifest: Path, tiny_run: RunFolder, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "own")
    notes: list[str] = []
    choices = Choices(size=32, steps=2, epochs=1, alpha=0.35, hard_run=tiny_run.path)
    records = fit(tiny_manifest, run, choices, Progress(), notes.append)
    assert [record.phase for record in records] == ["head", "whole"]
    assert run.settings().labels == ("mask", "no_mask", "not_a_face")
    assert run.settings().margin == 0.15
    assert any("hard examples" in note for note in notes)

    later = RunFolder(tmp_path / "later")
    went_on = replace(choices, hard_run=None, start=run.path, command="typed")
    records = fit(tiny_manifest, later, went_on, Progress())
    assert [record.phase for record in records] == ["whole"]
    assert later.settings().weights == run.settings().weights
    assert records[0].rate < 0.5 * run.history()[-1].rate
    with pytest.raises(UsageError, match="holds another network"):
        fit(tiny_manifest, RunFolder(tmp_path / "wide"), replace(went_on, alpha=0.5), Progress())


def test_going_on_from_another_split_is_refused(tiny_manifest: Path, tiny_run: RunFolder, tmp_path: Path) -> None:
    other = tiny_manifest.with_name("another.csv")
    other.write_text(tiny_manifest.read_text() + "\n")
    choices = Choices(arch="cnn4", size=64, epochs=1, start=tiny_run.path)
    with pytest.raises(UsageError, match="another split"):
        fit(other, RunFolder(tmp_path / "own"), choices, Progress())


def test_hard_are_those_between_the_limits(tiny_manifest: Path, tiny_run: RunFolder, tmp_path: Path) -> None:
    dataset = open_dataset(tiny_manifest)
    kept, path = RegionCache(tmp_path).prepare(dataset.part("train"), dataset.store())
    regions = RegionFile(path)
    assert set(hard_examples(tiny_run, kept, regions, HardRange(-1, 2, 4.0)).values()) == {4.0}
    assert hard_examples(tiny_run, kept, regions, HardRange(0.5, 0.5)) == {}


def test_hard_examples_of_another_split_are_refused(tiny_manifest: Path, tiny_run: RunFolder, tmp_path: Path) -> None:
    other = tiny_manifest.with_name("other.csv")
    other.write_text(tiny_manifest.read_text() + "\n")
    with pytest.raises(UsageError, match="would leak"):
        fit(
            other,
            RunFolder(tmp_path / "own"),
            Choices(size=32, steps=1, alpha=0.35, hard_run=tiny_run.path),
            Progress(),
        )


def test_a_picture_that_cannot_be_read_is_left_out_and_said(tiny_folder: Path, tmp_path: Path) -> None:
    from train.samples import rebased, write_manifest
    from train.split import Ratios, grouped, split

    shutil.copytree(tiny_folder, tmp_path / "set")
    dataset = grouped(open_dataset(tmp_path / "set"))
    samples = split(dataset.samples, Ratios(), 1)
    manifest = tmp_path / "m.csv"
    write_manifest(manifest, rebased(samples, dataset.root, tmp_path))
    broken = next(sample for sample in read_manifest(manifest) if sample.split == "train")
    (tmp_path / broken.path).write_bytes(b"no picture")
    assert cv2.imread(str(tmp_path / broken.path)) is None
    notes: list[str] = []
    records = fit(
        manifest, RunFolder(tmp_path / "run"), Choices(arch="cnn4", size=64, epochs=1), Progress(), notes.append
    )
    assert any("1 pictures cannot be read" in note for note in notes)
    assert np.isfinite(records[0].loss)
