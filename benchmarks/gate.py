"""What the gate saves, and whether anything is missed for it: python benchmarks/gate.py [SECONDS] [CLIP...].

The camera's lane of the daemon gets frames of 640 x 480 at 10 a second of its own time: an empty entrance and somebody
who stands still in it, both with the noise of a sensor; the demo scene with the same noise, in which people come and go;
and clips, if any are named. Each is played twice, with the gate and with a gate that is always open, and gives the
processor time a frame and the verdicts.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

from edge.daemon.clock import Clock
from edge.daemon.parts import assemble
from edge.settings import CameraSource, MqttSettings, Settings
from edge.sources.demo import DemoCapture
from edge.vision.geometry import Image

FPS = 10
NOISE = 4.0
"""Standard deviation in grey levels: a small sensor indoors."""
SOMEBODY_AT = 21
"""The frame of the demo scene in which somebody is in the middle."""


def demo(seconds: float) -> Iterator[Image]:
    scene = DemoCapture()
    for _ in range(round(seconds * FPS)):
        scene.grab()
        yield scene.retrieve()


def still(seconds: float, number: int) -> Iterator[Image]:
    frame = list(demo((number + 1) / FPS))[-1]
    for _ in range(round(seconds * FPS)):
        yield frame


def noisy(frames: Iterable[Image]) -> Iterator[Image]:
    random = np.random.default_rng(1)
    for frame in frames:
        noise = random.normal(0, NOISE, frame.shape)
        yield np.clip(frame + noise, 0, 255).astype(np.uint8)


def clip(path: Path) -> Iterator[Image]:
    """Every frame that is due at `FPS`."""
    capture = cv2.VideoCapture(str(path))
    every = max(1, round(capture.get(cv2.CAP_PROP_FPS) / FPS))
    number = 0
    while capture.grab():
        if number % every == 0:
            yield np.asarray(capture.retrieve()[1], np.uint8)
        number += 1


def play(frames: list[Image], still_fps: float) -> tuple[float, int, str]:
    """Milliseconds of processor time a frame, frames that were analysed, and the verdicts."""
    now = 0.0
    clock = Clock(monotonic=lambda: now, now=lambda: datetime.fromtimestamp(now, UTC), synced=lambda: True)
    with tempfile.TemporaryDirectory() as folder:
        source = CameraSource(kind="camera", name="door", url="demo:", still_fps=still_fps)
        settings = Settings(device_id="bench", state_dir=Path(folder), sources=(source,), mqtt=MqttSettings(host=""))
        parts = assemble(settings, clock)
        camera, lane = parts.sources["door"]
        spent = 0.0
        for frame in frames:
            now += 1 / FPS
            camera._put(frame, now)  # type: ignore[attr-defined]  # noqa: SLF001  as the grabber does
            began = time.process_time()
            lane.step()
            spent += time.process_time() - began
        now += 10
        lane.step()  # whoever is still there has gone now
        counts = parts.tally.counts()
        parts.close()
    verdicts = f"mask {counts.mask}, no_mask {counts.no_mask}, uncertain {counts.uncertain}"
    return spent * 1000 / len(frames), lane.analysed, verdicts


def main(seconds: float, clips: list[Path]) -> None:
    cv2.setNumThreads(1)
    scenes = {
        "empty, still": noisy(still(seconds, 0)),
        "somebody stands": noisy(still(seconds, SOMEBODY_AT)),
        "people pass": noisy(demo(seconds)),
    } | {path.name: clip(path) for path in clips}
    print(f"{'scene':<36}{'gate':<8}{'ms a frame':>11}{'analysed':>16}  verdicts")
    for name, frames in scenes.items():
        kept = list(frames)
        for gate, still_fps in (("", 0.5), ("open", 120.0)):
            ms, analysed, verdicts = play(kept, still_fps)
            print(f"{name:<36}{gate or 'shut':<8}{ms:>11.2f}{f'{analysed} of {len(kept)}':>16}  {verdicts}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0, [Path(name) for name in sys.argv[2:]])
