"""Looks at pictures that a visitor of the page shows, one at a time, with models of its own.

It shares nothing with the cameras' analysis, whose models must not be used by two threads, and it rests after each
picture as long as that took, so that visitors cannot take more than half of a core.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import cv2

from edge.assembly import Vision
from edge.errors import ImageError, ModelError, UnavailableError
from edge.messages import ImageRecord, image_record
from edge.vision.image import ImageLimits, decode

LIMITS = ImageLimits(max_bytes=16 * 2**20, max_pixels=25_000_000)
"""A phone's picture; the dearest kind takes 250 MB for a moment, beside which a dropped-in one may take 400."""
_WAITING = 2
_TICK_S = 0.25
_LONGEST_REST_S = 1.0
_SHOWN_NAME = "picture"


class BusyError(UnavailableError):
    """Others are served first; worth another try in a second."""


class Judge:
    """`ask` is for the page's thread, `run` is one thread.

    Args:
        load: the models, when the first picture comes.
        clock: monotonic, in seconds.
    """

    def __init__(self, load: Callable[[], Vision], clock: Callable[[], float] = time.monotonic) -> None:
        self._load = load
        self._clock = clock
        self._asked: queue.Queue[tuple[bytes, Future[ImageRecord]]] = queue.Queue(_WAITING)

    def ask(self, data: bytes) -> Future[ImageRecord]:
        """Queues a picture's bytes; its future raises `ImageError` or `ModelError` where it cannot be looked at.

        Raises:
            BusyError: too many wait already.
        """
        answer: Future[ImageRecord] = Future()
        try:
            self._asked.put_nowait((data, answer))
        except queue.Full:
            raise BusyError("busy with other pictures; try again in a moment") from None
        return answer

    def run(self, stop: threading.Event) -> None:
        """Answers until `stop`; whoever waits then is told."""
        vision: Vision | None = None
        while not stop.is_set():
            try:
                data, answer = self._asked.get(timeout=_TICK_S)
            except queue.Empty:
                continue
            if not answer.set_running_or_notify_cancel():
                continue
            began = self._clock()
            try:
                vision = vision or self._load()
                answer.set_result(self._look(vision, data, began))
            except (ImageError, ModelError) as error:
                answer.set_exception(error)
            stop.wait(min(self._clock() - began, _LONGEST_REST_S))
        while not self._asked.empty():
            _, answer = self._asked.get_nowait()
            if answer.set_running_or_notify_cancel():
                answer.set_exception(BusyError("the device is stopping"))

    def _look(self, vision: Vision, data: bytes, began: float) -> ImageRecord:
        try:
            image = decode(data, LIMITS)
            faces = vision.analyzer.analyze(image)
        except (cv2.error, MemoryError) as error:
            raise ImageError(f"cannot be analysed: {str(error) or 'out of memory'}") from error
        size = image.shape[1], image.shape[0]
        return image_record(_SHOWN_NAME, size, faces, (self._clock() - began) * 1000, vision.identities)
