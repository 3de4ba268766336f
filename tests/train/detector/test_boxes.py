"""Boxes as arrays, and the rule by which each source is brought to ours."""

from __future__ import annotations

import numpy as np
import pytest

from edge.vision.geometry import overlaps
from train.detector.boxes import MARGINS, Margins, share_inside, sizes, to_our_rule


@pytest.mark.parametrize(
    ("margins", "expected"),
    [
        (Margins(0, 0, 0, 0), (10, 20, 100, 200)),
        (Margins(0.1, 0, 0, 0), (0, 20, 110, 200)),
        (Margins(0, 0.1, 0, 0), (10, 0, 100, 220)),
        (Margins(0, 0, -0.1, -0.1), (10, 20, 90, 180)),
    ],
    ids=["as it is", "wider on the left", "higher", "cut on the right and below"],
)
def test_margins_are_shares_of_the_box(margins: Margins, expected: tuple[int, ...]) -> None:
    boxes = np.array([[10, 20, 100, 200]], np.float32)
    assert to_our_rule(boxes, margins) == pytest.approx(np.array([expected], np.float32))


def test_the_sources_agree_better_by_our_rule() -> None:
    """The same face as the two sources box it: YuNet's box less 19 % of its top, and 13 % wider all round."""
    face = np.array([[0, 0, 100, 100]], np.float32)
    low = to_our_rule(face, Margins(0, -0.19, 0.04, 0.08))
    wide = to_our_rule(face, Margins(0.13, 0.14, 0.13, 0.08))
    before = overlaps(low, wide)[0, 0]
    after = overlaps(to_our_rule(low, MARGINS["andrewmvd"]), to_our_rule(wide, MARGINS["macwin"]))[0, 0]
    assert before < 0.62
    assert after > 0.78


def test_overlap_of_every_pair() -> None:
    a = np.array([[0, 0, 10, 10], [100, 100, 5, 5]], np.float32)
    b = np.array([[5, 0, 10, 10], [0, 0, 10, 10]], np.float32)
    assert overlaps(a, b) == pytest.approx(np.array([[1 / 3, 1], [0, 0]]), abs=1e-6)
    assert share_inside(a, b) == pytest.approx(np.array([[0.5, 1], [0, 0]]), abs=1e-6)


def test_no_boxes_have_no_overlap() -> None:
    none = np.zeros((0, 4), np.float32)
    assert overlaps(none, np.ones((3, 4), np.float32)).shape == (0, 3)
    assert sizes(none).shape == (0,)
