"""Batches made in a process of their own, so that the network neither waits for a picture nor shares Python's lock."""

from __future__ import annotations

import multiprocessing
import queue
import signal
from collections.abc import Iterator
from multiprocessing.queues import Queue
from types import TracebackType
from typing import Any, Self

import cv2

from train.recipes import Batch, Recipe

_AHEAD = 8
"""Batches made in advance; 32 pictures of 160 px are 2.5 MB."""

_PATIENCE_S = 120.0
"""A batch takes 0.1 s. Longer than this means that the helper is stuck."""


def _produce(recipe: Recipe, first_epoch: int, out: Queue[Any]) -> None:
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the trainer, which ends this process.
    trainer = multiprocessing.parent_process()
    try:
        epoch = first_epoch
        while True:
            for step in range(recipe.steps):
                batch = recipe.batch(epoch, step)
                while True:
                    try:
                        out.put(batch, timeout=5)
                        break
                    except queue.Full:
                        if trainer is not None and not trainer.is_alive():
                            # Nobody reads what is still on its way, and without this the process would wait for that.
                            out.cancel_join_thread()
                            return
            epoch += 1
    except Exception as error:  # noqa: BLE001  The other side raises it again.
        out.put(error)


class BatchHelper:
    """Runs a recipe in a helper process, epoch after epoch without a pause.

    Use as a context manager; leaving it ends the process.

    Args:
        recipe: what makes the batches.
        first_epoch: where to begin, for a run that goes on.
    """

    def __init__(self, recipe: Recipe, first_epoch: int = 0) -> None:
        # spawn: a fork of a process with TensorFlow's threads can hang.
        context = multiprocessing.get_context("spawn")
        self._steps = recipe.steps
        self._queue: Queue[Any] = context.Queue(_AHEAD)
        self._process = context.Process(target=_produce, args=(recipe, first_epoch, self._queue), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.join(10)

    def epoch(self) -> Iterator[Batch]:
        """The batches of the next epoch.

        Raises:
            RuntimeError: the helper failed (its error is the cause) or gives nothing any more.
        """
        for _ in range(self._steps):
            try:
                batch = self._queue.get(timeout=_PATIENCE_S)
            except queue.Empty as error:
                raise RuntimeError("the process that makes the training batches does not answer") from error
            if isinstance(batch, Exception):
                raise RuntimeError(f"a training batch could not be made: {batch}") from batch  # noqa: TRY004
            yield batch
