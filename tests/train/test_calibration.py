from __future__ import annotations

import numpy as np
import pytest

from train import metrics
from train.calibration import (
    Goal,
    choose_thresholds,
    favours,
    fit_reserve,
    fit_shift,
    fit_temperature,
    mask_probability,
)
from train.samples import Sample

LABELS = ("mask", "no_mask", "not_a_face")


def test_a_temperature_above_one_mends_a_model_that_is_too_sure() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, 4000)
    truth = rng.random(4000) < 1 / (1 + np.exp(-logits))
    sure = 1 / (1 + np.exp(-2 * logits))
    probabilities = np.stack([sure * 0.99, (1 - sure) * 0.99, np.full(4000, 0.01)], axis=1).astype(np.float32)
    weights = np.ones(4000)
    temperature = fit_temperature(probabilities, LABELS, truth, weights)
    assert temperature == pytest.approx(2.0, rel=0.12)
    before, after = (
        metrics.calibration_error(mask_probability(probabilities, LABELS, t), truth, weights)
        for t in (1.0, temperature)
    )
    assert after < 0.03 < 0.06 < before


def test_what_is_no_face_does_not_change_mask_against_bare() -> None:
    rows = np.array([[0.45, 0.45, 0.1], [0.05, 0.05, 0.9]], np.float32)
    assert mask_probability(rows, LABELS, 1.0) == pytest.approx([0.5, 0.5])


def test_thresholds_hold_the_goal_on_each_side() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random(5000) < 0.3
    p_mask = np.clip(truth + rng.normal(0, 0.35, 5000), 0, 1)
    chosen = choose_thresholds(p_mask, truth, np.ones(5000), Goal(0.02))
    assert (~truth[p_mask >= chosen.mask_above]).mean() <= 0.021
    assert truth[p_mask <= chosen.no_mask_below].mean() <= 0.021
    assert chosen.mask_above >= 0.75
    assert chosen.no_mask_below <= 0.25


def test_a_favour_for_one_class_is_found_and_has_the_right_sign() -> None:
    rng = np.random.default_rng(3)
    truth = np.arange(3000) % 2 == 0
    logits = np.where(truth, 1.5, -1.5) + rng.normal(0, 1.7, 3000) - 0.8
    p_mask = 1 / (1 + np.exp(-logits))
    probabilities = np.stack([p_mask, 1 - p_mask, np.zeros(3000)], axis=1).astype(np.float32)
    assert fit_shift(probabilities, LABELS, truth, np.ones(3000)) == pytest.approx(0.65, abs=0.25)


def test_badly_worn_masks_pull_the_head_towards_bare() -> None:
    rng = np.random.default_rng(4)
    worn = np.repeat(["mask", "no_mask", "incorrect"], [400, 400, 40])
    logits = np.select([worn == "mask", worn == "no_mask"], [1.0, -3.0], 0.5) + rng.normal(0, 1.2, len(worn))
    p_mask = 1 / (1 + np.exp(-logits))
    rows = np.stack([p_mask, 1 - p_mask, np.full(len(worn), 1e-6)], axis=1)
    samples = [Sample(f"{number}.png", str(label), group=str(number)) for number, label in enumerate(worn)]

    with_them, without = favours(rows, samples, LABELS), favours(rows[:800], samples[:800], LABELS)

    assert with_them["mask"] == -with_them["no_mask"]
    assert with_them["mask"] < without["mask"] - 0.05
    assert with_them["not_a_face"] == 0


def test_no_face_is_held_back_until_hardly_a_face_is_dropped() -> None:
    lead = np.r_[np.full(13, 0.9), np.full(7, 0.5), np.full(9980, -3.0)]
    rows = np.exp(np.stack([np.zeros(10_000), np.full(10_000, -4.0), lead], axis=1))
    rows /= rows.sum(axis=1, keepdims=True)
    weights = np.ones(10_000)
    # Twenty in ten thousand may go, and would without any help; twenty-one may not.
    assert fit_reserve(rows, LABELS, weights) == 0
    lead[20] = 0.4
    more = np.exp(np.stack([np.zeros(10_000), np.full(10_000, -4.0), lead], axis=1))
    held = fit_reserve(more / more.sum(axis=1, keepdims=True), LABELS, weights)
    assert held == pytest.approx(-0.41, abs=0.011)
    assert int((lead + held >= 0).sum()) == 20


def test_no_face_is_never_favoured_and_never_given_up() -> None:
    sure = np.array([[0.9, 0.09, 0.01]] * 50)
    assert fit_reserve(sure, LABELS, np.ones(50)) == 0
    lost = np.array([[0.005, 0.005, 0.99]] * 50)
    assert fit_reserve(lost, LABELS, np.ones(50)) == -2
    assert fit_reserve(sure[:, :2], LABELS[:2], np.ones(50)) == 0


def test_a_goal_that_nothing_holds_is_told(caplog: pytest.LogCaptureFixture) -> None:
    p_mask = np.array([0.999, 0.998, 0.001, 0.002])
    truth = np.array([True, False, False, False])
    chosen = choose_thresholds(p_mask, truth, np.ones(4), Goal(0.01))
    assert (chosen.mask_above, chosen.no_mask_below) == (0.99, 0.25)
    (told,) = caplog.messages
    assert "mask_above" in told
    assert "1 %" in told
    assert "0.99" in told


def test_nothing_is_told_of_a_goal_that_is_held(caplog: pytest.LogCaptureFixture) -> None:
    choose_thresholds(np.array([0.999, 0.001]), np.array([True, False]), np.ones(2), Goal(0.01))
    assert caplog.messages == []
