from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import ModelError, UsageError
from edge.vision.cards import bundled_models
from edge.vision.geometry import Box, Image, face_input
from support.components import require_shared
from train.dataset import open_dataset
from train.regions import LandmarkFinder, RegionCache, RegionFile, cut
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


@pytest.mark.parametrize("suffix", [".json", ".npy", ".npz"])
def test_a_file_that_is_not_whole_is_made_again(suffix: str, tiny_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(tiny_folder)
    _, path = RegionCache(tmp_path).prepare(dataset.samples[:3], dataset.store())
    if suffix == ".json":
        path.with_suffix(suffix).write_text('{"kept": [0,')
    else:
        path.with_suffix(suffix).unlink()
    kept, again = RegionCache(tmp_path).prepare(dataset.samples[:3], dataset.store())
    assert (again, len(kept), len(RegionFile(again))) == (path, 3, 3)
    assert not list(tmp_path.glob(".draft-*"))


@pytest.mark.parametrize("suffix", [".json", ".npy", ".npz"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_named_and_made_again(
    share: float, suffix: str, tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = open_dataset(tiny_folder)
    _, path = RegionCache(tmp_path).prepare(dataset.samples[:3], dataset.store())
    file = path.with_suffix(suffix)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    RegionCache(tmp_path).prepare(dataset.samples[:3], dataset.store())
    assert file.read_bytes() == whole
    assert f"{path}.npy" in caplog.text
    assert "made again" in caplog.text


def test_files_of_different_makings_are_made_again(tiny_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(tiny_folder)
    _, path = RegionCache(tmp_path).prepare(dataset.samples[:3], dataset.store())
    _, other = RegionCache(tmp_path).prepare(dataset.samples[:2], dataset.store())
    for suffixes in ([".npz"], [".npy", ".npz"]):
        for suffix in suffixes:
            shutil.copy(other.with_suffix(suffix), path.with_suffix(suffix))
        RegionCache(tmp_path).prepare(dataset.samples[:3], dataset.store())
        assert len(RegionFile(path)) == 3


def test_a_picture_that_was_missing_is_taken_in_once_it_is_there(tiny_folder: Path, tmp_path: Path) -> None:
    data = shutil.copytree(tiny_folder, tmp_path / "data")
    dataset = open_dataset(data)
    gone = data / dataset.samples[1].path
    gone.rename(tmp_path / "aside.png")
    kept, _ = RegionCache(tmp_path / "cache").prepare(dataset.samples[:3], dataset.store())
    assert len(kept) == 2
    (tmp_path / "aside.png").rename(gone)
    kept, path = RegionCache(tmp_path / "cache").prepare(dataset.samples[:3], dataset.store())
    assert (len(kept), len(RegionFile(path))) == (3, 3)


def test_how_many_pictures_are_read_is_told(tiny_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(tiny_folder)
    told: list[tuple[int, int]] = []
    RegionCache(tmp_path).prepare(dataset.samples[:3], dataset.store(), lambda *count: told.append(count))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_network_that_is_no_yunet_is_refused_before_pictures_are_read() -> None:
    with pytest.raises(ModelError, match=r"mask_classifier\.tflite is no YuNet model"):
        LandmarkFinder(bundled_models() / "mask_classifier.tflite")


@pytest.mark.parametrize("box", [Box(500, 20, 60, 60), Box(-900, -900, 2000, 2000)])
def test_a_box_that_does_not_lie_in_its_picture_is_named(box: Box) -> None:
    image = np.zeros((300, 400, 3), np.uint8)
    with pytest.raises(UsageError, match=r"a\.jpg: its face box .* does not lie in the picture of 400 x 300"):
        cut(image, Sample("a.jpg", "mask", kind="boxed", box=box), None)


def _prepared(data: Path, cache: Path, landmarks: Path | None = None) -> Path:
    dataset = open_dataset(data)
    return RegionCache(cache, landmarks).prepare(dataset.samples, dataset.store())[1]


def test_pictures_of_the_same_names_are_not_taken_for_one_another(tiny_folder: Path, tmp_path: Path) -> None:
    first = Path(shutil.copytree(tiny_folder, tmp_path / "first"))
    second = Path(shutil.copytree(tiny_folder, tmp_path / "second"))
    for file in (second / "Train" / "Mask").iterdir():
        shutil.copyfile(tiny_folder / "Train" / "No_mask" / file.name, file)
    one, other = (_prepared(data, tmp_path / "cache") for data in (first, second))
    assert not np.array_equal(RegionFile(one)[0].image, RegionFile(other)[0].image)
    assert _prepared(first, tmp_path / "cache") == one


def test_a_picture_that_was_replaced_is_read_again(tiny_folder: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(tiny_folder, tmp_path / "data"))
    before = RegionFile(_prepared(data, tmp_path / "cache"))[0].image.copy()
    shutil.copyfile(data / "Train/No_mask/0.0.png", data / "Train/Mask/0.0.png")
    assert not np.array_equal(RegionFile(_prepared(data, tmp_path / "cache"))[0].image, before)


@pytest.mark.parametrize("box", [Box(95, 10, 40, 40), Box(-35, -38, 40, 40), Box(10, -36, 40, 40)])
def test_a_face_box_that_hardly_touches_its_picture_is_refused(box: Box) -> None:
    with pytest.raises(UsageError, match=r"a\.jpg: its face box .* does not lie in the picture of 100 x 90 pixels"):
        cut(np.zeros((90, 100, 3), np.uint8), Sample("a.jpg", "mask", kind="boxed", box=box), None)


class _GreenFinder:
    """Stands for YuNet: takes the green pixels for a face, and keeps what it was shown."""

    def __init__(self, *_: object, **__: object) -> None:
        self.shown: list[Image] = []

    def rows(self, image: Image) -> np.ndarray:
        self.shown.append(image)
        y, x = np.nonzero(image[..., 1] > 200)
        if not len(x):
            return np.zeros((0, 15), np.float32)
        left, top, right, bottom = x.min(), y.min(), x.max() + 1, y.max() + 1
        points = [left, top, right, top, (left + right) / 2, (top + bottom) / 2, left, bottom, right, bottom]
        return np.array([[left, top, right - left, bottom - top, *points, 0.9]], np.float32)


@pytest.fixture
def green_finder(monkeypatch: pytest.MonkeyPatch) -> tuple[LandmarkFinder, list[Image]]:
    monkeypatch.setattr("train.regions.Yunet", _GreenFinder)
    finder = LandmarkFinder(Path("yunet.onnx"))
    shown = finder._network.shown
    shown.clear()
    return finder, shown


def test_a_large_picture_is_shrunk_for_yunet_and_the_face_comes_back_in_its_own_pixels(
    green_finder: tuple[LandmarkFinder, list[Image]],
) -> None:
    finder, shown = green_finder
    image = np.zeros((2000, 3200, 3), np.uint8)
    image[500:1500, 1000:1800] = (0, 255, 0)
    found = finder.find(image)
    assert found is not None
    assert [each.shape for each in shown] == [(400, 640, 3)]
    assert found[0] == Box(1000, 500, 800, 1000)
    assert found[1].dtype == np.float32
    assert found[1].tolist() == [[1000, 500], [1800, 500], [1400, 1000], [1000, 1500], [1800, 1500]]


def test_the_border_of_a_large_picture_is_one_of_the_small_picture(
    green_finder: tuple[LandmarkFinder, list[Image]],
) -> None:
    finder, shown = green_finder
    assert finder.find(np.zeros((1280, 640, 3), np.uint8)) is None
    assert [each.shape for each in shown] == [(640, 320, 3), (960, 640, 3)]


def test_a_picture_that_is_small_enough_is_shown_as_it_is(green_finder: tuple[LandmarkFinder, list[Image]]) -> None:
    finder, shown = green_finder
    image = np.random.default_rng(1).integers(0, 256, (480, 640, 3)).astype(np.uint8)
    assert finder.find(image) is not None
    assert np.array_equal(shown[0], image)


def test_a_face_in_a_large_picture_is_found_by_yunet_itself() -> None:
    model = require_shared("weights", "face_detection_yunet_2023mar.onnx")
    dataset = open_dataset(require_shared("data", "MANIFEST.csv"))
    sample = next(sample for sample in dataset.samples if sample.path.startswith("faces/ref_train_no_mask"))
    image = dataset.store().image(sample.path)
    large = np.asarray(cv2.resize(image, (3000, 3000), interpolation=cv2.INTER_CUBIC), np.uint8)
    region = cut(large, Sample("a", "no_mask"), LandmarkFinder(model))
    assert region.landmarks is not None
