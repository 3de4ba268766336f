"""What the process that makes the pictures says when it cannot."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from support.components import eventually
from train.detector.boxes import BARE, MASK
from train.detector.feeder import Feeder
from train.detector.material import Material
from train.detector.mix import Mix
from train.detector.paste import Cutout, free_place, oval
from train.detector.sampler import Sampler
from train.detector.scene import FACE, Scene


def _material() -> Material:
    """A grey street with one face, an empty one, and two faces to paste."""
    pixels, box = np.full((120, 160, 3), 90, np.uint8), np.array([[40, 40, 40, 50]], np.float32)
    street = Scene(pixels, box, np.array([FACE]), np.array([MASK]))
    empty = Scene(pixels, box[:0], np.zeros(0, np.int64), np.zeros(0, np.int64))
    inner = np.array([5, 5, 40, 50], np.float32)
    faces = [Cutout(np.full((60, 50, 3), 200, np.uint8), oval((60, 50), inner), inner, kind) for kind in (BARE, MASK)]
    return Material([street], [empty], faces, faces)


def test_an_error_comes_to_where_the_batch_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Sampler) -> Scene:
        raise ValueError("no such head")

    monkeypatch.setattr(Sampler, "draw", fail)  # the process is forked, so that it fails there
    with Feeder(_material(), 64, 1, 1, Mix()) as feeder, pytest.raises(RuntimeError, match="no such head") as raised:
        feeder.next()
    assert isinstance(raised.value.__cause__, ValueError)


def test_pictures_come_where_opencv_has_used_its_threads_before(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (0, 0), 3)
        monkeypatch.setattr(Sampler, "draw", lambda sampler: sampler.material.scenes[0])
        with Feeder(_material(), 64, 2, 1, Mix()) as feeder:
            assert feeder.next().pixels.shape == (2, 120, 160, 3)
    finally:
        cv2.setNumThreads(threads)


def test_several_processes_take_turns_and_the_first_draws_as_one_alone_does() -> None:
    def batches(count: int) -> list[np.ndarray]:
        with Feeder(_material(), 64, 1, 7, Mix(), count=count) as feeder:
            return [feeder.next().pixels for _ in range(6)]

    alone, three, again = batches(1), batches(3), batches(3)
    assert all(np.array_equal(a, b) for a, b in zip(three, again, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(three[::3], alone, strict=False))
    assert not np.array_equal(three[0], three[1])
    assert not np.array_equal(three[1], three[2])


def test_all_processes_end_soon_after_the_one_that_reads_from_them_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold the lock on the folder of the run, too: it would be refused for so long."""
    monkeypatch.setattr("train.handover._LOOK_EVERY_S", 1.0)
    numbers = tmp_path / "numbers"
    reader = os.fork()
    if not reader:
        try:
            with Feeder(_material(), 64, 1, 1, Mix(), count=8) as feeder:
                for _ in range(8):
                    feeder.next()
                draft = tmp_path / "draft"
                draft.write_text(" ".join(str(process.pid) for process in feeder._processes))
                draft.rename(numbers)
                time.sleep(60)
        finally:
            os._exit(1)  # or an error here would run the other tests a second time
    eventually(numbers.exists, 30)
    feeders = [int(number) for number in numbers.read_text().split()]
    os.kill(reader, signal.SIGKILL)
    os.waitpid(reader, 0)

    eventually(lambda: not any(_runs(number) for number in feeders), 4)


def _runs(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_process_that_is_gone_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.detector.feeder._PATIENCE", 0.1)
    feeder = Feeder(_material(), 64, 1, 1, Mix())
    with pytest.raises(RuntimeError, match="does not answer"):
        feeder.next()


def test_there_is_no_place_for_a_face_larger_than_the_picture() -> None:
    scene, rng = _material().empty[0], np.random.default_rng(1)
    assert free_place(scene, 301, rng) is None
    assert free_place(scene, 299, rng) is not None


def test_a_coarse_picture_has_no_box_and_no_cell_smaller_than_a_quarter_of_a_face() -> None:
    street = _material().scenes[0]
    noise = np.random.default_rng(3).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    box = np.array([[20, 20, 60, 80]], np.float32)
    scene = Scene(noise, box, street.roles, street.kinds)
    sampler = Sampler(_material(), 128, np.random.default_rng(1))
    for _ in range(20):
        coarse = sampler._coarse(scene)
        assert coarse.pixels.shape == noise.shape
        assert len(coarse.boxes) == len(coarse.roles) == len(coarse.kinds) == 0
        edges = np.flatnonzero(np.any(np.diff(coarse.pixels[64].astype(int), axis=0), axis=1))
        assert len(edges) <= 128 / (80 / 4)


def test_the_smallest_pictures_can_be_made() -> None:
    sampler = Sampler(_material(), 64, np.random.default_rng(1), Mix(mosaic=0, heads=0, close=0, empty=1))
    assert {sampler.draw().pixels.shape for _ in range(60)} == {(64, 64, 3)}
