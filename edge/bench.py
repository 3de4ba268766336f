"""What this machine can do: each stage of the way of a picture, timed in one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.assembly import Vision, load_classifier_of, load_detector_of
from edge.errors import UsageError
from edge.settings import Settings
from edge.sources.demo import DemoCapture
from edge.vision.geometry import Image
from edge.vision.image import decode, read_bytes
from edge.vision.tflite import runtime_name

_WARM_UP = 5
_FEWEST = 20
_FRAME_IN_THE_MIDDLE = 21


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds a call: the median and the 95th percentile of `calls`."""

    p50_ms: float
    p95_ms: float
    calls: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """`whole` is a picture from pixels to labels; `frames_per_s` is what one thread keeps up with."""

    runtime: str
    picture: str
    faces: int
    stages: dict[str, Timing]
    frames_per_s: float
    rss_mb: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def demo_frame() -> Image:
    """A frame of the demo scene with a person in the middle, 640 x 480 pixels."""
    scene = DemoCapture()
    for _ in range(_FRAME_IN_THE_MIDDLE):
        scene.grab()
    return scene.retrieve()


def measure(settings: Settings, picture: Path | None, seconds: float, rss_mb: Callable[[], float]) -> Measurement:
    """Times decoding, detector, crop and classifier apart, and the whole.

    Args:
        settings: which models.
        picture: to be used; None takes a frame of the demo scene.
        seconds: for all stages together.
        rss_mb: of this process, in MB.

    Raises:
        UsageError: the picture cannot be read.
        ModelError: a model cannot be loaded.
    """
    image = demo_frame() if picture is None else decode(read_bytes(picture))
    data = cv2.imencode(".jpg", image)[1].tobytes()
    detector, classifier = load_detector_of(settings), load_classifier_of(settings)
    analyzer = Vision.load(settings).analyzer
    found = detector.detect(image)
    if not found:
        raise UsageError(
            f"{picture or 'demo scene'}: no face is found in it; a bench without one would show half of the work"
        )
    crop = classifier.crop(image, found[0].box, classifier.card.crop.margin)
    calls: dict[str, Callable[[], object]] = {
        "decode": lambda: decode(data),
        "detector": lambda: detector.detect(image),
        "crop": lambda: classifier.crop(image, found[0].box, classifier.card.crop.margin),
        "classifier": lambda: classifier.judge(crop),
        "whole": lambda: analyzer.analyze(image),
    }
    stages = {name: _time(call, seconds / len(calls)) for name, call in calls.items()}
    height, width = image.shape[:2]
    return Measurement(
        runtime=runtime_name(),
        picture=f"{'demo scene' if picture is None else picture.name}, {width} x {height} pixels",
        faces=len(found),
        stages=stages,
        frames_per_s=round(1000 / stages["whole"].p50_ms, 1),
        rss_mb=rss_mb(),
    )


def _time(call: Callable[[], object], seconds: float) -> Timing:
    for _ in range(_WARM_UP):
        call()
    taken: list[float] = []
    ends_at = time.perf_counter() + seconds
    while time.perf_counter() < ends_at or len(taken) < _FEWEST:
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1000)
    p50, p95 = np.percentile(taken, [50, 95])
    return Timing(round(float(p50), 3), round(float(p95), 3), len(taken))
