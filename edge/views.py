"""A window on the cameras: what was just analysed, for whoever looks, and for nobody at nearly no cost.

The pipeline leaves each camera's newest picture with its people in the slots of those who look at that camera. A slot
holds one view, the latest; nothing is copied, drawn or encoded here, and the pipeline waits for nobody. While nobody
looks, no picture is held.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edge.people import TrackState, Verdict
from edge.vision.geometry import Box, Image


@dataclass(frozen=True, slots=True)
class View:
    """One analysed frame of a camera. The picture is shared by all who look: read it, never draw into it.

    Attributes:
        source: name of the camera.
        image: as it was analysed.
        at: when it was taken, in seconds of the monotonic clock.
        people: who is followed, and how their verdicts stand; boxes are in the picture's pixels.
        verdicts: what became sure with this frame.
        found: every face of the frame, also those outside of the region that counts.
    """

    source: str
    image: Image
    at: float
    people: tuple[TrackState, ...]
    verdicts: tuple[Verdict, ...]
    found: tuple[Box, ...] = ()


def _all(_: View) -> bool:
    return True


def _nobody() -> None:
    return None


class Look:
    """One observer's slot. `take` is for the observer's thread; the rest is for `Views`."""

    def __init__(self, wants: Callable[[View], bool], wake: Callable[[], None]) -> None:
        self._wants = wants
        self._wake = wake
        self._slot: deque[View] = deque(maxlen=1)

    def put(self, view: View) -> None:
        if self._wants(view):
            self._slot.append(view)
            self._wake()

    def take(self) -> View | None:
        """The latest view, once."""
        try:
            return self._slot.popleft()
        except IndexError:
            return None


class Views:
    """Who looks at which camera. `wanted` and `offer` are for the pipeline, `look` is for any other thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looks: dict[str, tuple[Look, ...]] = {}

    def wanted(self, source: str) -> bool:
        """Whether anybody looks at a camera; if not, no view of it need be made."""
        return source in self._looks

    def offer(self, view: View) -> None:
        """Leaves a view with all who look at its camera; never waits."""
        for look in self._looks.get(view.source, ()):
            look.put(view)

    @contextmanager
    def look(
        self, source: str, wants: Callable[[View], bool] = _all, wake: Callable[[], None] = _nobody
    ) -> Iterator[Look]:
        """Looks at a camera for the length of the block.

        Args:
            source: name of the camera.
            wants: which views to keep, for example only those with a verdict; asked in the pipeline's thread, so it
                must be cheap.
            wake: called, in the pipeline's thread, when there is something to take.
        """
        look = Look(wants, wake)
        with self._lock:
            self._looks = self._looks | {source: (*self._looks.get(source, ()), look)}
        try:
            yield look
        finally:
            with self._lock:
                left = tuple(each for each in self._looks[source] if each is not look)
                others = {name: looks for name, looks in self._looks.items() if name != source}
                self._looks = others | {source: left} if left else others
