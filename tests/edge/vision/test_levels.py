from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from edge.vision.levels import Levels

LEVELS = Levels(contrast=175, dark=65)


def ramp(low: int, high: int) -> NDArray[np.uint8]:
    """All levels between two, equally often."""
    line = np.linspace(low, high, 256).round().astype(np.uint8)
    return np.repeat(np.tile(line, (64, 1))[..., np.newaxis], 3, axis=2)


def levelled(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    copy = pixels.copy()
    LEVELS.apply(copy)
    return copy


@pytest.mark.parametrize("clear", [ramp(0, 255), ramp(30, 220), ramp(60, 255)], ids=["all", "most", "bright"])
def test_a_picture_with_contrast_and_light_stays_as_it_is(clear: NDArray[np.uint8]) -> None:
    assert LEVELS.table(clear) is None
    assert np.array_equal(levelled(clear), clear)


@pytest.mark.parametrize(("low", "high"), [(100, 160), (150, 240), (90, 200)])
def test_haze_is_spread_to_the_contrast_that_is_asked_for(low: int, high: int) -> None:
    spread = levelled(ramp(low, high)).astype(int)
    assert np.ptp(spread) == pytest.approx(175, abs=8)
    assert (np.diff(spread[0, :, 1]) >= 0).all()
    assert spread.min() > 0
    assert spread.max() < 255


def test_contrast_grows_fourfold_at_most() -> None:
    assert np.ptp(levelled(ramp(120, 130)).astype(int)) == pytest.approx(40, abs=4)


def test_a_dark_picture_with_bright_lights_is_brightened_and_keeps_them() -> None:
    dark = ramp(0, 60)
    dark[:4] = 250
    bright = levelled(dark)
    assert np.median(dark[..., 1]) < 40
    assert np.median(bright[..., 1]) == pytest.approx(65, abs=12)
    assert int(bright[0, 0, 0]) == pytest.approx(250, abs=5)
    assert (np.diff(bright[-1, :, 1].astype(int)) >= 0).all()


def test_dusk_falls_without_a_jump() -> None:
    """With a lamp in the picture, so that it keeps its contrast; each step takes less than one level of the rest."""
    evening = []
    for falling in range(96):
        dusk = (ramp(0, 200) * (1 - falling / 128)).astype(np.uint8)
        dusk[:4] = 250
        evening.append(levelled(dusk).astype(int))
    assert min(np.median(each) for each in evening) == pytest.approx(65, abs=12)
    assert max(np.abs(after - before).max() for before, after in pairwise(evening)) <= 8


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_a_picture_of_one_level_keeps_to_one_level(level: int) -> None:
    assert np.ptp(levelled(np.full((40, 50, 3), level, np.uint8))) == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (3, 2)])
def test_pictures_of_a_few_pixels_are_borne(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(100, 120, (*size, 3)).astype(np.uint8)
    assert levelled(pixels).shape == pixels.shape


def test_a_part_of_an_array_is_changed_in_its_place_and_nothing_beside_it() -> None:
    whole = np.full((100, 300, 3), 114, np.uint8)
    whole[:64, :256] = ramp(100, 160)
    LEVELS.apply(whole[:64, :256])
    assert np.ptp(whole[:64, :256]) > 150
    assert (whole[64:] == 114).all()
    assert (whole[:, 256:] == 114).all()


@pytest.mark.parametrize("wrong", [{"contrast": 300}, {"dark": -1}, {"dark": 255}])
def test_levels_beyond_eight_bits_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        Levels(**{"contrast": 175, "dark": 65} | wrong)
