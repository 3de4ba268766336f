"""Boxes and labels in pictures of all sizes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.vision.analyzer import Face
from edge.vision.classifier import Label
from edge.vision.drawing import COLOURS, Mark, annotated, draw, mark_of, thumbnail
from edge.vision.geometry import Box, Image
from support.faces import face

LABELS = ("mask", "no_mask", "uncertain")


def grey(width: int, height: int) -> Image:
    return np.full((height, width, 3), 120, np.uint8)


def covered(image: Image, label: str) -> Box:
    """The smallest box around all pixels of a label's colour: its frame and its plate."""
    rows, columns = np.nonzero((image == COLOURS[Label(label)]).all(axis=2))
    assert len(rows), f"nothing of {label} is drawn"
    return Box(int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)


def plate_height(image: Image, label: str) -> int:
    """Height of the plate: the longest run of rows in which the label's colour fills more than a frame does."""
    filled = (image == COLOURS[Label(label)]).all(axis=2).sum(axis=1)
    return int((filled > filled.max() * 0.4).sum())


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """As WCAG 2.2 defines it, of two colours given as blue, green, red."""

    def luminance(colour: tuple[int, int, int]) -> float:
        blue, green, red = (
            value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
            for value in (channel / 255 for channel in colour)
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(
    ("label", "p_mask", "text"),
    [
        ("mask", 0.982, "mask 98 %"),
        ("mask", 0.9999, "mask 99 %"),
        ("mask", 1.0, "mask 100 %"),
        ("no_mask", 0.021, "no mask 97 %"),
        ("no_mask", 0.03, "no mask 97 %"),
        ("no_mask", 0.0, "no mask 100 %"),
        ("uncertain", 0.97, "uncertain"),
    ],
)
def test_a_label_says_how_sure_it_is_and_never_more(label: str, p_mask: float, text: str) -> None:
    assert mark_of(Face(Box(0, 0, 9, 9), 0.9, Label(label), p_mask, 50, too_small=False)).texts[0] == text


def test_words_can_be_read_on_the_colour_of_each_label() -> None:
    white, black = (255, 255, 255), (0, 0, 0)

    assert contrast(COLOURS[Label.MASK], white) >= 4.5
    assert contrast(COLOURS[Label.NO_MASK], white) >= 4.5
    assert contrast(COLOURS[Label.UNCERTAIN], black) >= 4.5


@pytest.mark.parametrize(
    ("width", "height", "label"),
    [(12, 10, "mask"), (96, 96, "no_mask"), (640, 480, "uncertain"), (1920, 1080, "mask"), (7300, 5400, "no_mask")],
)
def test_a_label_is_large_enough_for_a_screen_that_shows_the_picture_whole(width: int, height: int, label: str) -> None:
    size = min(width, height) // 8 or 1

    drawn = annotated(grey(width, height), [face(label, width // 2, height // 2, size)])

    on_screen = min(1.0, 1500 / drawn.shape[1])
    assert plate_height(drawn, label) * on_screen >= 13


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("corner", [(0, 0), (630, 0), (0, 470), (630, 470)])
def test_the_label_of_a_face_of_ten_pixels_in_a_corner_is_whole(corner: tuple[int, int], label: str) -> None:
    in_the_middle = covered(annotated(grey(640, 480), [face(label, 300, 200, 10)]), label)

    drawn = annotated(grey(640, 480), [face(label, *corner, 10)])

    assert covered(drawn, label).width >= in_the_middle.width
    box = Box(*corner, 10, 10)
    inside = drawn[box.y + 3 : box.y + 7, box.x + 3 : box.x + 7]
    assert (inside == 120).all(), "the face itself is drawn over"


def test_the_frame_lies_around_the_face_and_not_over_it() -> None:
    drawn = annotated(grey(640, 480), [face("mask", 200, 200, 100)])

    assert (drawn[201:299, 201:299] == 120).all()
    for side in (drawn[250, 198], drawn[250, 301], drawn[301, 250]):
        assert tuple(side) == COLOURS[Label.MASK]


def test_a_face_that_fills_the_picture_is_framed_inside_it() -> None:
    drawn = annotated(grey(400, 300), [Face(Box(0, 0, 400, 300), None, Label.NO_MASK, 0.02, 50, too_small=False)])

    found = covered(drawn, "no_mask")
    assert (found.x, found.y) <= (1, 1)
    assert (found.width, found.height) >= (398, 298)


def test_only_what_is_undecided_has_a_dashed_frame() -> None:
    def share_of_the_left_side(label: str) -> float:
        drawn = annotated(grey(640, 480), [face(label, 200, 200, 140)])
        return float((drawn[200:340, 198] == COLOURS[Label(label)]).all(axis=1).mean())

    assert share_of_the_left_side("mask") == 1
    assert share_of_the_left_side("no_mask") == 1
    assert 0.4 < share_of_the_left_side("uncertain") < 0.8


def test_labels_of_neighbours_do_not_cover_each_other_or_a_face() -> None:
    faces = [face("mask", 200, 200, 40), face("no_mask", 244, 204, 40), face("uncertain", 222, 246, 40)]

    together = annotated(grey(640, 480), faces)

    for each in faces:
        alone = annotated(grey(640, 480), [each])
        colour = COLOURS[each.label]
        shown, whole = ((picture == colour).all(axis=2).sum() for picture in (together, alone))
        assert shown > 0.75 * whole, f"{each.label} is covered"
        inside = together[each.box.y + 6 : each.box.y + 34, each.box.x + 6 : each.box.x + 34]
        assert (inside == 120).mean() > 0.9


def test_in_a_crowd_words_become_short() -> None:
    crowd = [face("no_mask", x, y, 24) for x in range(0, 620, 30) for y in range(0, 460, 30)]

    one = (annotated(grey(640, 480), crowd[:1]) == COLOURS[Label.NO_MASK]).all(axis=2).sum()
    all_ = (annotated(grey(640, 480), crowd) == COLOURS[Label.NO_MASK]).all(axis=2).sum()

    assert all_ < 0.6 * one * len(crowd)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 500), (500, 1), (3, 2), (320, 16), (70_000, 2)])
def test_no_picture_is_too_odd(width: int, height: int) -> None:
    whole = Face(Box(0, 0, width, height), None, Label.UNCERTAIN, 0.5, 0.0, too_small=True)

    for drawn in (annotated(grey(width, height), [whole]), annotated(grey(width, height), [])):
        assert drawn.shape[0] >= 40
        assert drawn.shape[1] >= 128
        assert cv2.imencode(".jpg", drawn)[0]
    assert thumbnail(grey(width, height), [whole]).shape[1] >= 128


def test_a_picture_keeps_its_size_unless_it_is_tiny() -> None:
    assert annotated(grey(320, 200), []).shape == (200, 320, 3)
    assert annotated(grey(100, 50), []).shape == (200, 400, 3)


def test_a_thumbnail_is_small_and_its_boxes_are_where_the_faces_are() -> None:
    small = thumbnail(grey(3200, 2400), [face("mask", 1600, 1200, 400)])

    assert small.shape == (240, 320, 3)
    assert (small[122:158, 162:198] == 120).all()
    assert tuple(small[140, 158]) == COLOURS[Label.MASK]


def test_pictures_without_a_face_say_so() -> None:
    assert (annotated(grey(640, 480), []) != 120).any()


def test_the_picture_that_was_given_stays_clean() -> None:
    image = grey(640, 480)

    annotated(image, [face()])
    thumbnail(image, [face()])

    assert (image == 120).all()


def test_marks_of_any_words_can_be_drawn() -> None:
    image = grey(640, 480)

    draw(image, [Mark(Box(100, 100, 50, 50), Label.MASK, ("mask 3 of 3",))])

    assert covered(image, "mask").width > 60
