from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.vision.geometry import Box, face_input
from train.dataset import open_dataset
from train.regions import RegionCache, RegionFile, cut
from train.samples import Sample
from train.views import face_view


def test_regions_come_back_from_the_file_as_they_were_cut(tiny_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(tiny_folder)
    kept, path = RegionCache(tmp_path).prepare(dataset.samples, dataset.store())
    file = RegionFile(path)
    assert len(kept) == len(file) == 56
    assert np.array_equal(file[5].image, dataset.store().image(kept[5].path))
    assert file[5].box is None
    assert file[5].landmarks is None


def test_pictures_that_cannot_be_read_are_left_out(tiny_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(tiny_folder)
    samples = [dataset.samples[0], Sample("Mask/gone.png", "mask"), dataset.samples[1]]
    kept, path = RegionCache(tmp_path).prepare(samples, dataset.store())
    assert [s.path for s in kept] == [dataset.samples[0].path, dataset.samples[1].path]
    assert len(RegionFile(path)) == 2


def test_a_second_call_reads_no_picture(tiny_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(tiny_folder)
    cache = RegionCache(tmp_path)
    cache.prepare(dataset.samples, dataset.store())
    seen: list[int] = []
    cache.prepare(dataset.samples, dataset.store(), lambda done, _total: seen.append(done))
    assert seen == []


def test_the_view_of_a_boxed_face_is_what_the_daemon_would_cut() -> None:
    image = np.random.default_rng(1).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    sample = Sample("a", "mask", kind="boxed", box=Box(150, 100, 60, 70))
    region = cut(image, sample, None)
    for margin in (0.0, 0.15, 0.45):
        assert np.array_equal(
            face_view("boxed", region.image, region.box, margin, 64),
            face_input(image, Box(150, 100, 60, 70), margin, (64, 64)),
        )


def test_a_large_face_is_stored_smaller_with_its_box() -> None:
    image = np.zeros((1000, 1200, 3), np.uint8)
    region = cut(image, Sample("a", "mask", kind="boxed", box=Box(300, 200, 352, 300)), None)
    assert region.box is not None
    assert region.box.width == 176
    assert region.face_px == 352
