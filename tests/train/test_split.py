from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from edge.errors import UsageError
from train.dataset import Dataset, open_dataset
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


def _pictures(root: Path, tiny_folder: Path, *numbers: int) -> list[Sample]:
    """Copies of drawn faces, `0.png`, `1.png` and so on; the same number is the same face."""
    for place, number in enumerate(numbers):
        (root / f"{place}.png").write_bytes((tiny_folder / f"Train/Mask/{number}.{number % 3}.png").read_bytes())
    return [Sample(f"{place}.png", "mask", group=f"{place}.png") for place in range(len(numbers))]


def test_copies_are_found_where_only_some_rows_name_a_group(tiny_folder: Path, tmp_path: Path) -> None:
    samples = _pictures(tmp_path, tiny_folder, 1, 2, 3, 1, 2, 4)
    samples[0] = replace(samples[0], group="Anna")
    samples[5] = replace(samples[5], group="Anna")
    found = [sample.group for sample in grouped(Dataset(tmp_path, samples)).samples]
    assert found[0] == found[3] == found[5] == "Anna"  # a copy of one is of the group, and the group stays whole
    assert found[1] == found[4] != found[2]
    assert "Anna" not in {found[1], found[2]}


def test_a_copy_of_two_groups_makes_them_one_with_their_clips(tiny_folder: Path, tmp_path: Path) -> None:
    samples = _pictures(tmp_path, tiny_folder, 1, 1, 1)
    samples[0] = replace(samples[0], group="Berta")
    samples[1] = replace(samples[1], group="Anna")
    clip = Sample("walk.mp4", "mask", group="Berta", kind="clip")
    other = Sample("run.mp4", "mask", group="run.mp4", kind="clip")
    found = grouped(Dataset(tmp_path, [clip, *samples, other])).samples
    assert [sample.group for sample in found] == ["Anna"] * 4 + ["run.mp4"]


def test_no_picture_is_opened_where_every_row_names_a_group(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path, [Sample("gone.png", "mask", group="g"), Sample("a.mp4", "mask", kind="clip")])
    assert grouped(dataset) is dataset
