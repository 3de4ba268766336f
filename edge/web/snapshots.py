"""The frame of each camera's last verdict, for the page, where the configuration wants snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal

import cv2
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from edge.views import Look, View, Views
from edge.vision.snapshot import blurred, full


class Snapshots:
    """Renders a frame when somebody asks for it, and keeps what was rendered, not the frame.

    Args:
        mode: as in `privacy.snapshots`.
        cameras: their names.
        views: where frames are left.
    """

    def __init__(self, mode: Literal["off", "blurred", "full"], cameras: Sequence[str], views: Views) -> None:
        self._render: Callable[[View], bytes] = _full if mode == "full" else _blurred
        self._cameras = () if mode == "off" else tuple(cameras)
        self._views = views
        self._looks: dict[str, Look] = {}
        self._shown: dict[str, tuple[int, bytes]] = {}

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Takes frames for the length of the block."""
        with ExitStack() as stack:
            self._looks = {
                name: stack.enter_context(self._views.look(name, lambda view: bool(view.verdicts)))
                for name in self._cameras
            }
            yield

    def numbers(self) -> dict[str, int]:
        """Of each camera that has a snapshot, how many there have been: another number is another picture."""
        for name, look in self._looks.items():
            view = look.take()
            if view is not None:
                try:
                    jpeg = self._render(view)
                except (cv2.error, MemoryError):
                    continue  # the one before stays
                self._shown[name] = self._shown.get(name, (0, b""))[0] + 1, jpeg
        return {name: number for name, (number, _) in self._shown.items()}

    async def answer(self, request: Request) -> Response:
        """Serves `/snapshot/NAME`."""
        self.numbers()
        shown = self._shown.get(request.path_params["name"])
        if shown is None:
            raise HTTPException(404)
        return Response(shown[1], media_type="image/jpeg")


def _full(view: View) -> bytes:
    return full(view.image)


def _blurred(view: View) -> bytes:
    return blurred(view.image, view.found)
