from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from train.dataset import open_dataset
from train.detector.paste import Cutout
from train.detector.traps import save_traps
from train.not_faces import NotFaces
from train.regions import Region, RegionCache, RegionFile

_GREEN, _RED = (0, 255, 0), (0, 0, 255)


@pytest.fixture(scope="module")
def regions(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RegionFile:
    dataset = open_dataset(tiny_folder)
    _, path = RegionCache(tmp_path_factory.mktemp("cache")).prepare(dataset.samples[:6], dataset.store())
    return RegionFile(path)


@pytest.fixture(scope="module")
def blue_photo() -> Region:
    pixels = np.zeros((90, 120, 3), np.uint8)
    pixels[..., 0] = 255
    return Region(pixels, None, None, 0)


def _shares(maker: NotFaces, region: Region, channel: int) -> list[float]:
    """Of 200 pictures, how much of each is of a colour (0 red, 1 green, 2 blue) and of no other."""
    shares = []
    for number in range(200):
        picture = maker.draw(region, np.random.default_rng(number))
        assert picture.shape == (48, 48, 3)
        assert picture.dtype == np.uint8
        others = np.delete(picture, channel, axis=2).max(axis=2)
        shares.append(float(((picture[..., channel] > 200) & (others < 60)).mean()))
    return shares


def test_most_are_squares_of_the_photo(regions: RegionFile, blue_photo: Region) -> None:
    shares = _shares(NotFaces(regions, 48), blue_photo, 2)
    assert 0.85 < np.mean(np.array(shares) > 0.99) < 1.0


def test_objects_stand_before_the_photo_or_a_plain_ground(
    regions: RegionFile, blue_photo: Region, tmp_path: Path
) -> None:
    thing = np.zeros((60, 60, 4), np.uint8)
    cv2.circle(thing, (30, 30), 28, (*_GREEN, 255), -1)
    cv2.imwrite(str(tmp_path / "ball.png"), thing)
    shares = np.array(_shares(NotFaces(regions, 48, objects=tmp_path), blue_photo, 1))
    assert 0.2 < (shares > 0.1).mean() < 0.4
    # Whole ones and parts that fill the picture.
    assert ((shares > 0.1) & (shares < 0.5)).any()
    assert (shares > 0.9).any()


def test_what_a_detector_took_for_faces_is_shown_as_it_was_framed(
    regions: RegionFile, blue_photo: Region, tmp_path: Path
) -> None:
    patch = np.full((60, 60, 3), _RED, np.uint8)
    box = np.array([10, 10, 40, 40], np.float32)
    save_traps([Cutout(patch, np.full((60, 60), 255, np.uint8), box, None)], tmp_path / "traps.npz")
    shares = np.array(_shares(NotFaces(regions, 48, traps=tmp_path / "traps.npz"), blue_photo, 0))
    assert 0.08 < (shares > 0.9).mean() < 0.25


def test_the_same_chance_gives_the_same_picture(regions: RegionFile, blue_photo: Region) -> None:
    one, two = (NotFaces(regions, 48).draw(blue_photo, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one, two)


@pytest.mark.parametrize("size", [(50, 2), (480, 4), (1, 1)])
def test_a_thin_picture_gives_squares_too(size: tuple[int, int], regions: RegionFile) -> None:
    width, height = size
    thin = Region(np.full((height, width, 3), (255, 0, 0), np.uint8), None, None, 0)
    assert np.mean(np.array(_shares(NotFaces(regions, 48), thin, 2)) > 0.99) > 0.7
