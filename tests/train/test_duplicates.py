from __future__ import annotations

import cv2
import numpy as np

from edge.vision.geometry import Image
from train.duplicates import exact_families, families, fingerprint


def scene(seed: int) -> Image:
    """Coarse random structure: two of them have nothing in common."""
    cells = np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(cells, (128, 128), interpolation=cv2.INTER_CUBIC), np.uint8)


def encoded(image: Image, quality: int = 95) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def test_same_bytes_are_one_family() -> None:
    prints = [fingerprint(encoded(scene(seed)), scene(seed)) for seed in (1, 2, 1)]
    assert exact_families(prints) == [[0, 2]]


def test_a_smaller_recompressed_copy_and_a_mirror_image_are_the_same_picture() -> None:
    one = scene(1)
    small = cv2.resize(one, (70, 70), interpolation=cv2.INTER_AREA)
    decoded = cv2.imdecode(np.frombuffer(encoded(small, 40), np.uint8), cv2.IMREAD_COLOR)
    mirror = np.ascontiguousarray(one[:, ::-1])
    prints = [fingerprint(encoded(image), image) for image in (one, scene(2), decoded, mirror)]
    assert families(prints) == [0, 1, 0, 0]


def test_black_frames_are_not_copies_of_each_other() -> None:
    black = [np.full((64, 64, 3), level, np.uint8) for level in (0, 1)]
    assert families([fingerprint(encoded(image), image) for image in black]) == [0, 1]


def test_augmented_files_of_one_number_belong_together_across_parts() -> None:
    prints = [fingerprint(encoded(scene(seed)), scene(seed)) for seed in range(4)]
    names = [
        "train/mask/Augmented_12_9.jpg",
        "val/mask/Augmented_12_77.jpg",
        "val/mask/Augmented_13_9.jpg",
        "val/mask/12.jpg",
    ]
    assert families(prints, names) == [0, 0, 2, 3]


def test_a_black_frame_among_augmented_files_joins_nobody() -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    images = [scene(1), black, scene(2), black, scene(3)]
    names = [f"train/mask/Augmented_{name}.jpg" for name in ("12_9", "12_77", "13_9", "13_77", "12_5")]
    assert families([fingerprint(encoded(image), image) for image in images], names) == [0, 1, 2, 1, 0]
