"""Batches made in a process of their own, so that the network neither waits for a picture nor shares Python's lock."""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Iterator
from itertools import count
from multiprocessing.queues import Queue
from types import TracebackType
from typing import Any, Self

from train.handover import hand_over
from train.recipes import Batch, Recipe

_AHEAD = 8
"""Batches made in advance; 32 pictures of 160 px are 2.5 MB."""

_PATIENCE_S = 120.0
"""A batch takes 0.1 s. Longer than this means that the helper is stuck."""


def _make(recipe: Recipe, first_epoch: int, out: Queue[Any]) -> None:
    hand_over((recipe.batch(epoch, step) for epoch in count(first_epoch) for step in range(recipe.steps)), out)


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
        self._process = context.Process(target=_make, args=(recipe, first_epoch, self._queue), daemon=True)

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
