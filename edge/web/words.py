"""How the page says things."""

from __future__ import annotations

from datetime import datetime

from edge.messages import Event
from edge.vision.classifier import Label

LABELS = {Label.MASK: "Mask", Label.NO_MASK: "No mask", Label.UNCERTAIN: "Not sure"}
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def label(name: str) -> str:
    return LABELS[Label(name)]


def sureness(name: str, p_mask: float) -> str:
    """The probability of what was said, in percent; of a mask where nothing was."""
    share = 1 - p_mask if name == Label.NO_MASK else p_mask
    return f"{_percent(share)} for a mask" if name == Label.UNCERTAIN else _percent(share)


def sentence(event: Event) -> str:
    """For those who listen to the page."""
    return f"{event.source}: {label(event.event_type)}, {sureness(event.event_type, event.p_mask)}"


def time_of_day(stamp: datetime) -> str:
    return f"{stamp.astimezone():%H:%M:%S}"


def duration(seconds: float) -> str:
    """About how long, in one unit or two."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min"
    if seconds < _DAY:
        return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"
    return f"{seconds // _DAY:.0f} d {seconds % _DAY // _HOUR:.0f} h"


def share(value: float) -> str:
    """A share of 1 in percent with one decimal."""
    return f"{100 * value:.1f} %"


def _percent(value: float) -> str:
    """Never 100: nothing that was measured is certain."""
    return f"{min(99.9, 100 * value):.1f} %" if value > 0.99 else f"{100 * value:.0f} %"
