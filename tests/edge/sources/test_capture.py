"""A damaged film; a stream and a device with stand-ins for OpenCV: tests/system/test_streams.py has a real stream."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import UnavailableError
from edge.sources import capture as capture_module
from edge.sources.capture import RtspCapture, open_capture
from edge.sources.pace import BEHIND_FOR_S
from support.clock import Clock

URL = "rtsp://me:hush@camera/1"


class Stream:
    """An open `cv2.VideoCapture`: on one thread, decoding a second of stream takes `slowness` seconds."""

    opened: list[Stream]
    clock: Clock
    slowness: float
    answers: bool
    """Whether one that is opened from now on does."""

    def __init__(self, _url: str, _backend: int, parameters: Sequence[int]) -> None:
        asked = dict(zip(parameters[::2], parameters[1::2], strict=True))
        assert all(stream.released for stream in self.opened)
        assert {cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC} <= asked.keys()
        self.threads = asked.get(cv2.CAP_PROP_N_THREADS, 4)
        self.released = False
        self.sends = self.answers
        self.position_s = 0.0
        self.opened.append(self)

    def isOpened(self) -> bool:  # noqa: N802
        return self.sends

    def grab(self) -> bool:
        self.position_s += 0.1
        self.clock.now += 0.1 * (self.slowness if self.threads == 1 else 1)
        return self.sends

    def get(self, key: int) -> float:
        return {cv2.CAP_PROP_POS_MSEC: self.position_s * 1000}[key]

    def retrieve(self) -> tuple[bool, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
        return True, np.full((2, 2, 3), self.threads, np.uint8)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> type[Stream]:
    monkeypatch.setattr(capture_module.cv2, "VideoCapture", Stream)
    monkeypatch.setattr(capture_module.cv2, "getNumberOfCPUs", lambda: 4)
    monkeypatch.setattr(Stream, "opened", [], raising=False)
    monkeypatch.setattr(Stream, "clock", Clock(), raising=False)
    monkeypatch.setattr(Stream, "slowness", 1.0, raising=False)
    monkeypatch.setattr(Stream, "answers", True, raising=False)
    return Stream


def grab_for(capture: RtspCapture, seconds: float, clock: Clock) -> None:
    until = clock.now + seconds
    while clock.now < until:
        assert capture.grab()


def test_one_thread_decodes_what_it_keeps_up_with(streams: type[Stream]) -> None:
    capture = RtspCapture(URL, streams.clock)
    grab_for(capture, 10 * BEHIND_FOR_S, streams.clock)

    (stream,) = streams.opened
    assert stream.threads == 1
    image = capture.retrieve()
    assert image is not None
    assert image[0, 0, 0] == 1
    capture.release()
    assert stream.released


def test_what_is_too_much_for_one_thread_is_opened_again_for_all_and_stays_so(
    streams: type[Stream], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    streams.slowness = 1.5
    capture = RtspCapture(URL, streams.clock)
    grab_for(capture, 10 * BEHIND_FOR_S, streams.clock)

    one, all_of_them = streams.opened
    assert (one.threads, one.released) == (1, True)
    assert (all_of_them.threads, all_of_them.released) == (4, False)
    image = capture.retrieve()
    assert image is not None
    assert image[0, 0, 0] == 4
    assert [record.message for record in caplog.records] == [
        "rtsp://camera/...: too much for one core to decode; opened again for all"
    ]


def test_a_camera_that_cannot_be_opened_again_is_lost(streams: type[Stream]) -> None:
    streams.slowness = 1.5
    capture = RtspCapture(URL, streams.clock)
    streams.answers = False

    while capture.grab():
        assert streams.clock.now < 100 + 10 * BEHIND_FOR_S
    assert len(streams.opened) == 2


def test_with_one_core_there_is_nothing_else_to_try(streams: type[Stream], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module.cv2, "getNumberOfCPUs", lambda: 1)
    streams.slowness = 1.5
    capture = RtspCapture(URL, streams.clock)
    grab_for(capture, 10 * BEHIND_FOR_S, streams.clock)

    assert len(streams.opened) == 1


def test_a_camera_that_does_not_answer_is_let_go(streams: type[Stream]) -> None:
    streams.answers = False
    with pytest.raises(UnavailableError, match=r"rtsp://camera/\.\.\.: does not answer"):
        open_capture(URL)

    assert streams.opened[0].released


def a_film(path: Path, pictures: int, damaged: Sequence[int]) -> str:
    """Motion JPEG; some of its pictures have no beginning."""
    random = np.random.default_rng(0)
    film = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (160, 120))
    for _ in range(pictures):
        film.write(random.integers(0, 255, (120, 160, 3), np.uint8))
    film.release()
    data, at = bytearray(path.read_bytes()), -1
    for number in range(pictures):
        at = data.find(b"\xff\xd8\xff", at + 1)
        if number in damaged:
            data[at : at + 600] = bytes(600)
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("damaged", [[], [5], [5, 6, 7, 19]])
def test_a_damaged_picture_costs_no_other(tmp_path: Path, damaged: list[int]) -> None:
    capture = open_capture(a_film(tmp_path / "film.avi", 20, damaged))
    seen = 0
    while capture.grab():
        assert capture.retrieve() is not None
        seen += 1
    assert not capture.grab()
    capture.release()
    assert seen == 20 - len(damaged)


def test_an_empty_buffer_is_a_frame_that_cannot_be_decoded(
    streams: type[Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    def retrieve(_: Stream) -> None:
        cv2.imdecode(np.zeros((1, 0), np.uint8), cv2.IMREAD_COLOR)

    monkeypatch.setattr(streams, "retrieve", retrieve)
    capture = RtspCapture(URL, streams.clock)
    assert capture.grab()
    assert capture.retrieve() is None


class Webcam:
    """An open V4L2 device, which keeps what it is set to."""

    opened: list[Webcam]

    def __init__(self, url: str, backend: int) -> None:
        assert (url, backend) == ("/dev/null", cv2.CAP_V4L2)
        self.set_to: dict[int, float] = {}
        self.opened.append(self)

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def set(self, key: int, value: float) -> bool:
        self.set_to[key] = value
        return True


@pytest.mark.parametrize("size", [None, (1280, 720)])
def test_a_device_is_asked_for_the_size_that_is_configured(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int] | None
) -> None:
    monkeypatch.setattr(capture_module.cv2, "VideoCapture", Webcam)
    monkeypatch.setattr(Webcam, "opened", [], raising=False)

    open_capture("/dev/null", size)

    (webcam,) = Webcam.opened
    sides = (webcam.set_to.get(cv2.CAP_PROP_FRAME_WIDTH), webcam.set_to.get(cv2.CAP_PROP_FRAME_HEIGHT))
    assert sides == (size or (None, None))
    assert webcam.set_to[cv2.CAP_PROP_BUFFERSIZE] == 1
