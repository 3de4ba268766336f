"""What `maskgate-train split` says of copies that it cannot find."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from train.cli import main
from train.dataset import open_dataset
from train.samples import write_manifest


@pytest.fixture
def augmented(tiny_folder: Path, tmp_path: Path) -> Path:
    """The tiny folder, in which two files have the names of augmented ones."""
    data = Path(shutil.copytree(tiny_folder, tmp_path / "data"))
    for number, name in ((1, "Augmented_12_334.png"), (2, "Augmented_12_87.png")):
        mask = data / "Train" / "Mask"
        (mask / f"{number}.{number}.png").rename(mask / name)
    return data


def _split(data: Path, output: Path) -> None:
    main(["split", str(data), "-o", str(output)])  # It would raise SystemExit for any status but 0.


def test_augmented_files_beside_plain_ones_are_told_of(
    augmented: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _split(augmented, tmp_path / "m.csv")
    told = capsys.readouterr().err
    assert "2 files were augmented by their names (Train/Mask/Augmented_12_334.png)" in told
    assert "group_id" in told


def test_nothing_is_told_where_the_augmented_files_have_groups(
    augmented: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = [
        replace(sample, group="12" if "Augmented" in sample.path else sample.path)
        for sample in open_dataset(augmented).samples
    ]
    write_manifest(augmented / "m.csv", samples)
    _split(augmented / "m.csv", tmp_path / "m.csv")
    assert capsys.readouterr().err == ""


def test_nothing_is_told_where_all_files_are_augmented(
    augmented: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place, file in enumerate(sorted(augmented.rglob("*.png"))):
        if not file.name.startswith("Augmented"):
            file.rename(file.with_name(f"Augmented_{100 + place}_1.png"))
    _split(augmented, tmp_path / "m.csv")
    assert capsys.readouterr().err == ""
