"""Which frames are worth a look. Why, and what it saves: docs/decisions/0006-gate.md."""

from __future__ import annotations

from edge.vision.geometry import Image
from edge.vision.motion import ChangeDetector

_LINGER_S = 1.0
"""The gate stays open for this long after the last change: enough frames for a verdict on who came and stands still."""


class Gate:
    """Lets frames through while something changes, and now and then one when nothing does.

    Each frame is compared with the last one that was let through, so that what changes slowly adds up.

    Args:
        still_interval_s: between two frames that are let through although nothing changes.
    """

    def __init__(self, still_interval_s: float) -> None:
        self._still_interval_s = still_interval_s
        self._changes = ChangeDetector()
        self._open_until = float("-inf")
        self._looked_at = float("-inf")

    def opens(self, image: Image, at: float) -> bool:
        """Whether a frame (BGR) that was taken at `at`, in seconds of a monotonic clock, is to be analysed."""
        if self._changes.changed(image):
            self.stir(at)
        if at > self._open_until and at - self._looked_at < self._still_interval_s:
            return False
        self._changes.keep()
        self._looked_at = at
        return True

    def stir(self, at: float) -> None:
        """A look found something that goes on: the next frames are wanted too."""
        self._open_until = at + _LINGER_S
