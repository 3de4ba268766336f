from __future__ import annotations

import pytest

from train.labels import label_of_name, part_of_name


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Mask", "mask"),
        ("with_mask", "mask"),
        ("WithMask", "mask"),
        ("Wearing Mask", "mask"),
        ("No_mask", "no_mask"),
        ("without_mask", "no_mask"),
        ("WithoutMask", "no_mask"),
        ("Not Wearing Mask", "no_mask"),
        ("mask_weared_incorrect", "incorrect"),
        ("not_a_face", "no_face"),
        ("holiday", None),
    ],
)
def test_a_folder_name_from_the_wild_means_its_label(name: str, label: str | None) -> None:
    assert label_of_name(name) == label


@pytest.mark.parametrize(
    ("name", "part"), [("Train", "train"), ("Validation", "val"), ("TEST", "test"), ("Mask", None)]
)
def test_a_folder_name_means_a_part_of_the_split(name: str, part: str | None) -> None:
    assert part_of_name(name) == part
