"""A camera with a stand-in for the driver: what cannot be had without the device, behind the seam `Capture`."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edge.errors import UnavailableError
from edge.settings import CameraSource
from edge.sources import camera as camera_module
from edge.sources.camera import FROZEN_AFTER_S, MOST_SPOILED, STALLED_AFTER_S, Camera
from edge.sources.capture import Capture, Opener, PiCapture, open_capture, without_secrets
from edge.vision.geometry import Image
from support.clock import Clock
from support.components import eventually
from support.picamera2 import Picamera2


class FakeCapture:
    """Gives the frames it was made with, moves the clock on by a frame each, then breaks off."""

    frame_interval_s = 0.0

    def __init__(self, frames: list[Image], clock: Clock, step_s: float = 0.1) -> None:
        self.left = list(frames)
        self.clock = clock
        self.step_s = step_s
        self.released = threading.Event()
        self.grabbed: Image | None = None

    def grab(self) -> bool:
        if not self.left:
            return False
        self.clock.now += self.step_s
        self.grabbed = self.left.pop(0)
        return True

    def retrieve(self) -> Image | None:
        return self.grabbed

    def release(self) -> None:
        self.released.set()


def frames(number: int, width: int = 64, height: int = 48) -> list[Image]:
    return [np.full((height, width, 3), value, np.uint8) for value in range(number)]


def a_camera(clock: Clock, opener: Opener, **settings: Any) -> Camera:
    return Camera(CameraSource(kind="camera", name="door", url="/dev/video0", **settings), clock, opener)


@contextmanager
def watched(camera: Camera, wake: Callable[[], None] = lambda: None) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=camera.watch, args=(stop, wake))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5)
        assert not thread.is_alive()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "RETRY_FIRST_S", 0.01)


def test_the_latest_frame_wins_and_is_given_once(clock: Clock) -> None:
    camera = a_camera(clock, lambda *_: FakeCapture(frames(5), clock))
    with watched(camera):
        eventually(lambda: camera.state().frames == 5)

    frame = camera.take()
    assert frame is not None
    assert frame.image[0, 0, 0] == 4
    assert camera.take() is None


def test_a_camera_is_asked_for_its_size_and_says_when_it_has_another(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    asked = []

    def opener(_: str, size: tuple[int, int] | None) -> Capture:
        asked.append(size)
        return FakeCapture(frames(1, 64, 128), clock)

    for size in ((128, 64), (1280, 720)):
        camera = a_camera(clock, opener, size=size, rotate=90)
        with watched(camera):
            eventually(camera.take)

    assert asked == [(128, 64), (1280, 720)]
    assert [record.getMessage() for record in caplog.records if "broke off" not in record.getMessage()] == [
        *["source door: frames of 128 x 64 pixels"] * 2,
        "source door: the camera was asked for 1280 x 720 pixels and has other sizes",
    ]


def test_frames_beyond_max_fps_are_read_but_not_given(clock: Clock) -> None:
    capture = FakeCapture(frames(100), clock, step_s=1 / 30)
    camera = a_camera(clock, lambda *_: capture, max_fps=10)
    with watched(camera):
        eventually(lambda: not capture.left)
        eventually(capture.released.is_set)

    assert 33 <= camera.state().frames <= 35


@pytest.mark.parametrize(
    ("rotate", "mirror", "corner"),
    [
        (0, False, (0, 0)),
        (90, False, (0, -1)),
        (180, False, (-1, -1)),
        (270, False, (-1, 0)),
        (0, True, (0, -1)),
        (90, True, (0, 0)),
        (180, True, (-1, 0)),
        (270, True, (-1, -1)),
    ],
)
def test_frames_are_turned_and_mirrored_as_configured(
    clock: Clock, rotate: int, mirror: bool, corner: tuple[int, int]
) -> None:
    marked = np.zeros((48, 64, 3), np.uint8)
    marked[0, 0] = 255
    camera = a_camera(clock, lambda *_: FakeCapture([marked], clock), rotate=rotate, mirror=mirror)
    with watched(camera):
        frame = eventually(camera.take)

    assert frame.image.shape[:2] == ((48, 64) if rotate in (0, 180) else (64, 48))
    assert frame.image[corner].tolist() == [255, 255, 255]


@pytest.mark.usefixtures("_no_patience")
def test_a_broken_stream_is_opened_again_and_released_before(clock: Clock) -> None:
    captures: list[FakeCapture] = []

    def opener(*_: object) -> Capture:
        assert all(capture.released.is_set() for capture in captures)
        captures.append(FakeCapture(frames(2), clock))
        return captures[-1]

    camera = a_camera(clock, opener)
    with watched(camera):
        eventually(lambda: len(captures) >= 3)

    assert camera.state().reconnects >= 2
    assert camera.state().state == "lost"


class ErringCapture(FakeCapture):
    """Raises `error` instead of the second frame."""

    error: Exception

    def retrieve(self) -> Image | None:
        if len(self.left) == 1:
            raise self.error
        return super().retrieve()


@pytest.mark.usefixtures("_no_patience")
@pytest.mark.parametrize("error", [cv2.error("Insufficient\nmemory"), MemoryError()], ids=["of OpenCV", "of Python"])
def test_a_want_of_memory_is_a_camera_that_is_lost_and_opened_again(clock: Clock, error: Exception) -> None:
    captures: list[ErringCapture] = []

    def opener(*_: object) -> Capture:
        assert all(capture.released.is_set() for capture in captures)
        captures.append(ErringCapture(frames(3), clock))
        captures[-1].error = error
        return captures[-1]

    camera = a_camera(clock, opener)
    with watched(camera):
        eventually(lambda: len(captures) >= 3)

    assert camera.state().state == "lost"
    assert camera.state().error == f"/dev/video0: {'Insufficient memory' if str(error) else 'out of memory'}"


class SpoiledCapture(FakeCapture):
    """The frames that are black cannot be decoded."""

    def retrieve(self) -> Image | None:
        return self.grabbed if self.grabbed is not None and self.grabbed.any() else None


def test_a_few_frames_that_cannot_be_decoded_are_passed_over(clock: Clock) -> None:
    good, spoiled = frames(2)[1], frames(1)[0]
    sent = [good, *[spoiled] * (MOST_SPOILED - 1), good, *[spoiled] * (MOST_SPOILED - 1), good]
    camera = a_camera(clock, lambda *_: SpoiledCapture(sent, clock))
    with watched(camera):
        eventually(lambda: camera.state().state == "lost")

    assert camera.state().frames == 3
    assert camera.state().error == "/dev/video0: the stream broke off"


def test_a_camera_of_which_nothing_can_be_decoded_is_lost(clock: Clock) -> None:
    camera = a_camera(clock, lambda *_: SpoiledCapture([frames(2)[1], *frames(1) * MOST_SPOILED], clock))
    with watched(camera):
        eventually(lambda: camera.state().state == "lost")

    assert camera.state().error == "/dev/video0: sends what cannot be decoded"


@pytest.mark.usefixtures("_no_patience")
def test_a_device_that_appears_later_is_found(clock: Clock) -> None:
    tries = []

    def opener(url: str, _: object) -> Capture:
        tries.append(url)
        if len(tries) < 4:
            raise UnavailableError(f"{url}: there is no such device or file")
        return FakeCapture(frames(1), clock)

    camera = a_camera(clock, opener)
    assert camera.state().state == "waiting"
    with watched(camera):
        eventually(camera.take)

    assert len(tries) >= 4


def test_a_camera_that_is_not_there_says_why_while_waiting(clock: Clock) -> None:
    camera = a_camera(clock, open_capture)
    with watched(camera):
        eventually(lambda: camera.state().error)

    assert camera.state().state == "waiting"
    assert camera.state().error == "/dev/video0: there is no such device or file"


def test_a_camera_that_sends_nothing_any_more_is_stalled_even_if_its_driver_hangs(clock: Clock) -> None:
    capture = HangingCapture(frames(1), clock)
    camera = a_camera(clock, lambda *_: capture)
    with watched(camera):
        eventually(camera.take)
        assert camera.state().state == "ok"
        clock.now += STALLED_AFTER_S + 1

        state = camera.state()
        capture.let_go.set()

    assert (state.state, state.error) == ("stalled", "no frame for over 10 s")


class HangingCapture(FakeCapture):
    def __init__(self, frames: list[Image], clock: Clock, step_s: float = 0.1) -> None:
        super().__init__(frames, clock, step_s)
        self.let_go = threading.Event()

    def grab(self) -> bool:
        if not self.left:
            self.let_go.wait(10)
        return super().grab()


def test_a_camera_that_is_looked_at_rarely_is_not_stalled_between_two_looks(clock: Clock) -> None:
    capture = HangingCapture(frames(1), clock)
    camera = a_camera(clock, lambda *_: capture, max_fps=0.05)
    with watched(camera):
        eventually(camera.take)
        clock.now += 39
        assert camera.state().state == "ok"
        clock.now += 2
        state = camera.state()
        capture.let_go.set()

    assert (state.state, state.error) == ("stalled", "no frame for over 40 s")


def test_a_picture_that_never_changes_is_a_frozen_camera(clock: Clock) -> None:
    same = [np.full((48, 64, 3), 7, np.uint8)] * (int(FROZEN_AFTER_S / 0.5) + 4)
    capture = HangingCapture(same, clock, step_s=0.5)
    camera = a_camera(clock, lambda *_: capture, max_fps=2)
    with watched(camera):
        eventually(lambda: not capture.left)
        state = eventually(lambda: camera.state() if camera.state().state == "stalled" else None)
        capture.let_go.set()

    assert state.error == "the same picture for over 60 s"


def test_a_path_that_no_system_allows_is_a_source_that_is_away() -> None:
    with pytest.raises(UnavailableError, match="File name too long"):
        open_capture("/" + "x" * 300)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://cam.example:554/user=admin_password=hush_channel=1_stream=0.sdp", "rtsp://cam.example:554/..."),
        ("rtsp://cam:554/1?loginuse=admin&loginpas=hush", "rtsp://cam:554/..."),
        ("http://cam?u=admin&p=hush", "http://cam/..."),
        ("http://hush@cam/video", "http://cam/..."),
        ("rtsp://me:hush@10.0.0.7", "rtsp://10.0.0.7"),
        ("rtsp://me:hu:sh@hush@cam/", "rtsp://cam"),
        ("RTSPS://me:hush@[fe80::1%eth0]:322/1", "RTSPS://[fe80::1%eth0]:322/..."),
        ("rtsp://me:hush/hush@cam/1", "rtsp://..."),
        ("rtsp://me:12/hush@cam/1", "rtsp://..."),
        ("rtsp://me:hush#hush@cam/1", "rtsp://..."),
        ("rtsp://cam/1?mail=hush@hush", "rtsp://..."),
        ("rtsp:/me:hush@cam/1", "..."),
        ("me:hush@cam/1", "..."),
        ("//me:hush@cam/1", "..."),
        (
            "/dev/v4l/by-path/platform-usb-0:1.3:1.0-video-index0",
            "/dev/v4l/by-path/platform-usb-0:1.3:1.0-video-index0",
        ),
        ("clips/door 1.mp4", "clips/door 1.mp4"),
    ],
)
def test_nothing_of_a_camera_is_shown_that_may_be_a_password(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


@pytest.mark.parametrize("url", ["http://me:hush@127.0.0.1:1/cam", "rtsp:/me:hush@127.0.0.1:1/cam"])
def test_a_camera_that_cannot_be_opened_does_not_tell_its_password(url: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        open_capture(url)
    assert "hush" not in str(caught.value)


@pytest.fixture
def csi(monkeypatch: pytest.MonkeyPatch) -> type[Picamera2]:
    """picamera2 is installed, as far as anybody can tell."""
    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=Picamera2))
    monkeypatch.setattr(Picamera2, "open_now", set())
    monkeypatch.setattr(Picamera2, "leaked_pipes", 0)
    return Picamera2


def opened(url: str, size: tuple[int, int] | None = None) -> tuple[PiCapture, Picamera2]:
    capture = open_capture(url, size)
    assert isinstance(capture, PiCapture)
    assert isinstance(capture._camera, Picamera2)
    return capture, capture._camera


@pytest.mark.usefixtures("csi")
def test_a_csi_camera_lends_frames_and_gets_them_back() -> None:
    capture, camera = opened("picamera:0")

    for number in range(20):
        assert capture.grab()
        assert len(camera.lent) == 1
        if number % 3:  # not every frame is due
            image = capture.retrieve()
            assert image is not None
            assert image.shape == (720, 1280, 3)
            assert not camera.lent
    capture.release()

    assert not camera.lent
    assert not camera.open_now


@pytest.mark.usefixtures("csi")
def test_a_csi_frame_has_the_colours_in_our_order() -> None:
    capture, camera = opened("picamera:0")
    camera.picture = lambda: np.full((720, 1280, 3), (250, 2, 1), np.uint8)  # type: ignore[method-assign]

    capture.grab()
    image = capture.retrieve()

    assert image is not None
    assert image[0, 0].tolist() == [250, 2, 1]  # blue


@pytest.mark.usefixtures("csi")
def test_a_csi_camera_that_comes_loose_is_let_go_and_opened_again() -> None:
    capture, camera = opened("picamera:0")
    assert capture.grab()
    camera.dislodged = True

    assert not capture.grab()
    assert capture.retrieve() is None
    capture.release()

    again, _ = opened("picamera:0")
    assert again.grab()


@pytest.mark.usefixtures("csi")
def test_a_csi_camera_that_has_gone_is_let_go_as_far_as_it_can_be() -> None:
    capture, camera = opened("picamera:0")
    assert capture.grab()

    def gone() -> None:
        raise RuntimeError("Failed to queue request: No such device")

    camera.lent[0].release = camera.stop = gone  # type: ignore[method-assign]
    closed: list[bool] = []
    camera.close = lambda: closed.append(True)  # type: ignore[method-assign]

    capture.release()

    assert closed == [True]


@pytest.mark.parametrize(
    ("sensor", "mode"),
    [
        pytest.param((3280, 2464), (1640, 1232), id="Camera Module 2"),
        pytest.param((4608, 2592), (2304, 1296), id="Camera Module 3"),
        pytest.param((4056, 3040), (2028, 1520), id="HQ"),
        pytest.param((2592, 1944), (1296, 972), id="Camera Module 1"),
        pytest.param((1456, 1088), (1456, 1088), id="Global Shutter"),
    ],
)
def test_a_csi_sensor_is_read_as_a_whole(
    csi: type[Picamera2], monkeypatch: pytest.MonkeyPatch, sensor: tuple[int, int], mode: tuple[int, int]
) -> None:
    monkeypatch.setattr(csi, "sensor_size", sensor)

    _, camera = opened("picamera:0")

    assert camera.configuration["raw"]["size"] == mode
    assert camera.configuration["main"]["size"] == (1280, 720)


def test_a_csi_camera_gives_the_size_that_it_is_asked_for(
    csi: type[Picamera2], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csi, "sensor_size", (3280, 2464))

    _, camera = opened("picamera:0", (1920, 1080))

    assert camera.configuration["main"]["size"] == (1920, 1080)
    assert camera.configuration["raw"]["size"] == (3280, 2464), "half of the sensor has fewer pixels"


def test_trying_a_csi_camera_that_is_not_there_leaves_nothing_behind(csi: type[Picamera2]) -> None:
    for _ in range(3):
        with pytest.raises(UnavailableError, match="picamera:1: there is no such camera; 1 are attached"):
            open_capture("picamera:1")

    assert csi.leaked_pipes == 0


def test_a_csi_camera_that_another_program_has_says_so(csi: type[Picamera2]) -> None:
    csi.open_now.add(0)

    with pytest.raises(UnavailableError, match="picamera:0: Camera __init__ sequence did not complete"):
        open_capture("picamera:0")


def test_a_csi_camera_that_does_not_start_can_be_tried_again(
    csi: type[Picamera2], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csi, "fails_to_start", True)
    with pytest.raises(UnavailableError, match=r"picamera:0: .*Cannot allocate memory"):
        open_capture("picamera:0")
    monkeypatch.setattr(csi, "fails_to_start", False)

    capture, _ = opened("picamera:0")
    assert capture.grab()


def test_a_picamera2_that_does_not_fit_its_numpy_costs_no_other_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "picamera2.py").write_text("raise ValueError('numpy.dtype size changed')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)

    with pytest.raises(UnavailableError, match=r"picamera2 cannot be loaded \(numpy.dtype size changed\)"):
        open_capture("picamera:0")


def test_without_a_picamera2_that_serves_the_error_names_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(UnavailableError, match="apt install python3-picamera2"):
        open_capture("picamera:0")

    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=object))
    with pytest.raises(UnavailableError, match="apt full-upgrade"):
        open_capture("picamera:0")

    with pytest.raises(UnavailableError, match="the camera's number"):
        open_capture("picamera:front")
