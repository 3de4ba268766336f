"""What systemd is told: sd_notify(3), one datagram a message."""

from __future__ import annotations

import logging
import os
import socket

from edge.plain import plain

log = logging.getLogger(__name__)

_MICROSECONDS = 1_000_000
_LIMIT_S = 1.0


def notify(*lines: str) -> None:
    """Sends lines such as `READY=1`, each as one line whatever it holds. Does nothing when systemd does not listen."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(_LIMIT_S)
        try:
            connection.connect("\0" + address[1:] if address.startswith("@") else address)
            connection.sendall("\n".join(map(plain, lines)).encode())
        except OSError as error:
            log.warning("systemd does not take %s: %s", lines[0], error.strerror)


def watchdog_interval_s() -> float | None:
    """How often `WATCHDOG=1` is due: a third of the unit's limit. None where no watchdog is set."""
    limit = os.environ.get("WATCHDOG_USEC", "")
    return int(limit) / _MICROSECONDS / 3 if limit.isdecimal() and int(limit) else None
