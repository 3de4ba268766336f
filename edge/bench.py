"""What this machine can do: each stage of the way of a picture, timed in one process."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.assembly import load_classifier_of, load_detector_of
from edge.cold_start import cold_start_s
from edge.errors import ImageError, UsageError
from edge.messages import Event, EventFace, FrameSize, Models, box_field, image_record, uuid7
from edge.outbox import Entry, Outbox
from edge.people import DecisionRule, People
from edge.settings import Settings
from edge.sources.demo import DemoCapture
from edge.vision.analyzer import Analyzer, Face
from edge.vision.cards import load_card
from edge.vision.classifier import MaskClassifier
from edge.vision.detector import FaceDetector
from edge.vision.face_detector import Letterbox, decoding_of
from edge.vision.geometry import Image
from edge.vision.image import decode, read_bytes
from edge.vision.tflite import TfliteModel, runtime_name

_WARM_UP = 5
_FEWEST = 20
_FRAME_IN_THE_MIDDLE = 21
_FRAMES_A_SECOND = 10
_MOST_MESSAGES, _OLDEST_S = 100_000, 1e9


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds a call: the median and the 95th percentile of `calls`."""

    p50_ms: float
    p95_ms: float
    calls: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """`whole` is a picture from pixels to labels; `frames_per_s` is what one thread keeps up with.

    `over_networks` is how many times as long `whole` takes as the two networks alone; None for a YuNet file.
    `rss_mb` is this process with both models at work; `cold_start_s` from the start of the daemon's process to READY.
    """

    runtime: str
    picture: str
    faces: int
    stages: dict[str, Timing]
    frames_per_s: float
    over_networks: float | None
    cold_start_s: float
    rss_mb: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def demo_frame() -> Image:
    """A frame of the demo scene with a person in the middle, 640 x 480 pixels."""
    scene = DemoCapture()
    for _ in range(_FRAME_IN_THE_MIDDLE):
        scene.grab()
    return scene.retrieve()


def _picture(path: Path) -> Image:
    try:
        return decode(read_bytes(path))
    except ImageError as error:
        raise UsageError(f"{path}: {error}") from error


def measure(settings: Settings, picture: Path | None, seconds: float, rss_mb: Callable[[], float]) -> Measurement:
    """Times decoding, resizing, detector, crop, classifier, tracking, a record and the outbox apart, and the whole.

    Args:
        settings: which models.
        picture: to be used; None takes a frame of the demo scene.
        seconds: for all stages together.
        rss_mb: gives the memory of this process, in MB.

    Raises:
        UsageError: the picture cannot be read.
        ModelError: a model cannot be loaded.
        UnavailableError: the daemon does not get ready.
    """
    image = demo_frame() if picture is None else _picture(picture)
    data = cv2.imencode(".jpg", image)[1].tobytes()
    detector, classifier = load_detector_of(settings), load_classifier_of(settings)
    analyzer = Analyzer(detector, classifier, settings.detector.min_face_px)
    found, faces = detector.detect(image), analyzer.analyze(image)
    resident_mb = rss_mb()  # before the networks are loaded once more, for the comparison
    if not faces:
        raise UsageError(
            f"{picture or 'demo scene'}: no face is found in it; a bench without one would show half of the work"
        )
    size = image.shape[1], image.shape[0]
    models = Models(detector=detector.model.identity, classifier=classifier.model.identity)
    crop = classifier.crop(image, found[0].box, classifier.card.crop.margin)
    people, ticks = People(DecisionRule(), "bench"), count()
    event = _event(faces[0], size, models)
    calls: dict[str, Callable[[], object]] = {
        "decode": lambda: decode(data),
        "detector": lambda: detector.detect(image),
        "crop": lambda: classifier.crop(image, found[0].box, classifier.card.crop.margin),
        "classifier": lambda: classifier.judge(crop),
        "track": lambda: people.update(found, next(ticks) / _FRAMES_A_SECOND, image.shape[1::-1], lambda _: faces[0]),
        "record": lambda: image_record("a.jpg", size, faces, 0.0, models).to_json(),
        "whole": lambda: analyzer.analyze(image),
    } | _networks(detector, classifier, image, crop)
    with (
        tempfile.TemporaryDirectory(prefix="maskgate-bench-") as folder,
        closing(Outbox(Path(folder) / "outbox.sqlite3", _MOST_MESSAGES, _OLDEST_S)) as outbox,
    ):
        stages = _time(calls | {"outbox": lambda: outbox.add([Entry((event,))], None)}, seconds)
    bare = stages.get("networks")
    return Measurement(
        runtime=runtime_name(),
        picture=f"{'demo scene' if picture is None else picture.name}, {size[0]} x {size[1]} pixels",
        faces=len(found),
        stages=stages,
        frames_per_s=round(1000 / stages["whole"].p50_ms, 1),
        over_networks=None if bare is None else round(stages["whole"].p50_ms / bare.p50_ms, 2),
        cold_start_s=round(cold_start_s(settings), 2),
        rss_mb=resident_mb,
    )


def _event(face: Face, size: tuple[int, int], models: Models) -> Event:
    """What the daemon says of a face."""
    now = datetime.now(UTC)
    return Event(
        id=uuid7(int(now.timestamp() * 1000)),
        seq=0,
        device="bench",
        source="bench",
        event_type=face.label,
        p_mask=face.p_mask,
        time=now,
        clock_synced=True,
        track=None,
        face=EventFace(
            box=box_field(face.box), score=face.score or 1.0, frame=FrameSize(width=size[0], height=size[1])
        ),
        image=None,
        latency_ms=0.0,
        model=models,
    )


def _networks(
    detector: FaceDetector, classifier: MaskClassifier, image: Image, crop: NDArray[np.uint8]
) -> dict[str, Callable[[], object]]:
    """The least that a picture with one face can take: each network once on input that is ready, and the resizing."""
    path = detector.model.path
    if path.suffix != ".tflite":
        return {}
    card = load_card(path)
    decoding = decoding_of(card)
    # The least is without `levels`: to look for contrast and light is a part of the whole.
    letterbox = Letterbox(card.input.sizes, decoding.background, decoding.enlarge)
    ready, _ = letterbox(image)
    finder = TfliteModel(path, card)
    judge = TfliteModel(classifier.model.path, classifier.card)
    return {
        "resize": lambda: letterbox.fit(image, ready),
        "networks": lambda: (finder.invoke(ready), judge.invoke(crop)),
    }


def _time(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, Timing]:
    """Takes the calls in turn, so that whatever else the machine does meets all of them alike and ratios hold."""
    for call in calls.values():
        for _ in range(_WARM_UP):
            call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    ends_at, rounds = time.perf_counter() + seconds, 0
    while time.perf_counter() < ends_at or rounds < _FEWEST:
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            taken[name].append((time.perf_counter() - began) * 1000)
        rounds += 1
    return {name: _timing(each) for name, each in taken.items()}


def _timing(taken: list[float]) -> Timing:
    p50, p95 = np.percentile(taken, [50, 95])
    return Timing(round(float(p50), 3), round(float(p95), 3), len(taken))
