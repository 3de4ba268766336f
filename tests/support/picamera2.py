"""A stand-in for the module picamera2, which exists on Raspberry Pi OS only, with the ways of the real one.

Written after the source of picamera2 (picamera2.py, job.py, request.py, releases from 0.3.20 on). What matters here:

- a camera has a few buffers; a request that is not released keeps one, and without a free one no frame comes;
- a capture that times out stays in the queue, and `stop` queues up behind it and waits without a limit, unless
  `cancel_all_and_flush` has emptied the queue;
- an instance whose constructor fails leaves a pipe behind that nothing closes;
- a camera that is not closed cannot be opened again.

It needs no test framework, so that a container can have it as its system's picamera2.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from edge.sources.demo import DemoCapture


class Picamera2:
    attached: ClassVar[list[str]] = ["imx708"]
    sensor_size: ClassVar[tuple[int, int]] = (4608, 2592)
    open_now: ClassVar[set[int]] = set()
    leaked_pipes: ClassVar[int] = 0
    fails_to_start: ClassVar[bool] = False

    def __init__(self, camera_num: int = 0) -> None:
        cls = type(self)
        cls.leaked_pipes += 1
        if camera_num >= len(self.attached):
            raise IndexError("list index out of range")
        if camera_num in self.open_now:
            raise RuntimeError("Camera __init__ sequence did not complete.")
        cls.leaked_pipes -= 1
        self.open_now.add(camera_num)
        self.camera_num = camera_num
        self.sensor_resolution = self.sensor_size
        self.dislodged = False
        self.started = False
        self.configuration: dict[str, Any] = {}
        self.lent: list[CompletedRequest] = []
        self._jobs: list[str] = []
        self._scene = DemoCapture()

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return [{"Model": model, "Num": number} for number, model in enumerate(Picamera2.attached)]

    def create_video_configuration(
        self, main: dict[str, Any], raw: dict[str, Any], buffer_count: int = 6
    ) -> dict[str, Any]:
        assert main.keys() == {"size", "format"}
        assert raw.keys() == {"size"}
        return {"main": main, "raw": raw, "buffer_count": buffer_count}

    def configure(self, camera_config: dict[str, Any]) -> None:
        if self.started:
            raise RuntimeError("Camera must be stopped before configuring")
        self.configuration = camera_config

    def start(self) -> None:
        assert self.configuration
        if self.fails_to_start:
            raise OSError(12, "Cannot allocate memory")
        self.started = True

    def capture_request(self, wait: float) -> CompletedRequest:
        """Times out at once where the real one would after `wait` seconds."""
        assert not isinstance(wait, bool), "True waits without a limit"
        assert 0 < wait <= 10
        if self.dislodged or self._jobs or len(self.lent) >= self.configuration["buffer_count"]:
            self._jobs.append("capture_request")
            raise TimeoutError
        self._scene.grab()
        request = CompletedRequest(self)
        self.lent.append(request)
        return request

    def picture(self) -> np.ndarray[Any, Any]:
        """The frame in the buffer, of the configured size, in the order that libcamera calls RGB888: BGR."""
        assert self.configuration["main"]["format"] == "RGB888"
        width, height = self.configuration["main"]["size"]
        frame = np.zeros((height, width, 3), np.uint8)
        scene = self._scene.retrieve()
        frame[: scene.shape[0], : scene.shape[1]] = scene
        return frame

    def cancel_all_and_flush(self) -> None:
        self._jobs.clear()

    def stop(self) -> None:
        if self._jobs:
            raise AssertionError("stop() would wait for ever behind a capture that never ends")
        self.started = False

    def close(self) -> None:
        self.stop()
        self.open_now.discard(self.camera_num)


class CompletedRequest:
    def __init__(self, camera: Picamera2) -> None:
        self._camera = camera

    def make_array(self, name: str) -> np.ndarray[Any, Any]:
        assert self in self._camera.lent, "a request that was given back holds nothing"
        if name != "main":
            raise RuntimeError(f"Stream {name!r} is not defined")
        return self._camera.picture()

    def release(self) -> None:
        if self not in self._camera.lent:
            raise RuntimeError("CompletedRequest: lock now has negative ref_count")
        self._camera.lent.remove(self)
