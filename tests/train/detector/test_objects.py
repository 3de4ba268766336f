"""Cut-out things that are no face: what is read, and what they do to training pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import UsageError
from train.detector.material import Material
from train.detector.mix import Mix
from train.detector.objects import read_objects
from train.detector.paste import Cutout, oval
from train.detector.sampler import Sampler
from train.detector.scene import FACE, Scene


def _png(path: Path, size: tuple[int, int], hole: tuple[slice, slice]) -> None:
    image = np.zeros((size[1], size[0], 4), np.uint8)
    image[hole] = (10, 20, 200, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def test_each_is_cut_to_its_outline(tmp_path: Path) -> None:
    _png(tmp_path / "animals" / "cow.png", (100, 80), (slice(10, 60), slice(30, 95)))
    _png(tmp_path / "large.PNG", (1200, 900), (slice(0, 900), slice(0, 1200)))
    cow, large = read_objects(tmp_path)
    assert cow.pixels.shape == (50, 65, 3)
    assert cow.alpha.min() == 255
    assert cow.box.tolist() == [0, 0, 65, 50]
    assert cow.kind is None
    assert max(large.pixels.shape) == 480


def test_what_has_no_outline_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((60, 60, 3), np.uint8))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    _png(tmp_path / "empty.png", (60, 60), (slice(0, 0), slice(0, 0)))
    _png(tmp_path / "thin.png", (60, 60), (slice(0, 60), slice(0, 3)))
    with pytest.raises(UsageError, match="no PNG file with transparency"):
        read_objects(tmp_path)
    assert f"{tmp_path / 'broken.png'} cannot be decoded: " in caplog.text


def test_one_of_too_many_pixels_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _png(tmp_path / "large.png", (6400, 6400), (slice(0, 60), slice(0, 60)))
    _png(tmp_path / "small.png", (64, 64), (slice(0, 60), slice(0, 60)))
    assert len(read_objects(tmp_path)) == 1
    assert f"{tmp_path / 'large.png'} cannot be decoded: the PNG has 6400 x 6400 pixels" in caplog.text


def _material(colour: int) -> Material:
    """A black street with one grey face, a black empty photo, and one object of a colour."""
    box = np.array([[40, 40, 40, 50]], np.float32)
    street = Scene(np.zeros((160, 200, 3), np.uint8), box, np.array([FACE]), np.array([0]))
    empty = Scene(
        np.zeros((160, 200, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64)
    )
    face = Cutout(
        np.full((60, 50, 3), 90, np.uint8), oval((60, 50), box[0] - (30, 30, 0, 0)), np.array([5, 5, 40, 50]), 1
    )  # type: ignore[arg-type]
    masked = Cutout(face.pixels, face.alpha, face.box, 0)
    whole = np.array([0, 0, 64, 64], np.float32)
    thing = Cutout(np.full((64, 64, 3), colour, np.uint8), np.full((64, 64), 255, np.uint8), whole, None)
    return Material([street], [empty], [face, masked], [face], [thing])


def test_objects_get_into_face_free_pictures_without_a_box() -> None:
    mix = Mix(mosaic=0, heads=0, close=0, empty=1)
    sampler = Sampler(_material(255), 96, np.random.default_rng(1), mix)
    scenes = [sampler._with_objects(sampler.material.empty[0]) for _ in range(8)]
    assert all(len(scene.boxes) == 0 for scene in scenes)
    assert sum(bool(scene.pixels.any()) for scene in scenes) >= 6


def test_a_head_hides_a_part_of_a_face_and_both_are_asked_for() -> None:
    sampler = Sampler(_material(255), 96, np.random.default_rng(2))
    street = sampler.material.scenes[0]
    box = street.boxes[0].astype(int)
    shares = []
    for _ in range(60):
        scene = sampler._hidden(street)
        assert scene.roles.tolist() == [FACE, FACE]
        face = scene.pixels[box[1] : box[1] + box[3], box[0] : box[0] + box[2], 0]
        shares.append(float((face > 45).mean()))
    assert max(shares) < 0.75, "so much of a face must be left that it can be found"
    assert np.mean(shares) > 0.08, "and so much hidden that it is another picture"


def test_tiny_faces_are_not_hidden() -> None:
    sampler = Sampler(_material(255), 96, np.random.default_rng(2))
    street = sampler.material.scenes[0]
    tiny = Scene(street.pixels, np.array([[10, 10, 9, 11]], np.float32), street.roles, street.kinds)
    assert sampler._hidden(tiny) is tiny
