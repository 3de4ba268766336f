"""What the board says of itself."""

from __future__ import annotations

import os
from pathlib import Path

_THERMAL = Path("/sys/class/thermal/thermal_zone0/temp")
_PLATFORM = Path("/sys/devices/platform")
_THROTTLED = "soc*/soc*:firmware/get_throttled"
"""Of Raspberry Pi's own kernel (raspberrypi/linux pull request 2397), not of the mainline one.

Up to the Pi 4 it is `soc/soc:firmware/get_throttled`. Other names of the parent are tried too, for device trees of
newer boards have an address in them; what it is called on a Pi 5 has not been seen, and there None may be all one gets.
"""
_THROTTLED_NOW = 0b1111
"""Under-voltage, frequency capped, throttled, soft temperature limit; the bits from 16 on remember the past."""


def temperature_c() -> float | None:
    """Of the processor, in degrees Celsius; None where the system does not tell."""
    text = _read(_THERMAL)
    return round(int(text) / 1000, 1) if text.lstrip("-").isdecimal() else None


def throttled() -> bool | None:
    """Whether a Raspberry Pi's firmware reports weak power or less speed, now; None where the kernel does not tell."""
    text = "".join(_read(path) for path in sorted(_PLATFORM.glob(_THROTTLED))[:1])
    try:
        return bool(int(text, 16) & _THROTTLED_NOW)
    except ValueError:
        return None


def rss_mb() -> float:
    """Memory of this process that is in use, in MB (10^6 bytes)."""
    resident_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(resident_pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
