from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from edge.vision.geometry import Box
from train.samples import Sample
from train.sampling import Sampler, Stratum, stratum_of


@pytest.mark.parametrize(
    ("sample", "stratum"),
    [
        (Sample("a", "mask"), Stratum.MASK_CROP),
        (Sample("a", "mask", flags=frozenset({"simulated_mask"})), Stratum.MASK_DRAWN),
        (Sample("a", "mask", kind="boxed", box=Box(0, 0, 30, 40)), Stratum.MASK_BOXED),
        (Sample("a", "mask", kind="boxed", box=Box(0, 0, 8, 10)), None),
        (Sample("a", "no_mask", published_split="train"), Stratum.BARE_ALIGNED),
        (Sample("a", "no_mask", box=Box(0, 0, 30, 40)), Stratum.BARE_CROP),
        (Sample("a", "incorrect"), Stratum.INCORRECT_REAL),
        (Sample("a", "no_face", kind="photo"), Stratum.NOT_A_FACE),
        (Sample("a", "drop"), None),
    ],
)
def test_a_sample_belongs_to_one_stratum(sample: Sample, stratum: Stratum | None) -> None:
    assert stratum_of(sample) == stratum


def test_fifty_copies_of_one_picture_are_drawn_as_often_as_a_single_one() -> None:
    samples = [Sample(f"a{n}", "mask", group="many") for n in range(50)] + [Sample("b", "mask", group="one")]
    sampler = Sampler(samples, {}, {Stratum.MASK_CROP: 1.0})
    rng = np.random.default_rng(1)
    counts = Counter(samples[sampler.draw(rng).index].group for _ in range(4000))
    assert counts["one"] == pytest.approx(2000, abs=150)


def test_strata_come_in_their_shares_whatever_their_size() -> None:
    samples = [Sample(f"m{n}", "mask", group=f"m{n}") for n in range(90)]
    samples += [Sample(f"b{n}", "incorrect", group=f"b{n}") for n in range(10)]
    sampler = Sampler(samples, {}, {Stratum.MASK_CROP: 1, Stratum.INCORRECT_REAL: 1, Stratum.NOT_A_FACE: 5})
    rng = np.random.default_rng(1)
    counts = Counter(sampler.draw(rng).stratum for _ in range(4000))
    assert counts[Stratum.INCORRECT_REAL] == pytest.approx(2000, abs=150)


def test_the_share_of_a_stratum_that_is_not_there_goes_to_the_others_of_its_class() -> None:
    samples = [Sample("m", "mask"), Sample("b", "no_mask"), Sample("d", "incorrect")]
    shares = {
        Stratum.MASK_CROP: 0.1,
        Stratum.MASK_BOXED: 0.4,
        Stratum.BARE_CROP: 0.3,
        Stratum.INCORRECT_REAL: 0.1,
        Stratum.BARE_BOXED: 0.1,
    }
    sampler = Sampler(samples, {}, shares)
    rng = np.random.default_rng(1)
    counts = Counter(sampler.draw(rng).stratum for _ in range(8000))
    assert counts[Stratum.MASK_CROP] == pytest.approx(4000, abs=250)
    assert counts[Stratum.BARE_CROP] == pytest.approx(3000, abs=250)
    assert counts[Stratum.INCORRECT_REAL] == pytest.approx(1000, abs=250)


@pytest.mark.parametrize("groups", [["0"] * 10, [f"{n}" for n in range(10)], ["0"] * 5 + ["1"] * 5])
def test_a_hard_example_comes_more_often_and_those_of_its_group_do_not(groups: list[str]) -> None:
    samples = [Sample(f"{n}", "mask", group=group) for n, group in enumerate(groups)]
    sampler = Sampler(samples, {}, {Stratum.MASK_CROP: 1.0}, {3: 3.0})
    rng = np.random.default_rng(1)
    counts = Counter(sampler.draw(rng).index for _ in range(12000))
    assert counts[3] == pytest.approx(3000, abs=200)
    assert max(counts[n] for n in range(10) if n != 3) < 1200


def test_a_set_without_any_stratum_is_refused() -> None:
    with pytest.raises(ValueError, match="no sample"):
        Sampler([Sample("a", "drop")], {}, {Stratum.MASK_CROP: 1.0})
