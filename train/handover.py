"""What the process that makes batches does, for as long as another learns from them."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
from collections.abc import Iterator
from multiprocessing.queues import Queue
from typing import Any

import cv2

_LOOK_EVERY_S = 5.0
"""How often a process whose batches nobody takes looks whether the other one lives."""


def hand_over(batches: Iterator[Any], out: Queue[Any]) -> None:
    """Puts batches into a queue until there are no more, or until the process that began this one is gone.

    An error in the making goes the same way. OpenCV has one thread here, and Ctrl-C is left to the other process, which
    ends this one.

    Args:
        batches: made one at a time.
        out: of a fixed size, so that no more is made than is wanted.
    """
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reader = multiprocessing.parent_process()
    try:
        for batch in batches:
            while not _put(out, batch):
                # Not `reader.is_alive()`: that asks a pipe, whose other end a process that was forked later holds, too.
                if reader is not None and os.getppid() != reader.pid:
                    # Nobody reads what is still on its way, and without this the process would wait for that.
                    out.cancel_join_thread()
                    return
    except Exception as error:  # noqa: BLE001  The other side raises it again.
        out.put(error)


def _put(out: Queue[Any], batch: Any) -> bool:
    try:
        out.put(batch, timeout=_LOOK_EVERY_S)
    except queue.Full:
        return False
    return True
