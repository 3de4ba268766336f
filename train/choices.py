"""What may be chosen for a run, and what is refused of it before anything is read."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from edge.errors import UsageError
from train.architectures import FROM_SCRATCH, IMAGENET_WIDTHS
from train.presets import PRESETS, Preset

DEFAULT_PRESETS = {"mobilenet_v2": "maskgate", "cnn3": "bangkit", "cnn4": "fakhrezi"}
"""Which preset an architecture is trained with when none is named."""

USUAL_WEIGHTS = "usual"
"""ImageNet's for a MobileNetV2, none for a network that has none."""

_GO_ON = 0.35
"""Share of a preset's last rate with which a run goes on from another one's weights."""


@dataclass(frozen=True)
class Choices:
    """What the command line leaves open is None and comes from the preset."""

    arch: str | None = None
    preset: str | None = None
    alpha: float | None = None
    size: int | None = None
    epochs: int | None = None
    steps: int | None = None
    weights: Path | str | None = None
    landmarks: Path | None = None
    hard_run: Path | None = None
    start: Path | None = None
    teacher: Path | None = None
    objects: Path | None = None
    traps: Path | None = None
    seed: int = 1
    command: str = ""


def chosen_preset(choices: Choices) -> tuple[str, Preset]:
    """The preset with the choices put in, and its full name.

    Raises:
        UsageError: no such preset, or it has no such architecture.
    """
    name = choices.preset or DEFAULT_PRESETS.get(choices.arch or "mobilenet_v2", "")
    if name not in PRESETS:
        raise UsageError(f"there is no preset {name!r}; there is {', '.join(PRESETS)}")
    arch = choices.arch or next(iter(PRESETS[name]))
    if arch not in PRESETS[name]:
        raise UsageError(f"the preset {name} has no {arch}; it has {', '.join(PRESETS[name])}")
    preset = PRESETS[name][arch]
    if choices.alpha is not None:
        preset = replace(preset, alpha=choices.alpha)
    if choices.size is not None:
        preset = replace(preset, size=choices.size)
    if choices.steps is not None and preset.steps:
        preset = replace(preset, steps=choices.steps)
    if choices.start is not None:
        # The head has learned; the rest goes on more gently than it began.
        preset = replace(preset, phases=(replace(preset.phases[-1], rate=preset.phases[-1].rate * _GO_ON),))
    if choices.epochs is not None:
        *before, last = preset.phases
        preset = replace(preset, phases=(*before, replace(last, epochs=choices.epochs)))
    return f"{name}/{arch}", preset


def checked(name: str, preset: Preset, choices: Choices) -> Choices:
    """The choices with the weights that are usual for the preset put in.

    Args:
        name: of the preset, for the message.
        preset: from `chosen_preset`.
        choices: what was given.

    Raises:
        UsageError: one is without a meaning beside the others.
    """
    if choices.weights == USUAL_WEIGHTS:
        choices = replace(choices, weights=None if preset.arch in FROM_SCRATCH or choices.start else "imagenet")
    _check_meaning(name, preset, choices)
    if choices.start and choices.weights is not None:
        raise UsageError("--weights: with --start the weights are those of that run; leave one of the two out")
    if math.isnan(preset.alpha) or (choices.weights == "imagenet" and preset.alpha not in IMAGENET_WIDTHS):
        widths = ", ".join(f"{width:g}" for width in IMAGENET_WIDTHS)
        raise UsageError(
            f"--alpha {preset.alpha:g}: there are ImageNet weights for the widths {widths}; choose one of them, or say "
            "`--weights none` to begin from random ones"
        )
    return choices


def _check_meaning(name: str, preset: Preset, choices: Choices) -> None:
    """Refuses what the preset would not look at."""
    meaningless: dict[str, object] = {}
    if preset.arch in FROM_SCRATCH:
        meaningless |= {"--alpha": choices.alpha, "--weights": choices.weights}
    if not preset.steps:
        meaningless |= {
            "--steps": choices.steps,
            "--objects": choices.objects,
            "--traps": choices.traps,
            "--hard-examples": choices.hard_run,
            "--landmarks": choices.landmarks,
        }
    if preset.outputs == 1:
        meaningless["--teacher"] = choices.teacher
    given = [option for option, value in meaningless.items() if value is not None]
    if given:
        raise UsageError(f"{' and '.join(given)}: the preset {name} has no use for this; leave it out")
