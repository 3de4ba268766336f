from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from edge.errors import UsageError
from train.dataset import open_dataset
from train.samples import Sample
from train.split import Ratios, as_published, check_groups, grouped, reshuffled, split


def samples(count: int = 200) -> list[Sample]:
    """Two pictures a group, alternating labels, all in the published parts 3 to 1."""
    return [
        Sample(
            f"{n}.jpg",
            "mask" if n // 2 % 2 else "no_mask",
            group=f"g{n // 2}",
            published_split="val" if n % 4 == 3 else "train",
        )
        for n in range(count)
    ]


def test_every_part_gets_its_share_of_each_label() -> None:
    counts = Counter((s.split, s.label) for s in split(samples(), Ratios(), 1))
    assert {key: counts[key] for key in counts} == {
        (part, label): number
        for part, number in (("train", 80), ("val", 10), ("test", 10))
        for label in ("mask", "no_mask")
    }


def test_a_group_is_never_on_two_sides() -> None:
    check_groups(split(samples(), Ratios(0.5, 0.3, 0.2), 5))


def test_a_group_on_two_sides_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"1 groups .* g0 \(train and val\)"):
        check_groups([Sample("a", "mask", "train", "g0"), Sample("b", "mask", "val", "g0")])


def test_the_split_of_a_split_is_the_same_split_in_any_order() -> None:
    first = split(samples(), Ratios(), 9)
    again = split(list(reversed(first)), Ratios(), 9)
    assert sorted(first, key=lambda s: s.path) == sorted(again, key=lambda s: s.path)


def test_another_seed_gives_another_split() -> None:
    assert split(samples(), Ratios(), 1) != split(samples(), Ratios(), 2)


def test_reshuffling_keeps_the_published_proportions_and_whole_groups() -> None:
    mixed = reshuffled(samples(), 3)
    assert (
        Counter(s.split for s in mixed) == {"train": 152, "val": 48}
        or abs(Counter(s.split for s in mixed)["val"] - 50) <= 4
    )
    check_groups(mixed)


def test_the_published_split_comes_back_with_its_own_labels() -> None:
    kept = as_published([replace(s, label="drop", published_label="mask") for s in samples(4)])
    assert [(s.split, s.label) for s in kept] == [("train", "mask")] * 3 + [("val", "mask")]


def test_without_a_published_split_there_is_nothing_to_reshuffle() -> None:
    with pytest.raises(UsageError, match="published split"):
        reshuffled([Sample("a", "mask")], 1)


def test_ratios_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(UsageError, match="add up to 1"):
        Ratios(0.8, 0.1, 0.2)


def test_a_share_that_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match="add up to 1"):
        Ratios(float("nan"), 0.0, 1.0)


def test_dropped_samples_take_part_in_nothing() -> None:
    assert [s.split for s in split([Sample("a", "drop", "train", "g")], Ratios(), 1)] == [""]


def test_copies_in_a_folder_become_one_group(tiny_folder: Path, tmp_path: Path) -> None:
    for part, name in (("Train", "a.png"), ("Validation", "b.png")):
        (tmp_path / part / "Mask").mkdir(parents=True)
        (tmp_path / part / "Mask" / name).write_bytes((tiny_folder / "Train/Mask/0.0.png").read_bytes())
    found = grouped(open_dataset(tmp_path)).samples
    assert found[0].group == found[1].group
    with pytest.raises(UsageError, match="two sides"):
        check_groups(found)
