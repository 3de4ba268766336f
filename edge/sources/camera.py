"""A camera: a grabber that never falls behind, a slot for the latest frame, and patience when the camera is away."""

from __future__ import annotations

import logging
import threading
import zlib
from typing import Literal

import cv2
import numpy as np

from edge.backoff import Backoff
from edge.errors import UnavailableError
from edge.settings import CameraSource
from edge.sources import Frame, Monotonic, SourceState, Wake
from edge.sources.capture import Capture, Opener, open_capture, without_secrets
from edge.vision.geometry import Image

log = logging.getLogger(__name__)

RETRY_FIRST_S = 1.0
RETRY_CEILING_S = 30.0
MOST_SPOILED = 8
"""Frames in a row that cannot be decoded, before it is opened anew."""
STALLED_AFTER_S = 10.0
"""A camera that has sent no frame for this long hangs, whatever its driver says."""
FROZEN_AFTER_S = 60.0
"""A live sensor has noise: the same picture to the last bit for a minute is a frozen one."""
_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_SAMPLED = (slice(None, None, 8), slice(None, None, 8))


class Camera:
    """One camera source.

    The grabber reads every frame, so that the camera's own queue never grows old, and decodes those that are due.
    A frame that nobody took before the next one is gone: the latest wins.
    """

    kind: Literal["camera"] = "camera"

    def __init__(self, settings: CameraSource, clock: Monotonic, opener: Opener = open_capture) -> None:
        self.name = settings.name
        self.region = settings.region
        self.still_fps = settings.still_fps
        self._settings = settings
        self._clock = clock
        self._open = opener
        self._lock = threading.Lock()
        self._slot: Frame | None = None
        self._frames = 0
        self._opened = 0
        self._connected = False
        self._last_frame_at: float | None = None
        self._last_change_at: float | None = None
        self._fingerprint: int | None = None
        self._error: str | None = None

    def watch(self, stop: threading.Event, wake: Wake) -> None:
        """Opens, grabs, and opens again with back-off until `stop`."""
        backoff = Backoff(RETRY_FIRST_S, RETRY_CEILING_S)
        while not stop.is_set():
            since = self._clock()
            try:
                self._watch_once(stop, wake)
            except UnavailableError as error:
                self._lose(str(error))
            except (cv2.error, MemoryError) as error:
                self._lose(f"{without_secrets(self._settings.url)}: {' '.join(str(error).split()) or 'out of memory'}")
            if self._last_frame_at is not None and self._last_frame_at >= since:
                backoff.reset()  # some cameras send a few frames a connection: all the more should be seen of them
            stop.wait(backoff.wait())

    def take(self) -> Frame | None:
        """The latest frame, once."""
        with self._lock:
            frame, self._slot = self._slot, None
            return frame

    def state(self) -> SourceState:
        """How the camera is now; computed from when frames came, so that a hanging driver cannot hide."""
        now = self._clock()
        slow = 2 / self._settings.max_fps  # so rarely looked at, it is not late before that
        stalled_after, frozen_after = max(STALLED_AFTER_S, slow), max(FROZEN_AFTER_S, slow)
        with self._lock:
            state: Literal["ok", "waiting", "lost", "stalled"] = "ok"
            error = self._error
            if self._last_frame_at is None:
                state = "waiting"
            elif not self._connected:
                state = "lost"
            elif now - self._last_frame_at > stalled_after:
                state, error = "stalled", f"no frame for over {stalled_after:.0f} s"
            elif self._last_change_at is not None and now - self._last_change_at > frozen_after:
                state, error = "stalled", f"the same picture for over {frozen_after:.0f} s"
            return SourceState(state, self._frames, max(0, self._opened - 1), self._last_frame_at, error)

    def _watch_once(self, stop: threading.Event, wake: Wake) -> None:
        capture = self._open(self._settings.url, self._settings.size)
        try:
            lost = self._grab_until_lost(capture, stop, wake)
            if lost is not None:
                self._lose(f"{without_secrets(self._settings.url)}: {lost}")
        finally:
            capture.release()
        if capture.frame_interval_s:
            stop.wait()  # a file that has been played is not played again

    def _grab_until_lost(self, capture: Capture, stop: threading.Event, wake: Wake) -> str | None:
        """Returns how it was lost, None where `stop` came first."""
        with self._lock:
            self._opened += 1
        due = self._clock()
        next_of_file = due
        spoiled = 0
        while not stop.is_set():
            if not capture.grab():
                return "the file has been played to its end" if capture.frame_interval_s else "the stream broke off"
            now = self._clock()
            if now >= due:
                image = capture.retrieve()
                if image is not None and image.size:
                    self._put(self._turned(image), now)
                    wake()
                    due = max(due + 1 / self._settings.max_fps, now)
                    spoiled = 0
                elif (spoiled := spoiled + 1) >= MOST_SPOILED:
                    return "sends what cannot be decoded"
            if capture.frame_interval_s:
                next_of_file += capture.frame_interval_s
                stop.wait(max(0.0, next_of_file - self._clock()))
        return None

    def _put(self, image: Image, now: float) -> None:
        fingerprint = zlib.crc32(image[_SAMPLED].tobytes())
        with self._lock:
            if not self._connected:
                self._tell_size(image.shape[1], image.shape[0])
            self._connected, self._error = True, None
            if fingerprint != self._fingerprint:
                self._fingerprint, self._last_change_at = fingerprint, now
            self._frames += 1
            self._last_frame_at = now
            self._slot = Frame(image, now)

    def _tell_size(self, width: int, height: int) -> None:
        log.info("source %s: frames of %d x %d pixels", self.name, width, height)
        asked = self._settings.size
        if asked is not None and sorted(asked) != sorted((width, height)):  # a turned frame lies the other way
            log.warning("source %s: the camera was asked for %d x %d pixels and has other sizes", self.name, *asked)

    def _turned(self, image: Image) -> Image:
        """Turned first, mirrored then; both at once are one pass where OpenCV has it."""
        turn = _TURNS.get(self._settings.rotate)
        if self._settings.mirror and turn in (None, cv2.ROTATE_180):
            return np.asarray(cv2.flip(image, 1 if turn is None else 0), np.uint8)
        if turn is not None:
            image = np.asarray(cv2.rotate(image, turn), np.uint8)
        return np.asarray(cv2.flip(image, 1), np.uint8) if self._settings.mirror else image

    def _lose(self, error: str) -> None:
        with self._lock:
            if self._connected or error != self._error:
                log.warning("source %s: %s", self.name, error)
            self._connected, self._error = False, error
