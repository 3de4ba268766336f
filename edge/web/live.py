"""The live view: each camera's newest frame as a small JPEG with its people, made once for all who look.

Made in the page's thread, at a bounded rate, and only while somebody looks.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import cv2

from edge.people import TrackState
from edge.views import Look, View, Views
from edge.vision.geometry import Image

FRAMES_PER_S = 5.0
LONGEST_SIDE_PX = 640
_QUALITY = 70


class Channel:
    """One camera's stream of messages for those who look at it now."""

    def __init__(self, look: Look, clock: Callable[[], float]) -> None:
        self._look = look
        self._clock = clock
        self._due = clock()
        self.watchers = 0
        self.number = 0
        """Of the newest message."""
        self.message = ""

    def refresh(self) -> None:
        """Makes the next message if it is due and there is a new view."""
        now = self._clock()
        if now < self._due:
            return
        view = self._look.take()
        if view is not None:
            self._due = now + 1 / FRAMES_PER_S
            self.message = _message(view)
            self.number += 1


class Live:
    """Who looks at what; all in the page's thread.

    Args:
        views: of the cameras.
        clock: monotonic, in seconds.
    """

    def __init__(self, views: Views, clock: Callable[[], float]) -> None:
        self._views = views
        self._clock = clock
        self._channels: dict[str, tuple[Channel, ExitStack]] = {}

    @contextmanager
    def channel(self, source: str) -> Iterator[Channel]:
        """Looks at a camera for the length of the block, together with others who do."""
        if source not in self._channels:
            ending = ExitStack()
            look = ending.enter_context(self._views.look(source))
            self._channels[source] = Channel(look, self._clock), ending
        channel, ending = self._channels[source]
        channel.watchers += 1
        try:
            yield channel
        finally:
            channel.watchers -= 1
            if not channel.watchers:
                del self._channels[source]
                ending.close()


def _message(view: View) -> str:
    """JSON: the picture in base64 and who is in it, in pixels of the frame of `width` and `height`."""
    height, width = view.image.shape[:2]
    return json.dumps(
        {
            "source": view.source,
            "width": width,
            "height": height,
            "people": [_person(track) for track in view.people if track.in_sight],
            "jpeg": base64.b64encode(_jpeg(view.image)).decode("ascii"),
        }
    )


def _jpeg(image: Image) -> bytes:
    height, width = image.shape[:2]
    scale = LONGEST_SIDE_PX / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()


def _person(track: TrackState) -> dict[str, object]:
    return {
        "id": track.id,
        "box": {"x": track.box.x, "y": track.box.y, "width": track.box.width, "height": track.box.height},
        "label": track.label if track.said is None else track.said,
        "p_mask": track.p_mask,
        "said": track.said is not None,
        "progress": track.progress,
        "too_small": track.too_small,
    }
