from __future__ import annotations

import numpy as np
import pytest

from train import metrics
from train.samples import Sample

P = np.array([0.9, 0.8, 0.3, 0.1, 0.6])
TRUTH = np.array([True, True, True, False, False])
ONE = np.ones(5)


def test_a_group_with_many_copies_counts_once() -> None:
    samples = [Sample("a", "mask", group="g"), Sample("b", "mask", group="g"), Sample("c", "mask", group="h")]
    assert metrics.group_weights(samples).tolist() == [0.5, 0.5, 1.0]


def test_balanced_accuracy_is_the_mean_of_both_recalls() -> None:
    assert metrics.balanced_accuracy(P, TRUTH, ONE) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_without_one_class_there_is_no_balanced_accuracy() -> None:
    assert np.isnan(metrics.balanced_accuracy(P[:3], TRUTH[:3], ONE[:3]))


def test_wrong_are_counted_among_the_decided_only() -> None:
    wrong, uncertain = metrics.decided(P, TRUTH, ONE, 0.7, 0.35)
    assert (wrong, uncertain) == (pytest.approx(1 / 4), pytest.approx(1 / 5))


def test_a_sure_and_right_model_has_no_calibration_error_and_a_sure_and_wrong_one_has_all() -> None:
    assert metrics.calibration_error(np.array([1.0, 0.0]), np.array([True, False]), np.ones(2)) == 0
    assert metrics.calibration_error(np.array([1.0, 0.0]), np.array([False, True]), np.ones(2)) == 1


def test_calibration_error_is_the_gap_between_confidence_and_share_right() -> None:
    p_mask = np.full(10, 0.8)
    truth = np.arange(10) < 6
    assert metrics.calibration_error(p_mask, truth, np.ones(10)) == pytest.approx(0.2)


def test_the_area_under_a_perfect_order_is_one_and_under_a_tie_a_half() -> None:
    assert metrics.roc(np.array([0.9, 0.2]), np.array([True, False]), np.ones(2))[2] == pytest.approx(1)
    assert metrics.roc(np.array([0.5, 0.5]), np.array([True, False]), np.ones(2))[2] == pytest.approx(0.5)


def test_the_confusion_matrix_has_truth_in_rows() -> None:
    assert metrics.confusion(P, TRUTH, ONE) == [[2.0, 1.0], [1.0, 1.0]]
