"""What cameras do to a picture: exposure, colour, blur, noise and JPEG."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

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
    if rng.random() < 0.7:
        image = _tone(image, rng)
    if rng.random() < 0.08:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2).astype(np.uint8)
    if rng.random() < 0.15:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.3)), np.uint8)
    if rng.random() < 0.06:
        image = _motion(image, rng)
    if rng.random() < 0.12:
        spread = rng.uniform(2, 12)
        noise = rng.normal(0, spread, image.shape[:2]).astype(np.float32)
        image = np.clip(image + noise[..., None], 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))])
        image = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)
    return image


def _tone(image: Image, rng: np.random.Generator) -> Image:
    """Gamma, contrast and brightness for all channels, and a gain for each: one table look-up."""
    levels = np.arange(256, dtype=np.float32) / 255
    curve = levels ** np.exp(rng.normal(0, 0.28))
    curve = (curve - 0.5) * rng.uniform(0.7, 1.25) + 0.5 + rng.normal(0, 0.07)
    gains = np.exp(rng.normal(0, 0.06, 3))
    table = np.clip(curve[:, None] * gains[None, :] * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table.reshape(256, 1, 3)), np.uint8)


def _motion(image: Image, rng: np.random.Generator) -> Image:
    """Smears along a line of three to seven pixels."""
    length = int(rng.choice([3, 5, 7]))
    kernel = np.zeros((length, length), np.float32)
    middle = (length // 2, length // 2)
    angle = rng.uniform(0, np.pi)
    reach = np.array([np.cos(angle), np.sin(angle)]) * (length // 2)
    start, end = np.round(middle - reach).astype(int), np.round(middle + reach).astype(int)
    cv2.line(kernel, tuple(int(v) for v in start), tuple(int(v) for v in end), 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)
