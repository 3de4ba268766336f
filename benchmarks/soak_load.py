"""What a soak puts before the daemon: people before its cameras, and files in its folder."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
from processes import serve_mjpeg

from edge.sources.demo import masked, portrait

_BACKLOG = 50
_WIDTH, _HEIGHT, _FACE = 192, 144, 96
_SHOWN, _EMPTY = 20, 40
"""Frames that a person stays, and that the place is empty before the next: longer than the soak's `forget_after_s`."""


def people() -> list[bytes]:
    """Four people after each other, two with a mask, as JPEG; every frame differs from the one before."""
    rng = np.random.default_rng(1)
    frames = []
    for person in range(4):
        face = portrait() if person % 2 else masked(portrait())
        small = cv2.resize(face, (_FACE, _FACE * face.shape[0] // face.shape[1]), interpolation=cv2.INTER_AREA)
        small = small[:_HEIGHT]
        for number in range(_SHOWN + _EMPTY):
            frame = rng.integers(110, 130, (_HEIGHT, _WIDTH, 3)).astype(np.uint8)
            if number < _SHOWN:
                x = 10 + 18 * person + number
                frame[: small.shape[0], x : x + _FACE] = small
            frames.append(cv2.imencode(".jpg", frame)[1].tobytes())
    return frames


def serve_people(port: int, fps: float) -> None:
    """The people, `fps` frames a second to every client, for ever."""
    serve_mjpeg(port, fps, people())


class Feeder(threading.Thread):
    """Drops files into the folder, `rate` a second, one in ten of them no picture; waits while too many lie there."""

    def __init__(self, inbox: Path, rate: float) -> None:
        super().__init__(daemon=True)
        self.dropped = 0
        self.ended = threading.Event()
        self._inbox = inbox
        self._rate = rate

    def run(self) -> None:
        frames = people()
        while not self.ended.wait(1 / self._rate):
            if len(list(self._inbox.iterdir())) > _BACKLOG:
                continue
            data = b"no picture" if self.dropped % 10 == 9 else frames[self.dropped * 7 % len(frames)]
            part = self._inbox / f"{self.dropped}.part"
            part.write_bytes(data)
            part.rename(self._inbox / f"{self.dropped}.jpg")
            self.dropped += 1
