from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np

from train.dataset import open_dataset
from train.inspection import GRID_SIDE, inspect_dataset, sample_grid


def test_corrupt_files_copies_leaks_and_modes_are_found(tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder, tmp_path / "set")
    mask = tmp_path / "set" / "Train" / "Mask"
    (mask / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    shutil.copy(mask / "1.1.png", tmp_path / "set" / "Validation" / "Mask" / "copy.png")
    cv2.imwrite(str(mask / "clear.png"), np.random.default_rng(1).integers(0, 256, (40, 30, 4)).astype(np.uint8))
    found = inspect_dataset(open_dataset(tmp_path / "set"))
    assert [path for path, _ in found.corrupt] == ["Train/Mask/broken.jpg"]
    assert ["Train/Mask/1.1.png", "Validation/Mask/copy.png"] in [sorted(family) for family in found.copies]
    assert "Validation/Mask/copy.png" in found.leaks
    assert found.modes()["png RGBA 8 bit"] == 1 or found.modes()["PNG RGBA 8 bit"] == 1
    assert found.spread("width") == (30.0, 96.0, 96.0)
    assert {(part, label): files for part, label, files, _ in found.counts()}["train", "mask"] == 21


def test_the_grid_holds_one_thumbnail_a_sample(tiny_folder: Path) -> None:
    dataset = open_dataset(tiny_folder)
    assert sample_grid(dataset, dataset.samples[:5], 4).shape == (2 * GRID_SIDE, 4 * GRID_SIDE, 3)
