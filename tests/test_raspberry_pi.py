"""The arithmetic of docs/raspberry-pi.md."""

from __future__ import annotations

import math
import re

import pytest

from edge.settings import Settings
from edge.vision.cards import bundled_models, load_card
from support.components import ROOT

PAGE = (ROOT / "docs" / "raspberry-pi.md").read_text()
FACE_M = 0.14
FOUND_FROM_PX = 10
"""Of the detector's input: docs/detector.md."""
DISTANCES_M = (1, 1.5, 2, 3, 4, 5)


def horizontal_angle(sensor_mm: float, focal_mm: float) -> float:
    return 2 * math.atan(sensor_mm / 2 / focal_mm)


def horizontal_of_diagonal(diagonal: float, width: int, height: int) -> float:
    return 2 * math.atan(math.tan(diagonal / 2) * width / math.hypot(width, height))


CAMERAS = {
    "Camera Module 2": (math.radians(62.2), (1280, 720)),
    "Camera Module 3": (math.radians(66), (1280, 720)),
    "Camera Module 3 Wide": (math.radians(102), (1280, 720)),
    "HQ Camera, 6 mm lens": (horizontal_angle(6.287, 6), (1280, 720)),
    "USB webcam, 90° diagonal": (horizontal_of_diagonal(math.radians(90), 16, 9), (640, 480)),
    "the same with `size = [1280, 720]`": (horizontal_of_diagonal(math.radians(90), 16, 9), (1280, 720)),
}


def focal_px(angle: float, width: int) -> float:
    return width / (2 * math.tan(angle / 2))


def shown_at(frame: tuple[int, int]) -> float:
    """Pixels of the detector's input for one of the frame, in that of its sizes that shows the frame largest."""
    sizes = load_card(bundled_models() / "face_detector.tflite").input.sizes
    return max(min(width / frame[0], height / frame[1]) for width, height in sizes)


def row(name: str) -> str:
    angle, frame = CAMERAS[name]
    width = frame[0]
    focal = focal_px(angle, width)
    least_px = max(Settings().detector.min_face_px, FOUND_FROM_PX / shown_at(frame))
    faces = [f"{focal * FACE_M / distance:.0f}" for distance in DISTANCES_M]
    cells = [name, f"{round(math.degrees(angle), 1):g}°", str(width), f"{focal:.0f}", *faces]
    return f"| {' | '.join(cells)} | {focal * FACE_M / least_px:.1f} m |"


@pytest.mark.parametrize("name", CAMERAS)
def test_the_table_of_face_sizes_follows_from_the_formula(name: str) -> None:
    table = re.search(r"<!-- faces -->(.*)<!-- /faces -->", PAGE, re.S)
    assert table is not None

    assert row(name) in table[1].splitlines()


def test_the_table_has_no_other_camera() -> None:
    table = re.search(r"<!-- faces -->(.*)<!-- /faces -->", PAGE, re.S)
    assert table is not None
    assert len(table[1].strip().splitlines()) == len(CAMERAS) + 2


def test_a_known_case() -> None:
    """A right angle sees twice as wide as far: a face of 14 cm at 1 m is 7 % of the frame."""
    assert focal_px(math.radians(90), 1000) * 0.14 / 1 == pytest.approx(70)


def test_the_least_face_in_a_wide_frame_is_what_the_page_says() -> None:
    assert f"{FOUND_FROM_PX / shown_at((1280, 720)):.0f} in a frame of 1280 x 720" in PAGE.replace("\n", " ")


def test_the_camera_high_up_looks_down_by_no_more_than_the_page_says() -> None:
    assert (2.5 - 1.6) / math.tan(math.radians(20)) == pytest.approx(2.5, abs=0.05)
