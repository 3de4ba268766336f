"""What cameras do to a whole picture: exposure, colour, blur, noise and compression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from train.augment.camera import grey, noisy, recompressed, smeared, with_faults

if TYPE_CHECKING:
    from edge.vision.geometry import Image


def disturb(image: Image, rng: np.random.Generator) -> Image:
    """Changes light and quality at random; each effect is left out often enough that clean pictures stay common.

    Args:
        image: BGR; not changed.
        rng: source of chance.

    Returns:
        BGR of the same shape.
    """
    return with_faults(image, _EFFECTS, rng)


def _tone(image: Image, rng: np.random.Generator) -> Image:
    """Gamma, contrast and brightness for all channels, and a gain for each: one table look-up."""
    levels = np.arange(256, dtype=np.float32) / 255
    curve = levels ** np.exp(rng.normal(0, 0.28))
    curve = (curve - 0.5) * rng.uniform(0.7, 1.5) + 0.5 + rng.normal(0, 0.07)
    gains = np.exp(rng.normal(0, 0.06, 3))
    table = np.clip(curve[:, None] * gains[None, :] * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table.reshape(256, 1, 3)), np.uint8)


def _out_of_focus(image: Image, rng: np.random.Generator) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.3)), np.uint8)


def _motion(image: Image, rng: np.random.Generator) -> Image:
    return smeared(image, int(rng.choice([3, 5, 7])), rng)


_EFFECTS: Final = (
    (0.7, _tone),
    (0.22, grey),
    (0.15, _out_of_focus),
    (0.06, _motion),
    (0.12, noisy),
    (0.2, recompressed),
)
"""How often each comes, in the order in which a camera makes them. Grey is what infrared light shows at night: seen in
eight pictures of a hundred, it cost nine points of recall on `val` (docs/detector.md).

Haze and darkness are undone before the network sees a picture (`edge.vision.levels`); to learn them, too, cost more of
clear pictures than it gained (docs/detector.md)."""
