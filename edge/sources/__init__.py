"""Where pictures come from. The daemon watches each source in a thread; the pipeline asks it for what is new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Literal, Protocol

from edge.vision.geometry import Image

Wake = Callable[[], None]
Monotonic = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a camera; `at` is when it was taken, in seconds of the monotonic clock."""

    image: Image
    at: float


@dataclass(frozen=True, slots=True)
class SourceState:
    """How a source is. `last_frame_at` is of the monotonic clock; `error` is for people."""

    state: Literal["ok", "waiting", "lost", "stalled"]
    frames: int
    reconnects: int
    last_frame_at: float | None
    error: str | None


class Watched(Protocol):
    """What the daemon needs of any source to keep it going."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Literal["camera", "folder"]: ...

    def watch(self, stop: Event, wake: Wake) -> None:
        """Blocks until `stop`, keeps the source alive, and calls `wake` when there is something to take."""
        ...

    def state(self) -> SourceState: ...
