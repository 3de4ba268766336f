"""Processes that make training batches while the network learns from the last one."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass, replace
from itertools import count as endless
from itertools import cycle
from queue import Empty
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from train.detector.boxes import GUESSED, Boxes, sizes
from train.detector.light import disturb
from train.detector.mix import Mix
from train.detector.sampler import Sampler
from train.detector.scene import FACE, IGNORE, Scene
from train.handover import hand_over

if TYPE_CHECKING:
    from types import TracebackType

    from train.detector.material import Material
    from train.detector.paste import Cutout
    from train.detector.soft_labels import SoftLabels

MAX_FACES: Final = 50
"""Boxes of each role a picture may have; of more, the smallest faces become boxes that are ignored."""

_WAITING: Final = 6
"""Finished batches of each process that wait at most: with twelve pictures in each about 20 MB a process."""

_PATIENCE: Final = 120.0
"""Seconds to wait for a batch before the feeder is taken for dead."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a network learns from at once.

    Attributes:
        pixels: RGB, shape (n, size, size, 3).
        faces: left, top, width, height in pixels, shape (n, MAX_FACES, 4); zeros where there is none.
        ignored: likewise, boxes in which neither answer is punished.
        certainty: what the score of each face is to be, 0 to 1, shape (n, MAX_FACES).
        framed: 1 for a face whose box is to be learned, 0 for one whose score alone is, shape (n, MAX_FACES).
    """

    pixels: NDArray[np.uint8]
    faces: NDArray[np.float32]
    ignored: NDArray[np.float32]
    certainty: NDArray[np.float32]
    framed: NDArray[np.float32]


def batch_of(scenes: list[Scene], soft: SoftLabels | None = None) -> Batch:
    """Stacks scenes of one size, with soft labels for the faces if there is who gives them."""
    faces = np.zeros((len(scenes), MAX_FACES, 4), np.float32)
    ignored, certainty = np.zeros_like(faces), np.ones((len(scenes), MAX_FACES), np.float32)
    framed = np.ones_like(certainty)
    for row, scene in enumerate(scenes):
        largest = np.flatnonzero(scene.roles == FACE)
        largest, rest = np.split(largest[np.argsort(-sizes(scene.boxes[largest]))], [MAX_FACES])
        wanted = scene.boxes[largest]
        doubtful = np.concatenate([scene.boxes[rest], scene.boxes[scene.roles == IGNORE]])[:MAX_FACES]
        faces[row, : len(wanted)] = wanted
        ignored[row, : len(doubtful)] = _widened(doubtful)
        framed[row, : len(wanted)] = scene.kinds[largest] != GUESSED
        if soft:
            certainty[row, : len(wanted)] = soft.of(scene.pixels, wanted, scene.kinds[largest])
    return Batch(np.stack([scene.pixels[..., ::-1] for scene in scenes]), faces, ignored, certainty, framed)


def disturbed(batch: Batch, rng: np.random.Generator) -> Batch:
    """The same pictures with the faults of a camera; what is certain without these is to be certain with them."""
    pixels = [disturb(np.ascontiguousarray(each[..., ::-1]), rng)[..., ::-1] for each in batch.pixels]
    return replace(batch, pixels=np.stack(pixels))


def _widened(boxes: Boxes) -> Boxes:
    """At least 16 pixels in each direction, so that a tiny box holds the places round it."""
    extent = np.maximum(boxes[:, 2:], 16)
    return np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2 - extent / 2, extent], axis=1).astype(np.float32)


class Feeder:
    """Runs samplers in processes of their own. A context manager: leaving it ends them.

    OpenCV has one thread in this process from then on.

    Args:
        material: what pictures are made of; the processes inherit it without a copy.
        size: side of the pictures in pixels.
        batch: pictures in a batch.
        seed: start of the samplers' chance.
        mix: see `Sampler`.
        traps: see `Sampler`.
        count: processes. They take turns, so that the same seed and count give the same batches.
        soft: see `batch_of`.
    """

    def __init__(
        self,
        material: Material,
        size: int,
        batch: int,
        seed: int,
        mix: Mix,
        traps: list[Cutout] | None = None,
        count: int = 1,
        soft: SoftLabels | None = None,
    ) -> None:
        context = multiprocessing.get_context("fork")
        self._queues: list[Any] = [context.Queue(_WAITING) for _ in range(count)]
        # One process alone draws as it always did.
        seeds = [[seed, *([number] if number else [])] for number in range(count)]
        samplers = [Sampler(material, size, np.random.default_rng(each), mix, traps or []) for each in seeds]
        self._processes = [
            context.Process(target=_feed, args=(sampler, batch, soft, queue), daemon=True)
            for sampler, queue in zip(samplers, self._queues, strict=True)
        ]
        self._turns = cycle(self._queues)

    def __enter__(self) -> Self:
        import cv2

        cv2.setNumThreads(1)  # The process is forked from this one, and hangs where OpenCV's pool of threads was left.
        for process in self._processes:
            process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(10)

    def next(self) -> Batch:
        """The next batch.

        Raises:
            RuntimeError: a picture could not be made (the error is the cause), or none came within two minutes.
        """
        try:
            batch: Batch | Exception = next(self._turns).get(timeout=_PATIENCE)
        except Empty as error:
            raise RuntimeError("the process that makes the training pictures does not answer") from error
        if isinstance(batch, Exception):
            raise RuntimeError(f"a training picture could not be made: {batch}") from batch  # noqa: TRY004
        return batch


def _feed(sampler: Sampler, batch: int, soft: SoftLabels | None, out: Any) -> None:
    def made() -> Batch:
        return disturbed(batch_of([sampler.draw() for _ in range(batch)], soft), sampler.rng)

    hand_over((made() for _ in endless()), out)
