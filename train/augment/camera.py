"""What a cheap camera over a door does to a face: few pixels, blur, noise, JPEG, darkness, wrong colours."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Camera:
    """How often each fault comes, 0 to 1. The strength of each is drawn inside `degraded`."""

    few_pixels: float = 0.35
    blur: float = 0.22
    light: float = 0.6
    dark: float = 0.1
    cast: float = 0.45
    grey: float = 0.05
    noise: float = 0.3
    jpeg: float = 0.35


SMALLEST_FACE = 20
"""In pixels; what the daemon's `min_face_px` may be lowered to."""


def degraded(image: Pixels, camera: Camera, rng: np.random.Generator) -> Pixels:
    """Applies the faults in the order in which a camera makes them.

    Args:
        image: RGB, shape (n, n, 3).
        camera: how often each fault comes.
        rng: of the strengths.

    Returns:
        The same shape.
    """
    if rng.random() < camera.light:
        image = _relit(image, rng)
    if rng.random() < camera.cast:
        image = _cast(image, rng)
    if rng.random() < camera.blur:
        image = _blurred(image, rng)
    if rng.random() < camera.few_pixels:
        image = few_pixels(image, float(np.exp(rng.uniform(np.log(SMALLEST_FACE), np.log(96)))), rng)
    dark = rng.random() < camera.dark
    if dark:
        image = _curve(image, rng.uniform(1.6, 3.0), 1.0)
    if dark or rng.random() < camera.noise:
        image = _noisy(image, rng.uniform(2, 12), rng)
    if rng.random() < camera.grey:
        image = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    if rng.random() < camera.jpeg:
        image = _recompressed(image, int(rng.integers(18, 85)))
    return image


def few_pixels(image: Pixels, pixels: float, rng: np.random.Generator) -> Pixels:
    """As if the camera had seen the picture only `pixels` wide: shrunk by area, enlarged again."""
    size = image.shape[1], image.shape[0]
    small = max(4, round(pixels))
    if small >= size[0]:
        return image
    back = cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_CUBIC
    shrunk = cv2.resize(image, (small, max(4, round(small * size[1] / size[0]))), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, size, interpolation=back), np.uint8)


def _curve(image: Pixels, gamma: float, gain: float, offset: float = 0.0) -> Pixels:
    table = np.clip(255 * gain * (np.arange(256) / 255) ** gamma + offset, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table), np.uint8)


def _relit(image: Pixels, rng: np.random.Generator) -> Pixels:
    if rng.random() < 0.25:  # Light from one side: a ramp across the picture.
        angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.5)
        y, x = np.mgrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j]
        ramp = 1 + strength * (np.cos(angle) * x + np.sin(angle) * y)
        image = np.clip(image * ramp[..., np.newaxis], 0, 255).astype(np.uint8)
    return _curve(image, float(np.exp(rng.uniform(-0.45, 0.45))), rng.uniform(0.75, 1.2), rng.uniform(-18, 18))


def _cast(image: Pixels, rng: np.random.Generator) -> Pixels:
    gains = np.exp(rng.uniform(-0.2, 0.2, 3))
    tables = np.clip(np.arange(256)[:, np.newaxis] * gains, 0, 255).astype(np.uint8).reshape(1, 256, 3)
    return np.asarray(cv2.LUT(image, tables), np.uint8)


def _blurred(image: Pixels, rng: np.random.Generator) -> Pixels:
    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.6)), np.uint8)
    length = int(rng.integers(3, 12))
    kernel = np.zeros((length, length), np.float32)
    half = (length - 1) / 2
    angle = rng.uniform(0, np.pi)
    step = np.array([np.cos(angle), np.sin(angle)]) * half
    start, end = np.round(half - step).astype(int), np.round(half + step).astype(int)
    cv2.line(kernel, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)


def _noisy(image: Pixels, deviation: float, rng: np.random.Generator) -> Pixels:
    shape = image.shape if rng.random() < 0.6 else (*image.shape[:2], 1)
    noise = rng.standard_normal(shape, np.float32) * deviation
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _recompressed(image: Pixels, quality: int) -> Pixels:
    # Channels are swapped against what the codec means by them; its colour subsampling is nearly symmetric in them.
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
