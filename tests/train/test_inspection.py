from __future__ import annotations

import base64
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from train.dataset import Dataset, open_dataset
from train.inspection import GRID_SIDE, inspect_dataset, sample_grid
from train.pages import inspection_page
from train.samples import Sample


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


def test_the_place_of_a_picture_that_cannot_be_read_stays_black(tiny_folder: Path) -> None:
    dataset = open_dataset(tiny_folder)
    grid = sample_grid(dataset, [Sample("gone.png", "mask"), dataset.samples[0]], 4)
    assert not grid[:, :GRID_SIDE].any()
    assert grid[:, GRID_SIDE : 2 * GRID_SIDE].any()
    assert not grid[:, 2 * GRID_SIDE :].any()


def test_a_picture_of_one_row_has_a_thumbnail(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "thin.png"), np.full((1, 3000, 3), 255, np.uint8))
    grid = sample_grid(Dataset(tmp_path, []), [Sample("thin.png", "mask")], 1)
    assert grid.shape == (GRID_SIDE, GRID_SIDE, 3)
    assert (grid.any(axis=(1, 2)).sum(), grid.any(axis=(0, 2)).sum()) == (1, GRID_SIDE)


@pytest.mark.parametrize("label", ["mask", "no_face", "gone"])
def test_the_page_has_its_grid_whatever_the_pictures_are(label: str, tiny_folder: Path) -> None:
    pytest.importorskip("matplotlib", reason="the training extra is not installed")
    path = "gone.png" if label == "gone" else open_dataset(tiny_folder).samples[0].path
    dataset = Dataset(tiny_folder, [Sample(path, "mask" if label == "gone" else label)])
    page = inspection_page(dataset, inspect_dataset(dataset))
    encoded = re.findall(r'alt="eight pictures of each class" src="data:image/png;base64,([^"]+)"', page)
    grid = cv2.imdecode(np.frombuffer(base64.b64decode(encoded[0]), np.uint8), cv2.IMREAD_COLOR)
    assert grid.shape == (GRID_SIDE, 4 * GRID_SIDE, 3)
    assert grid.any() == (label != "gone")


def test_clips_are_no_pictures_that_cannot_be_read(tiny_folder: Path) -> None:
    picture = open_dataset(tiny_folder).samples[0]
    clip = Sample("clips/walk.mp4", "mask", kind="clip")
    found = inspect_dataset(Dataset(tiny_folder, [clip, picture]))
    assert found.corrupt == []
    assert [fact.sample.path for fact in found.facts] == [picture.path]
