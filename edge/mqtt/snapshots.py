"""Shows the frame of each verdict on the broker, if the configuration wants it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal, Protocol

import cv2

from edge.mqtt.topics import Topics
from edge.views import Look, View, Views
from edge.vision.classifier import Label
from edge.vision.snapshot import blurred, full

log = logging.getLogger(__name__)

EXPIRY_S = 300
"""How long a broker may keep a snapshot for a subscriber that is away: it says what is at the door now."""


STALE_S = 10.0
"""A picture that could not go out for this long shows a door at which somebody else stands."""


class PictureOutlet(Protocol):
    """What is needed of `edge.mqtt.connection.Connection`."""

    def publish_picture(self, topic: str, jpeg: bytes, expiry_s: int) -> None:
        """Hands over a picture that may be lost."""
        ...


class Progress(Protocol):
    """What is needed of `edge.mqtt.delivery.Delivery`: how many messages went out, and how many were answered."""

    handed_over: int
    answered: int


class Snapshots:
    """Looks at the cameras while there is a connection, and renders and sends in the publisher's thread.

    The pipeline only leaves a frame in a slot of one; while the broker is away it does not even do that.

    Args:
        mode: `blurred` or `full`.
        cameras: their names.
        views: where frames are left.
        topics: of this device.
        with_uncertain: whether `uncertain` is a verdict that is published.
    """

    def __init__(
        self,
        mode: Literal["blurred", "full"],
        cameras: Sequence[str],
        views: Views,
        topics: Topics,
        *,
        with_uncertain: bool,
    ) -> None:
        self._render = _RENDERERS[mode]
        self._cameras = cameras
        self._views = views
        self._topics = topics
        self._shown = frozenset(Label) if with_uncertain else frozenset(Label) - {Label.UNCERTAIN}
        self._looks: list[Look] = []
        self._shown_after = -1

    @contextmanager
    def looking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Takes frames for the length of the block.

        Args:
            wake: called when there is one to send.
        """
        self._shown_after = -1
        with ExitStack() as stack:
            self._looks = [
                stack.enter_context(self._views.look(camera, self._is_shown, wake)) for camera in self._cameras
            ]
            yield

    def turn(self, connection: PictureOutlet, delivery: Progress, now: float) -> None:
        """Sends what has been left; of two verdicts in quick succession, the later.

        A picture may still be on its way while nothing has been answered that was handed over after it: a second one
        would keep events back on a slow link. What has waited too long for that is left out.

        Args:
            connection: takes pictures.
            delivery: of events, on the same connection.
            now: seconds of the monotonic clock that frames have, too.
        """
        if delivery.answered <= self._shown_after < delivery.handed_over:
            return
        for look in self._looks:
            view = look.take()
            if view is not None and now - view.at <= STALE_S:
                self._shown_after = delivery.handed_over
                self._send(view, connection)

    def _send(self, view: View, connection: PictureOutlet) -> None:
        try:
            jpeg = self._render(view)
        except (cv2.error, MemoryError) as error:
            log.warning("source %s: no snapshot: %s", view.source, str(error) or "out of memory")
            return
        connection.publish_picture(self._topics.of(f"snapshot/{view.source}"), jpeg, EXPIRY_S)

    def _is_shown(self, view: View) -> bool:
        return any(verdict.label in self._shown for verdict in view.verdicts)


def _full(view: View) -> bytes:
    return full(view.image)


def _blurred(view: View) -> bytes:
    return blurred(view.image, view.found)


_RENDERERS: dict[str, Callable[[View], bytes]] = {"full": _full, "blurred": _blurred}
