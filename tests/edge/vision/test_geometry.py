from __future__ import annotations

import resource

import numpy as np
import pytest

from edge.vision.geometry import Box, covered, face_input, intersection_over_union, whole


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        (Box(10, 10, 20, 20), Box(10, 10, 20, 20)),
        (Box(-5, -5, 20, 20), Box(0, 0, 15, 15)),
        (Box(90, 40, 20, 20), Box(90, 40, 10, 10)),
        (Box(100, 0, 5, 5), None),
        (Box(0, -5, 5, 5), None),
    ],
)
def test_a_box_is_clipped_to_the_picture(box: Box, clipped: Box | None) -> None:
    assert box.clipped(100, 50) == clipped


@pytest.mark.parametrize(
    ("other", "overlap"),
    [(Box(0, 0, 10, 10), 1.0), (Box(5, 0, 10, 10), 1 / 3), (Box(10, 0, 10, 10), 0.0), (Box(2, 2, 5, 5), 0.25)],
)
def test_overlap_is_intersection_over_union(other: Box, overlap: float) -> None:
    assert intersection_over_union(Box(0, 0, 10, 10), other) == pytest.approx(overlap)


@pytest.mark.parametrize(
    ("other", "share"),
    [(Box(0, 0, 10, 10), 1.0), (Box(5, 0, 10, 10), 0.5), (Box(10, 0, 10, 10), 0.0), (Box(2, 2, 5, 5), 1.0)],
)
def test_covered_is_the_shared_part_of_the_smaller_box(other: Box, share: float) -> None:
    assert covered(Box(0, 0, 10, 10), other) == pytest.approx(share)
    assert covered(other, Box(0, 0, 10, 10)) == pytest.approx(share)


def test_the_input_of_a_model_is_the_square_around_the_face_in_rgb() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[40:60, 45:55] = (255, 0, 0)  # a blue face, in BGR, that is 10 wide and 20 high

    crop = face_input(image, Box(45, 40, 10, 20), margin=0.0, size=(20, 20))

    assert crop.shape == (20, 20, 3)
    assert crop[10, 10].tolist() == [0, 0, 255]
    assert crop[10, 2].tolist() == [0, 0, 0]
    assert crop[:, 5:15, 2].min() == 255


def test_a_margin_is_added_on_each_side_as_a_share_of_the_longer_side() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[40:60, 40:60] = 255

    crop = face_input(image, Box(40, 40, 20, 20), margin=0.5, size=(40, 40))

    assert crop[10:30, 10:30].min() == 255
    assert crop[:10].max() == 0


def test_outside_the_picture_its_edge_is_repeated() -> None:
    image = np.zeros((50, 50, 3), np.uint8)
    image[:, 0] = 200

    crop = face_input(image, Box(-10, 10, 20, 20), margin=0.0, size=(20, 20))

    assert (crop[:, :10] == 200).all()
    assert crop[10, 15, 0] == 0


def test_a_box_outside_the_picture_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match=r"Box\(x=60.*50 x 50"):
        face_input(np.zeros((50, 50, 3), np.uint8), Box(60, 60, 5, 5), 0.0, (8, 8))


def test_the_whole_picture_is_a_box() -> None:
    assert whole(np.zeros((30, 40, 3), np.uint8)) == Box(0, 0, 40, 30)


def test_a_picture_that_is_all_length_costs_no_square_of_it() -> None:
    strip = np.zeros((100, 40_000, 3), np.uint8)
    strip[:, 19_000:21_000] = 255
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    crop = face_input(strip, whole(strip), margin=0.0, size=(128, 128))

    assert crop.shape == (128, 128, 3)
    assert crop[64, 64].tolist() == [255, 255, 255]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB; the square would be 4.8 GB
