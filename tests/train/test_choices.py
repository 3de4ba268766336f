"""What `fit` refuses of its options before it reads anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import UsageError
from train.choices import USUAL_WEIGHTS, Choices, checked, chosen_preset


def _checked(choices: Choices) -> Choices:
    return checked(*chosen_preset(choices), choices)


@pytest.mark.parametrize("alpha", [0.37, float("nan")])
def test_a_width_without_imagenet_weights_is_refused_with_those_that_have_them(alpha: float) -> None:
    with pytest.raises(UsageError, match=r"--alpha .*0\.35, 0\.5, 0\.75, 1, 1\.3, 1\.4; .*--weights none"):
        _checked(Choices(alpha=alpha, weights=USUAL_WEIGHTS))


@pytest.mark.parametrize(
    ("choices", "weights"),
    [
        (Choices(alpha=0.37), None),
        (Choices(alpha=0.37, weights=Path("own.weights.h5")), Path("own.weights.h5")),
        (Choices(alpha=0.37, weights=USUAL_WEIGHTS, start=Path("run")), None),
        (Choices(alpha=1.3, weights=USUAL_WEIGHTS), "imagenet"),
        (Choices(arch="cnn4", weights=USUAL_WEIGHTS), None),
    ],
)
def test_what_needs_no_imagenet_weights_may_have_any_width(choices: Choices, weights: Path | str | None) -> None:
    assert _checked(choices).weights == weights


def test_weights_beside_a_run_to_go_on_from_are_refused() -> None:
    with pytest.raises(UsageError, match="--weights: with --start"):
        _checked(Choices(weights="imagenet", start=Path("run")))
