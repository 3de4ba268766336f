"""Whether whoever reads a live stream keeps up with it."""

from __future__ import annotations

import math

BEHIND_S = 1.0
BEHIND_FOR_S = 10.0
"""Longer than what a network that hung needs to be read off, for a decoder that has some power left."""
DRIFT = 0.001
"""By which a camera's clock may run slower than ours: twenty times a bad crystal."""


class Pace:
    """Compares a stream's own time stamps with the time at which its frames are there.

    The distance between the two says nothing, its growth does: the least of it is when nothing waited. That one is let
    grow by `DRIFT`, for clocks differ.
    """

    def __init__(self) -> None:
        self._least = math.inf
        self._at = 0.0
        self._behind_since: float | None = None

    def falls_behind(self, stream_s: float, now: float) -> bool:
        """Whether frames have been over `BEHIND_S` late for `BEHIND_FOR_S` without a break.

        Args:
            stream_s: the time stamp of a frame, from any beginning.
            now: when the frame was there, by the monotonic clock; called for each in turn.
        """
        late = now - stream_s
        self._least = min(late, self._least + DRIFT * (now - self._at))
        self._at = now
        if late - self._least <= BEHIND_S:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = now
        return self._behind_since is not None and now - self._behind_since >= BEHIND_FOR_S
