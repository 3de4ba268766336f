from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from edge.vision.geometry import Box
from support.drawn import face_region
from train.augment.camera import Camera, degraded, few_pixels
from train.augment.cover import with_hand, with_object
from train.augment.framing import Framing, framed
from train.augment.keras_style import KerasRanges, distorted
from train.augment.masks import PROPER, UNDER_CHIN, UNDER_NOSE, Wear, draw_mask
from train.augment.reveal import reveal_nose
from train.regions import Region

NOSE, MOUTH, CHIN = (48, 53), (48, 70), (48, 84)

NO_FAULT = dict.fromkeys((each.name for each in fields(Camera)), 0.0)


def changed(before: Region, after: Region, place: tuple[int, int]) -> bool:
    x, y = place
    patch = np.s_[y - 2 : y + 3, x - 2 : x + 3]
    return float(np.abs(before.image[patch].astype(int) - after.image[patch]).mean()) > 12


@pytest.mark.parametrize(
    ("wear", "nose", "mouth"), [(PROPER, True, True), (UNDER_NOSE, False, True), (UNDER_CHIN, False, False)]
)
def test_a_drawn_mask_covers_what_its_wear_says(wear: Wear, *, nose: bool, mouth: bool) -> None:
    bare = face_region(masked=False)
    hits = {"nose": 0, "mouth": 0}
    for seed in range(20):
        drawn = draw_mask(bare, wear, np.random.default_rng(seed))
        hits["nose"] += changed(bare, drawn, NOSE)
        hits["mouth"] += changed(bare, drawn, MOUTH)
    assert (hits["nose"] >= 15) if nose else (hits["nose"] <= 3)
    assert (hits["mouth"] >= 17) if mouth else (hits["mouth"] <= 5)


def test_masks_are_drawn_light_and_black() -> None:
    bare = face_region(masked=False)
    levels = [float(draw_mask(bare, PROPER, np.random.default_rng(s)).image[66:74, 44:52].mean()) for s in range(60)]
    assert min(levels) < 50
    assert max(levels) > 170


def test_a_mask_needs_landmarks() -> None:
    region = face_region(masked=False)
    with pytest.raises(ValueError, match="landmarks"):
        draw_mask(Region(region.image, region.box, None, 80), PROPER, np.random.default_rng(1))


def test_a_revealed_nose_leaves_the_cloth_over_the_chin() -> None:
    masked, bare = face_region(masked=True, seed=1), face_region(masked=False, seed=2)
    noses = 0
    for seed in range(10):
        worn = reveal_nose(masked, bare, np.random.default_rng(seed))
        noses += changed(masked, worn, NOSE)
        assert not changed(masked, worn, CHIN)
    assert noses >= 8


def test_a_hand_covers_something_and_keeps_the_frame() -> None:
    bare = face_region(masked=False)
    covered = with_hand(bare, np.random.default_rng(3))
    assert covered.box == bare.box
    assert not np.array_equal(covered.image, bare.image)


@pytest.mark.parametrize("kind", ["crop", "boxed"])
def test_framing_gives_the_input_size_and_the_same_view_for_the_same_seed(kind: str) -> None:
    region = face_region(masked=True)
    views = [framed(region, kind, Framing(), 64, np.random.default_rng(5)) for _ in range(2)]
    assert views[0].shape == (64, 64, 3)
    assert np.array_equal(*views)


def test_margins_reach_from_tight_to_loose() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    image[100:200, 100:200] = 255
    region = Region(image, Box(100, 100, 100, 100), None, 100)
    plain = Framing(shift=0, angle=0, stretch=0)
    shares = [float((framed(region, "boxed", plain, 64, np.random.default_rng(s)) > 127).mean()) for s in range(60)]
    assert max(shares) > 0.97
    assert min(shares) < 0.32


def test_faults_keep_shape_and_type() -> None:
    always = Camera(*([1.0] * len(fields(Camera))))
    image = face_region(masked=False).image
    for seed in range(10):
        result = degraded(image, always, np.random.default_rng(seed))
        assert result.shape == image.shape
        assert result.dtype == np.uint8


def test_few_pixels_take_the_detail_away_and_keep_the_light() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (96, 96, 3)).astype(np.uint8)
    small = few_pixels(noise, 20)
    assert small.shape == (20, 20, 3)
    assert small.std() < noise.std() / 2
    assert abs(float(small.mean()) - float(noise.mean())) < 3


@pytest.mark.parametrize(("few", "least", "most"), [(0.0, -0.1, 0.1), (1.0, 0.5, 1.0)])
def test_noise_is_as_coarse_as_the_pixels_that_the_camera_had(few: float, least: float, most: float) -> None:
    grey = np.full((128, 128, 3), 128, np.uint8)
    camera = Camera(**NO_FAULT | {"few_pixels": few, "noise": 1.0})
    for seed in range(10):
        noise = degraded(grey, camera, np.random.default_rng(seed))[..., 0].astype(float) - 128
        neighbours = np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]
        assert least < neighbours < most


def test_haze_takes_contrast_away_and_leaves_the_order_of_light_and_dark() -> None:
    ramp = np.repeat(np.linspace(0, 255, 96).astype(np.uint8)[np.newaxis, :, np.newaxis], 96, axis=0).repeat(3, axis=2)
    for seed in range(20):
        hazy = degraded(ramp, Camera(**NO_FAULT | {"haze": 1.0}), np.random.default_rng(seed)).astype(int)
        assert 0.2 * 255 < np.ptp(hazy) < 0.85 * 255
        assert (np.diff(hazy[0, :, 0]) >= 0).all()


def test_of_a_video_with_few_bits_some_of_the_frame_before_stays() -> None:
    image = face_region(masked=False).image
    for seed in range(20):
        frame = degraded(image, Camera(**NO_FAULT | {"video": 1.0}), np.random.default_rng(seed)).astype(int)
        moved = np.abs(frame - image).max(axis=2) > 14
        assert moved.mean() < 0.5
        assert len(np.unique(frame)) < len(np.unique(image))


def test_an_object_hides_less_than_a_quarter() -> None:
    image = np.full((96, 96, 3), 128, np.uint8)
    for seed in range(30):
        assert (with_object(image, np.random.default_rng(seed)) != image).any(axis=2).mean() < 0.25


def test_ranges_of_nothing_change_nothing() -> None:
    image = face_region(masked=False).image
    assert np.array_equal(distorted(image, KerasRanges(), np.random.default_rng(1)), image)


def test_the_seeds_shear_of_a_fifth_of_a_degree_moves_nothing_by_a_pixel() -> None:
    image = np.zeros((128, 128, 3), np.uint8)
    image[:, 64] = 255
    sheared = distorted(image, KerasRanges(shear=0.2), np.random.default_rng(1))
    assert np.abs(sheared.argmax(axis=1)[:, 0] - 64).max() <= 1
