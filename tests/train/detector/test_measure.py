"""Racing detectors against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from train.detector.data import Photo
from train.detector.measure import Contender, race

if TYPE_CHECKING:
    from edge.vision.detector import Detection
    from edge.vision.geometry import Image

_JPEG = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
_NONE = np.zeros((0, 4), np.float32)


class _Runner:
    """Takes as many milliseconds as it is told, and writes its name down."""

    def __init__(self, name: str, takes_ms: list[int], started: list[str], clock: list[float]) -> None:
        self._name, self._takes_ms, self._started, self._clock = name, iter(takes_ms), started, clock

    def detect(self, _image: Image) -> list[Detection]:
        self._started.append(self._name)
        self._clock[0] += next(self._takes_ms) / 1000
        return []


def test_detectors_take_turns_and_the_shortest_time_on_each_photo_counts() -> None:
    started: list[str] = []
    clock = [0.0]
    runners = {
        "tortoise": _Runner("tortoise", [9, 7, 8, 8, 9, 6], started, clock),
        "hare": _Runner("hare", [3, 900, 2, 1, 900, 900], started, clock),
    }
    contenders = [Contender(name, lambda _, name=name: runners[name], 0.5) for name in runners]  # type: ignore[misc]
    photos = [Photo(name, "macwin", "val", _JPEG, _NONE, _NONE, np.zeros(0, np.int64)) for name in "ab"]
    times = race(contenders, photos, repeats=3, clock=lambda: clock[0])
    assert started == ["tortoise", "hare"] * 6
    assert {name: [round(each) for each in taken] for name, taken in times.items()} == {
        "tortoise": [7, 6],
        "hare": [2, 1],
    }
