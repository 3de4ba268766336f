"""A camera with a stand-in for the driver: what cannot be had without the device, behind the seam `Capture`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.errors import UnavailableError
from edge.settings import CameraSource
from edge.sources import camera as camera_module
from edge.sources.camera import FROZEN_AFTER_S, STALLED_AFTER_S, Camera
from edge.sources.capture import Capture, PiCapture, open_capture, without_password
from edge.vision.geometry import Image
from support.components import eventually


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


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


def a_camera(clock: Clock, opener: Callable[[str], Capture], **settings: Any) -> Camera:
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
    camera = a_camera(clock, lambda _: FakeCapture(frames(5), clock))
    with watched(camera):
        eventually(lambda: camera.state().frames == 5)

    frame = camera.take()
    assert frame is not None
    assert frame.image[0, 0, 0] == 4
    assert camera.take() is None


def test_frames_beyond_max_fps_are_read_but_not_given(clock: Clock) -> None:
    capture = FakeCapture(frames(100), clock, step_s=1 / 30)
    camera = a_camera(clock, lambda _: capture, max_fps=10)
    with watched(camera):
        eventually(lambda: not capture.left)
        eventually(capture.released.is_set)

    assert 33 <= camera.state().frames <= 35


@pytest.mark.parametrize(("rotate", "corner"), [(0, (0, 0)), (90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
def test_frames_are_turned_as_configured(clock: Clock, rotate: int, corner: tuple[int, int]) -> None:
    marked = np.zeros((48, 64, 3), np.uint8)
    marked[0, 0] = 255
    camera = a_camera(clock, lambda _: FakeCapture([marked], clock), rotate=rotate)
    with watched(camera):
        frame = eventually(camera.take)

    assert frame.image.shape[:2] == ((48, 64) if rotate in (0, 180) else (64, 48))
    assert frame.image[corner].tolist() == [255, 255, 255]


@pytest.mark.usefixtures("_no_patience")
def test_a_broken_stream_is_opened_again_and_released_before(clock: Clock) -> None:
    captures: list[FakeCapture] = []

    def opener(_: str) -> Capture:
        assert all(capture.released.is_set() for capture in captures)
        captures.append(FakeCapture(frames(2), clock))
        return captures[-1]

    camera = a_camera(clock, opener)
    with watched(camera):
        eventually(lambda: len(captures) >= 3)

    assert camera.state().reconnects >= 2
    assert camera.state().state == "lost"


@pytest.mark.usefixtures("_no_patience")
def test_a_device_that_appears_later_is_found(clock: Clock) -> None:
    tries = []

    def opener(url: str) -> Capture:
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
    camera = a_camera(clock, lambda _: capture)
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


def test_a_picture_that_never_changes_is_a_frozen_camera(clock: Clock) -> None:
    same = [np.full((48, 64, 3), 7, np.uint8)] * (int(FROZEN_AFTER_S / 0.5) + 4)
    capture = HangingCapture(same, clock, step_s=0.5)
    camera = a_camera(clock, lambda _: capture, max_fps=2)
    with watched(camera):
        eventually(lambda: not capture.left)
        state = eventually(lambda: camera.state() if camera.state().state == "stalled" else None)
        capture.let_go.set()

    assert state.error == "the same picture for over 60 s"


def test_a_path_that_no_system_allows_is_a_source_that_is_away() -> None:
    with pytest.raises(UnavailableError, match="File name too long"):
        open_capture("/" + "x" * 300)


def test_passwords_of_cameras_are_not_shown() -> None:
    assert without_password("rtsp://user:pa:ss@cam/1?x=y") == "rtsp://user:***@cam/1?x=y"
    assert without_password("rtsp://user:p@ss@cam/1") == "rtsp://user:***@cam/1"
    assert without_password("http://cam/1?usr=a&pwd=hush&x=1") == "http://cam/1?usr=a&pwd=***&x=1"
    assert without_password("rtsp://cam:554/1") == "rtsp://cam:554/1"
    with pytest.raises(UnavailableError) as caught:
        open_capture("http://me:hush@127.0.0.1:1/cam")
    assert "hush" not in str(caught.value)


class FakePicamera2:
    """The calls of picamera2's manual that we make; counts what is lent and given back."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lent = 0
        self.running = False
        self.hangs = False

    def create_video_configuration(self, main: dict[str, Any]) -> dict[str, Any]:
        return {"main": main}

    def configure(self, configuration: dict[str, Any]) -> None:
        self.size = configuration["main"]["size"]
        assert configuration["main"]["format"] == "RGB888"

    def start(self) -> None:
        self.running = True

    def capture_request(self, wait: float) -> Any:
        assert 0 < wait <= 10
        if self.hangs:
            raise TimeoutError
        self.lent += 1
        image = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        return SimpleNamespace(make_array=lambda name: image if name == "main" else None, release=self._give_back)

    def _give_back(self) -> None:
        self.lent -= 1

    def stop(self) -> None:
        self.running = False

    def close(self) -> None:
        assert not self.running


def test_a_csi_camera_lends_frames_and_gets_them_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=FakePicamera2))

    capture = open_capture("picamera:1")
    assert isinstance(capture, PiCapture)
    for _ in range(20):
        assert capture.grab()
        image = capture.retrieve()
        assert image is not None
        assert image.shape == (720, 1280, 3)
    assert capture._camera.lent == 0
    assert capture._camera.number == 1

    capture._camera.hangs = True
    assert not capture.grab()
    capture.release()
    assert not capture._camera.running


def test_without_picamera2_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)

    with pytest.raises(UnavailableError, match="apt install python3-picamera2"):
        open_capture("picamera:0")
    with pytest.raises(UnavailableError, match="the camera's number"):
        open_capture("picamera:front")
