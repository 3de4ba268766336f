"""The narrow seam to whatever delivers frames: OpenCV for devices, files and streams, picamera2 for CSI cameras."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

import edge.vision  # noqa: F401  sets what OpenCV reads when it is loaded
from edge.errors import UnavailableError
from edge.sources import Monotonic
from edge.sources.demo import DEMO_URL, DemoCapture
from edge.sources.pace import Pace
from edge.vision.geometry import Image

# TCP because a lossy UDP stream shows smeared faces; one second of stream analysis, not five, before the first frame.
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp|analyzeduration;1000000")

import cv2

log = logging.getLogger(__name__)

OPEN_LIMIT_S = 5.0
READ_LIMIT_S = 4.0
_TRIES = 8
"""Damaged packets in a row that are passed over."""
_LIMITS = [
    cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
    round(OPEN_LIMIT_S * 1000),
    cv2.CAP_PROP_READ_TIMEOUT_MSEC,
    round(READ_LIMIT_S * 1000),
]
_LOCAL = re.compile(r"/(?!/).*|[\w ./-]+", re.DOTALL)
_HOST = r"(?:[\w.-]+|\[[\w:.%-]+\])(?::\d{1,5})?"
_ADDRESS = re.compile(
    rf"([a-z][a-z\d+.-]*://)(?:(?:[^/?#]*@)?({_HOST})(?![^/?#])(?!.*@))?(.*)", re.DOTALL | re.IGNORECASE
)
_FILE_FPS = 25.0
_CSI_SIZE = (1280, 720)


class Capture(Protocol):
    """An open camera. `grab` blocks for 1.5 times `READ_LIMIT_S` at most, and after False it is released."""

    frame_interval_s: float
    """0 for a live camera, which sets the pace itself; the time from frame to frame of a file."""

    def grab(self) -> bool:
        """Takes the next frame from the camera; False when there is none any more."""
        ...

    def retrieve(self) -> Image | None:
        """The pixels of the grabbed frame, BGR; None if they cannot be decoded."""
        ...

    def release(self) -> None: ...


Opener: TypeAlias = Callable[[str, tuple[int, int] | None], Capture]
"""Opens an address, and asks it for a width and height in pixels."""


def without_secrets(url: str) -> str:
    """What of a camera's address may be shown: `rtsp://host:554/...`.

    Cameras take passwords as a user, a path, a parameter, under any name, so that none of these is shown, and the host
    neither where it might be a part of one: a password may hold an unquoted `/` or `@`. Files and devices are shown.
    """
    if _LOCAL.fullmatch(url):
        return url
    found = _ADDRESS.fullmatch(url)
    if found is None:
        return "..."
    scheme, host, rest = found.groups()
    if host is None:
        return f"{scheme}..."
    return f"{scheme}{host}{'/...' if rest.strip('/') else ''}"


def open_capture(url: str, size: tuple[int, int] | None = None) -> Capture:
    """Opens a device path, a file, an http(s) or rtsp stream, or `picamera:0`.

    Args:
        url: which.
        size: width and height in pixels that a device or a CSI camera is asked for; it may answer with others.

    Raises:
        UnavailableError: it cannot be opened now; trying again later may work.
    """
    if url == DEMO_URL:
        return DemoCapture()
    if url.startswith("picamera:"):
        return PiCapture(url.removeprefix("picamera:"), size or _CSI_SIZE)
    if url.startswith(("rtsp://", "rtsps://")):
        return RtspCapture(url)
    try:
        return OpenCvCapture(url, size)
    except OSError as error:
        raise UnavailableError(f"{without_secrets(url)[:200]}: {error.strerror}") from error


class OpenCvCapture:
    """`cv2.VideoCapture` with both of its time limits set."""

    def __init__(self, url: str, size: tuple[int, int] | None = None) -> None:
        path = Path(url)
        self.frame_interval_s = 0.0
        if "://" in url:
            self._capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, _LIMITS)
        elif path.is_char_device():
            self._capture = cv2.VideoCapture(url, cv2.CAP_V4L2)
            if size is not None:
                self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
                self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
            self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        elif path.is_file():
            self._capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
            fps = self._capture.get(cv2.CAP_PROP_FPS)
            self.frame_interval_s = 1 / fps if 1 <= fps <= 1000 else 1 / _FILE_FPS
        else:
            raise UnavailableError(f"{without_secrets(url)}: there is no such device or file")
        if not self._capture.isOpened():
            self._capture.release()
            raise UnavailableError(_unanswered(url))

    def grab(self) -> bool:
        return _grabbed(self._capture, time.monotonic)

    def retrieve(self) -> Image | None:
        return _pixels(self._capture)

    def release(self) -> None:
        self._capture.release()


class RtspCapture:
    """An RTSP stream, decoded by one thread for as long as that keeps up.

    FFmpeg gives frames to as many threads as there are cores, and each beyond the first keeps a frame back: with four
    cores and 30 frames a second, everything is seen a tenth of a second later. A stream that is too much for one core
    would be later and later, so it is opened anew and decoded by all: docs/decisions/0013-rtsp.md.
    """

    frame_interval_s = 0.0

    def __init__(self, url: str, clock: Monotonic = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._pace = Pace() if cv2.getNumberOfCPUs() > 1 else None
        self._capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, [*_LIMITS, cv2.CAP_PROP_N_THREADS, 1])
        if not self._capture.isOpened():
            self._capture.release()
            raise UnavailableError(_unanswered(url))

    def grab(self) -> bool:
        """As every `grab`, but once it may take `OPEN_LIMIT_S` more."""
        if not _grabbed(self._capture, self._clock):
            return False
        stream_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if self._pace is None or not self._pace.falls_behind(stream_s, self._clock()):
            return True
        log.info("%s: too much for one core to decode; opened again for all", without_secrets(self._url))
        self._pace = None
        self._capture.release()
        self._capture = cv2.VideoCapture(self._url, cv2.CAP_FFMPEG, _LIMITS)
        return _grabbed(self._capture, self._clock)

    def retrieve(self) -> Image | None:
        return _pixels(self._capture)

    def release(self) -> None:
        self._capture.release()


class PiCapture:
    """A CSI camera through picamera2, which comes with Raspberry Pi OS and not from the package index.

    One stream, for detection and for the crop: docs/decisions/0010-csi.md. At most one request is lent at a time, for
    the camera stops when its few buffers are all lent.
    """

    frame_interval_s = 0.0

    def __init__(self, number: str, size: tuple[int, int]) -> None:
        if not number.isdecimal():
            raise UnavailableError(
                f"picamera:{number}: after the colon comes the camera's number, for example picamera:0"
            )
        try:
            from picamera2 import Picamera2
        except ImportError as error:
            raise UnavailableError(
                f"picamera2 cannot be loaded ({error}): apt install python3-picamera2, and let the virtual environment "
                "see it (--system-site-packages)"
            ) from error
        except Exception as error:  # compiled parts that do not fit the numpy that they meet raise what they like
            raise UnavailableError(
                f'picamera2 cannot be loaded ({error}): docs/install.md, "picamera2 and numpy"'
            ) from error
        if not hasattr(Picamera2, "cancel_all_and_flush"):
            raise UnavailableError("picamera2 0.3.20 or later is needed, which can give up waiting: apt full-upgrade")
        self._request: Any = None
        try:
            # Asked first, for a constructor that fails leaves a pipe open, and this is tried again and again.
            attached = len(Picamera2.global_camera_info())
            if int(number) >= attached:
                raise UnavailableError(f"picamera:{number}: there is no such camera; {attached} are attached")
            self._camera: Any = Picamera2(int(number))
        except (RuntimeError, IndexError, OSError) as error:
            raise UnavailableError(f"picamera:{number}: {error}") from error
        try:
            self._start(size)
        except (RuntimeError, ValueError, OSError) as error:
            self._camera.close()
            raise UnavailableError(f"picamera:{number}: {error}") from error

    def _start(self, size: tuple[int, int]) -> None:
        # What libcamera calls RGB888 lies in memory as blue, green, red.
        main = {"size": size, "format": "RGB888"}
        # The size of the raw stream decides about the mode of the sensor. Left alone, it would be that of the main
        # stream, for which several sensors read their middle only.
        raw = {"size": _whole_view(self._camera.sensor_resolution, size)}
        self._camera.configure(self._camera.create_video_configuration(main=main, raw=raw))
        self._camera.start()

    def grab(self) -> bool:
        self._give_back()
        try:
            self._request = self._camera.capture_request(wait=READ_LIMIT_S)
        except (TimeoutError, CancelledError, RuntimeError):
            return False
        return True

    def retrieve(self) -> Image | None:
        if self._request is None:
            return None
        try:
            return np.asarray(self._request.make_array("main"), np.uint8)  # a copy of the buffer
        except RuntimeError:
            return None
        finally:
            self._give_back()

    def release(self) -> None:
        self._give_back()
        # A capture that has timed out is still queued, and stop() would wait behind it without a limit.
        for step in (self._camera.cancel_all_and_flush, self._camera.stop, self._camera.close):
            with suppress(RuntimeError, OSError):  # a camera that has gone cannot be stopped either; it is opened anew
                step()

    def _give_back(self) -> None:
        request, self._request = self._request, None
        if request is not None:
            with suppress(RuntimeError, OSError):
                request.release()


def _unanswered(url: str) -> str:
    return f"{without_secrets(url)}: does not answer, or with nothing that is a video"


def _grabbed(capture: cv2.VideoCapture, clock: Monotonic) -> bool:
    """Takes the next frame that is sound.

    OpenCV says False of a packet that FFmpeg cannot decode as it does of the end, but goes on behind it when asked
    again; at the end, and where nothing comes any more, it says so again.
    """
    until = clock() + READ_LIMIT_S / 2
    for _ in range(_TRIES):
        if capture.grab():
            return True
        if clock() >= until:
            break
    return False


def _pixels(capture: cv2.VideoCapture) -> Image | None:
    try:
        there, image = capture.retrieve()
    except cv2.error:  # an empty buffer of a USB camera is an assertion that failed
        return None
    return np.asarray(image, np.uint8) if there else None


def _whole_view(sensor: tuple[int, int], frame: tuple[int, int]) -> tuple[int, int]:
    """A size that all of a sensor is read at: half of it each way, or all of it if that would be less than a frame."""
    half = sensor[0] // 2, sensor[1] // 2
    return half if half[0] >= frame[0] and half[1] >= frame[1] else sensor
