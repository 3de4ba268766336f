"""Shows the frame of each verdict on the broker, if the configuration wants it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal

import cv2

from edge.mqtt.connection import Connection
from edge.mqtt.topics import Topics
from edge.views import Look, View, Views
from edge.vision.classifier import Label
from edge.vision.snapshot import blurred, full

log = logging.getLogger(__name__)

EXPIRY_S = 300
"""How long a broker may keep a snapshot for a subscriber that is away: it says what is at the door now."""


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

    @contextmanager
    def looking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Takes frames for the length of the block.

        Args:
            wake: called when there is one to send.
        """
        with ExitStack() as stack:
            self._looks = [
                stack.enter_context(self._views.look(camera, self._is_shown, wake)) for camera in self._cameras
            ]
            yield

    def turn(self, connection: Connection) -> None:
        """Sends what has been left; of two verdicts in quick succession, the later."""
        for look in self._looks:
            view = look.take()
            if view is not None:
                self._send(view, connection)

    def _send(self, view: View, connection: Connection) -> None:
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
