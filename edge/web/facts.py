"""What the page knows of the daemon that it is part of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edge.history import History, Tally
from edge.messages import Status
from edge.views import Views
from edge.vision.cards import ModelCard


@dataclass(frozen=True, slots=True)
class Broker:
    """Where messages go, None for nowhere, and why they do not, None while they do."""

    address: str | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Asked only when somebody looks, in the page's thread; nothing here may wait.

    Attributes:
        cameras: names of the sources that can be looked at.
        views: what the cameras see.
        tally: counts.
        history: the last events.
        snapshots: as in `privacy.snapshots`.
        cards: of the models in use that have one.
        monotonic: seconds of a clock that only runs forward.
        status: the device's state.
        broker: likewise.
        turning: whether all that must make progress does.
    """

    cameras: tuple[str, ...]
    views: Views
    tally: Tally
    history: History
    snapshots: Literal["off", "blurred", "full"]
    cards: tuple[ModelCard, ...]
    monotonic: Callable[[], float]
    status: Callable[[], Status]
    broker: Callable[[], Broker]
    turning: Callable[[], bool]
