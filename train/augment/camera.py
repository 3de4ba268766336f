"""What a cheap camera over a door does to a face: haze, blur, few pixels, noise, dark, wrong colours, compression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Fault = Callable[[Pixels, np.random.Generator], Pixels]


@dataclass(frozen=True, slots=True)
class Camera:
    """How often each fault comes, 0 to 1. The strength of each is drawn inside `degraded`."""

    few_pixels: float = 0.35
    blur: float = 0.22
    light: float = 0.6
    haze: float = 0.2
    dark: float = 0.1
    cast: float = 0.45
    grey: float = 0.05
    noise: float = 0.3
    jpeg: float = 0.3
    video: float = 0.2


SMALLEST_FACE = 20
"""In pixels; what the daemon's `min_face_px` may be lowered to."""


def degraded(image: Pixels, camera: Camera, rng: np.random.Generator) -> Pixels:
    """Applies the faults in the order in which a camera makes them: light, lens, sensor, compression.

    Noise and compression come at the resolution at which the camera saw the face: on a face of 25 px a block of eight
    pixels is a third of it.

    Args:
        image: RGB, shape (n, n, 3).
        camera: how often each fault comes.
        rng: of the strengths.

    Returns:
        The same shape.
    """
    faults = (
        (camera.light, _relit),
        (camera.cast, _cast),
        (camera.haze, hazy),
        (camera.blur, _blurred),
        (camera.few_pixels, _far_away),
        (camera.dark, dark),
        (camera.noise, noisy),
        (camera.grey, grey),
        (camera.video, of_a_video),
        (camera.jpeg, recompressed),
    )
    return with_faults(image, faults, rng)


def with_faults(image: Pixels, faults: Sequence[tuple[float, Fault]], rng: np.random.Generator) -> Pixels:
    """Applies each fault as often as its chance says, in order, and brings what has become smaller back to its size."""
    size = image.shape[1], image.shape[0]
    for chance, fault in faults:
        if rng.random() < chance:
            image = fault(image, rng)
    if image.shape[1] < size[0]:
        enlarge = cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_CUBIC
        image = np.asarray(cv2.resize(image, size, interpolation=enlarge), np.uint8)
    return image


def few_pixels(image: Pixels, pixels: float) -> Pixels:
    """As a camera sees it that gives it a width of `pixels`: shrunk by area, never enlarged."""
    small = max(4, round(pixels))
    if small >= image.shape[1]:
        return image
    height = max(4, round(small * image.shape[0] / image.shape[1]))
    return np.asarray(cv2.resize(image, (small, height), interpolation=cv2.INTER_AREA), np.uint8)


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


def hazy(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Light that is scattered into the lens: contrast goes, a grey veil comes."""
    contrast = rng.uniform(0.25, 0.8)
    return _curve(image, 1.0, contrast, rng.uniform(0.15, 0.85) * 255 * (1 - contrast))


def _blurred(image: Pixels, rng: np.random.Generator) -> Pixels:
    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.6)), np.uint8)
    return smeared(image, int(rng.integers(3, 12)), rng)


def smeared(image: Pixels, length: int, rng: np.random.Generator) -> Pixels:
    """As if camera or people had moved by `length` pixels in some direction."""
    kernel = np.zeros((length, length), np.float32)
    half = (length - 1) / 2
    angle = rng.uniform(0, np.pi)
    step = np.array([np.cos(angle), np.sin(angle)]) * half
    start, end = np.round(half - step).astype(int), np.round(half + step).astype(int)
    cv2.line(kernel, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)


def _far_away(image: Pixels, rng: np.random.Generator) -> Pixels:
    return few_pixels(image, float(np.exp(rng.uniform(np.log(SMALLEST_FACE), np.log(96)))))


def dark(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Too little light for the sensor: dark, and noisy for it."""
    return noisy(_curve(image, rng.uniform(1.6, 3.0), 1.0), rng)


def noisy(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Noise of a sensor, of its colours or of all alike, with a deviation of 2 to 12 of 255."""
    deviation = rng.uniform(2, 12)
    shape = image.shape if rng.random() < 0.6 else (*image.shape[:2], 1)
    noise = rng.standard_normal(shape, np.float32) * deviation
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def grey(image: Pixels, _rng: np.random.Generator) -> Pixels:
    """As infrared light at night, or an old camera, shows it."""
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def of_a_video(image: Pixels, rng: np.random.Generator) -> Pixels:
    """As the frames of a video with few bits show it: few shades, and what hardly changed is of the frame before."""
    before = _shifted(image, rng.uniform(-0.08, 0.08, 2) * image.shape[1])
    changed = np.abs(image.astype(np.int16) - before).max(axis=2).astype(np.float32)
    if rng.random() < 0.5:  # Codecs decide by blocks, animations by pixels.
        changed = _by_blocks(changed, int(rng.choice([4, 8])))
    image = np.where((changed < rng.uniform(4, 24))[..., np.newaxis], before, image)
    step = rng.uniform(1, 14)
    return np.clip(np.round(image / step) * step, 0, 255).astype(np.uint8)


def _shifted(image: Pixels, by: NDArray[np.float64]) -> Pixels:
    matrix = np.array([[1, 0, by[0]], [0, 1, by[1]]])
    size = image.shape[1], image.shape[0]
    return np.asarray(cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _by_blocks(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Shape (h, w) to the same: the mean of each block of `side` x `side` in all of its places."""
    size = values.shape[1], values.shape[0]
    blocks = tuple(-(-pixels // side) for pixels in size)
    means = cv2.resize(values, blocks, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(means, size, interpolation=cv2.INTER_NEAREST), np.float32)


def recompressed(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Through JPEG at a quality of 18 to 84."""
    # Channels are swapped against what the codec means by them; its colour subsampling is nearly symmetric in them.
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(18, 85))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
