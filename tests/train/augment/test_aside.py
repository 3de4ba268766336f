"""Heads that look aside: where their parts go, and that box and pixels stay together."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.vision.geometry import Box
from train.augment.aside import Aside, look_aside
from train.augment.framing import Framing, framed
from train.regions import Region

_BOX = (30.0, 20.0, 60.0, 80.0)


def _head() -> np.ndarray:
    """A grey ellipse that fills the box, with a white nose in the middle, on black."""
    pixels = np.zeros((120, 120, 3), np.uint8)
    cv2.ellipse(pixels, (60, 60), (30, 40), 0, 0, 360, (100, 100, 100), -1)
    cv2.circle(pixels, (60, 60), 4, (255, 255, 255), -1)
    return pixels


def _middle(pixels: np.ndarray, least: int) -> tuple[float, float]:
    rows, columns = np.nonzero(pixels[..., 0] >= least)
    return float(columns.mean()), float(rows.mean())


@pytest.mark.parametrize(("turn", "nod", "nose"), [(0.4, 0, (73, 60)), (-0.4, 0, (47, 60)), (0.1, 0.2, (63.6, 69.3))])
def test_the_nose_moves_further_than_the_ears_and_the_box_follows(
    turn: float, nod: float, nose: tuple[float, float]
) -> None:
    (pixels,), (left, top, width, height) = look_aside([_head()], _BOX, Aside(turn, nod, 1.0))
    assert _middle(pixels, 200) == pytest.approx(nose, abs=1)
    rows, columns = np.nonzero(pixels[..., 0] > 50)
    assert (columns.min(), columns.max()) == pytest.approx((left, left + width), abs=1.5)
    assert (rows.min(), rows.max()) == pytest.approx((top, top + height), abs=1.5)
    assert abs(left + width / 2 - 60) < abs(nose[0] - 60)


def test_a_narrower_head_has_a_narrower_box_in_every_layer() -> None:
    (pixels, opacity), box = look_aside([_head(), _head()[..., 0].copy()], _BOX, Aside(0.0, 0.0, 0.75))
    assert pixels.shape == (120, 90, 3)
    assert opacity.shape == (120, 90)
    assert box == pytest.approx((22.5, 20, 45, 80))
    assert np.array_equal(pixels[..., 0], opacity)
    _, columns = np.nonzero(opacity > 50)
    assert (columns.min(), columns.max()) == pytest.approx((22.5, 67.5), abs=2)


def test_a_head_that_looks_ahead_stays_as_it_is() -> None:
    (pixels,), _ = look_aside([_head()], _BOX, Aside(0.0, 0.0, 1.0))
    assert np.array_equal(pixels, _head())


def test_nothing_folds_over_at_the_limits() -> None:
    ramp = np.repeat(np.arange(120, dtype=np.uint8)[None, :], 120, axis=0)
    (pixels,), _ = look_aside([ramp], _BOX, Aside(0.45, -0.45, 1.0))
    assert np.diff(pixels.astype(int), axis=1).min() >= 0


def test_what_is_drawn_stays_within_the_limits() -> None:
    drawn = [Aside.draw(np.random.default_rng(seed)) for seed in range(300)]
    assert 0.3 < max(abs(each.turn) for each in drawn) <= 0.45
    assert all(abs(each.nod) <= 0.45 and 0.7 < each.width <= 1 for each in drawn)


def test_a_view_shows_the_head_that_looks_aside() -> None:
    still = Framing(margins=(0.1, 0.1), shift=0, angle=0, stretch=0, aside=1.0)
    region = Region(_head(), Box(30, 20, 60, 80), None, 80)
    noses = [_middle(framed(region, "boxed", still, 96, np.random.default_rng(seed)), 200)[0] for seed in range(20)]
    assert max(noses) - min(noses) > 8
    ahead = Framing(margins=(0.1, 0.1), shift=0, angle=0, stretch=0, aside=0.0)
    noses = [_middle(framed(region, "boxed", ahead, 96, np.random.default_rng(seed)), 200)[0] for seed in range(20)]
    assert max(noses) - min(noses) < 2
