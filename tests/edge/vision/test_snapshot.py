"""Snapshots: small, and, where they are to be, without a face that anybody or any detector could know again."""

from __future__ import annotations

import zipfile

import cv2
import numpy as np
import pytest

from edge.vision.detector import FaceDetector, load_detector
from edge.vision.geometry import Box, Image
from edge.vision.image import decode
from edge.vision.snapshot import CELLS, FACE_CELLS, blurred, full, mosaic
from support.components import require_shared

MIN_SCORE = 0.5


@pytest.fixture(scope="module")
def ours() -> FaceDetector:
    return load_detector("face_detector", MIN_SCORE)


@pytest.fixture(scope="module")
def photos() -> list[Image]:
    """Every twelfth of the photos with faces that the project keeps beside itself."""
    with zipfile.ZipFile(require_shared("data", "detection", "photos.zip")) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith((".jpg", ".png")))
        return [decode(archive.read(name)) for name in names[::12]]


def boxes(detector: FaceDetector, image: Image) -> list[Box]:
    return [found.box for found in detector.detect(image)]


def on_grey(face: Image, width: int, height: int, x: int, y: int) -> Image:
    """The face at a place of a larger frame, of which it may hang out."""
    frame = np.full((height, width, 3), 128, np.uint8)
    shown = face[max(0, -y) : height - y, max(0, -x) : width - x]
    frame[max(0, y) : max(0, y) + shown.shape[0], max(0, x) : max(0, x) + shown.shape[1]] = shown
    return frame


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((1280, 720), (640, 360)),
        ((720, 1280), (360, 640)),
        ((320, 240), (320, 240)),
        ((4000, 2), (640, 1)),
        ((1, 1), (1, 1)),
    ],
)
def test_a_snapshot_is_small_and_keeps_its_shape(size: tuple[int, int], shown: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)

    for jpeg in (full(image), blurred(image, [])):
        assert jpeg.startswith(b"\xff\xd8")
        assert len(jpeg) < 400_000
        assert decode(jpeg).shape[1::-1] == shown


def test_in_full_the_face_is_still_there(ours: FaceDetector, bare_face: Image) -> None:
    frame = on_grey(bare_face, 1280, 960, 300, 100)

    assert len(boxes(ours, decode(full(frame)))) == 1


@pytest.mark.parametrize("size", [40, 120, 400, 900])
@pytest.mark.parametrize("place", [(0.4, 0.4), (-0.4, 0.2), (0.9, 0.3), (0.4, -0.3)])
def test_a_face_has_few_cells_whatever_its_size_and_wherever_it_is(
    ours: FaceDetector, bare_face: Image, masked_face: Image, size: int, place: tuple[float, float]
) -> None:
    for face in (bare_face, masked_face):
        small = np.asarray(cv2.resize(face, (size, size * face.shape[0] // face.shape[1])), np.uint8)
        frame = on_grey(small, 1280, 960, int(place[0] * size), int(place[1] * size))
        found = boxes(ours, frame)
        cells = mosaic(frame, found)

        cell_px = max(frame.shape[1] / cells.shape[1], frame.shape[0] / cells.shape[0])
        assert max(cells.shape) <= CELLS
        assert all(max(box.width, box.height) / cell_px <= FACE_CELLS + 0.01 for box in found)
        assert boxes(ours, decode(blurred(frame, found))) == []


def test_no_detector_finds_a_face_in_a_mosaic(ours: FaceDetector, photos: list[Image], yunet: str) -> None:
    others = [load_detector(yunet, MIN_SCORE), load_detector("face_detector_640", MIN_SCORE)]
    before = [boxes(ours, photo) for photo in photos]
    after = [decode(blurred(photo, found)) for photo, found in zip(photos, before, strict=True)]

    assert sum(map(len, before)) > 100
    for detector in (ours, *others):
        assert [boxes(detector, picture) for picture in after if boxes(detector, picture)] == []


def test_nor_one_that_was_not_found_before(ours: FaceDetector, photos: list[Image], yunet: str) -> None:
    """What protects a missed face is that the whole frame is coarse; only one that fills much of it must be found."""
    detectors = [ours, load_detector(yunet, MIN_SCORE)]
    small = [
        photo
        for photo in photos
        if max((max(box.width, box.height) for box in boxes(ours, photo)), default=0) < max(photo.shape) / 4
    ]

    assert len(small) > 10
    for photo in small:
        assert all(boxes(detector, decode(blurred(photo, []))) == [] for detector in detectors)


def test_nothing_finer_than_a_cell_is_left() -> None:
    """Two frames that differ only within the cells give the same bytes."""
    size = CELLS * 32
    rng = np.random.default_rng(2)
    coarse = rng.integers(60, 200, (CELLS * 3 // 4, CELLS, 3), np.uint8)
    plain = np.asarray(cv2.resize(coarse, (size, size * 3 // 4), interpolation=cv2.INTER_NEAREST), np.uint8)
    checks = (np.indices(plain.shape[:2]).sum(axis=0) % 2 * 40 - 20)[..., None]
    detailed = np.asarray(plain + checks, np.uint8)

    assert not np.array_equal(plain, detailed)
    assert blurred(detailed, []) == blurred(plain, [])
