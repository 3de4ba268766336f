"""The gate and the change detector behind it, on drawn frames at ten a second."""

from __future__ import annotations

import numpy as np
import pytest

from edge.gate import Gate
from edge.vision.geometry import Image
from edge.vision.motion import ChangeDetector

FRAME_S = 0.1


def hall(seed: int = 0, noise: float = 2.0, size: tuple[int, int] = (640, 480), light: float = 0.0) -> Image:
    """A wall that darkens downwards, with the noise of a sensor in grey levels (standard deviation)."""
    width, height = size
    wall = np.repeat(np.linspace(200, 90, height)[:, np.newaxis, np.newaxis], width, axis=1).repeat(3, axis=2)
    grain = light + noise * np.random.default_rng(seed).standard_normal(wall.shape, np.float32)
    return np.asarray(np.clip(wall + grain, 0, 255), np.uint8)


def with_patch(image: Image, side: int, colour: tuple[int, int, int], x: int = 301, y: int = 203) -> Image:
    """A square of another colour, `colour` (BGR) away from what is there."""
    image = image.copy()
    part = image[y : y + side, x : x + side]
    image[y : y + side, x : x + side] = np.clip(part + np.array(colour), 0, 255)
    return image


@pytest.mark.parametrize("noise", [0.0, 3.0, 12.0])
@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (320, 240), (64, 48), (90, 1000)])
def test_noise_is_no_change(noise: float, size: tuple[int, int]) -> None:
    changes = ChangeDetector()
    assert changes.changed(hall(0, noise, size))
    changes.keep()

    assert not any(changes.changed(hall(seed, noise, size)) for seed in range(1, 8))


@pytest.mark.parametrize("colour", [(12, 12, 12), (-12, -12, -12), (-14, 0, 14)])
def test_a_face_of_24_pixels_is_a_change_even_of_low_contrast(colour: tuple[int, int, int]) -> None:
    changes = ChangeDetector()
    changes.changed(hall(0, 3.0))
    changes.keep()

    assert changes.changed(with_patch(hall(1, 3.0), 24, colour))


def test_a_lamp_that_goes_on_is_a_change() -> None:
    changes = ChangeDetector()
    changes.changed(hall(0))
    changes.keep()

    assert changes.changed(hall(1, light=8.0))


def test_frames_of_another_size_are_a_change() -> None:
    changes = ChangeDetector()
    changes.changed(hall())
    changes.keep()

    assert changes.changed(hall(size=(1280, 720)))


def looked_at(gate: Gate, frames: list[Image]) -> list[int]:
    return [number for number, frame in enumerate(frames) if gate.opens(frame, 100 + number * FRAME_S)]


def test_a_still_picture_is_looked_at_for_a_second_and_then_every_two() -> None:
    assert looked_at(Gate(2.0), [hall(seed) for seed in range(62)]) == [*range(11), 30, 50]


def test_every_frame_of_a_moving_scene_is_looked_at() -> None:
    moving = [with_patch(hall(seed), 60, (-40, -40, -40), x=10 + 8 * seed) for seed in range(40)]

    assert looked_at(Gate(2.0), moving) == list(range(40))


def test_who_comes_is_seen_at_once() -> None:
    scene = [hall(seed) if seed < 25 else with_patch(hall(seed), 40, (30, 0, -30)) for seed in range(40)]

    assert 25 in looked_at(Gate(60.0), scene)


def test_a_change_too_slow_to_see_adds_up() -> None:
    """A patch that turns up over a minute, a tenth of a grey level a frame."""
    scene = [with_patch(hall(seed, 1.0), 60, (0, 0, round(seed / 10))) for seed in range(0, 600, 5)]
    gate = Gate(3600.0)

    assert len([number for number in looked_at(gate, scene) if number > 20]) >= 20


def test_a_look_that_found_somebody_keeps_the_gate_open_for_a_second() -> None:
    gate, frames = Gate(60.0), [hall(seed) for seed in range(40)]
    assert looked_at(gate, frames)[-1] == 10

    gate.stir(110.0)
    assert [number for number in range(30) if gate.opens(frames[number], 110 + number * FRAME_S)] == list(range(11))
