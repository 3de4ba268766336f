"""Which version of MQTT a broker is spoken to in, where the configuration leaves it open."""

from __future__ import annotations

from collections.abc import Callable

from edge.mqtt.connection import Connection, RefusedVersionError, UnsupportedProtocolError


def connect(protocol: str, open_with: Callable[[str], Connection]) -> Connection:
    """Connects in MQTT 5 if the broker knows it; each call begins anew, so no broker is held to what it once was.

    Only some brokers that do not know MQTT 5 say so. The others end or ignore the connection, and so does what stands
    before any broker that is about to start. What tells them apart is that the former take 3.1.1 and, right after it,
    still not 5; see docs/decisions/0003-connection.md.

    Args:
        protocol: `auto`, `5` or `3.1.1`.
        open_with: makes a connection in the version that it is given.

    Raises:
        UnavailableError: none could be made.
    """
    if protocol != "auto":
        return open_with(protocol)
    try:
        return open_with("5")
    except RefusedVersionError:
        return open_with("3.1.1")
    except UnsupportedProtocolError:
        trial = open_with("3.1.1")
    trial.disconnect()
    trial.close()
    try:
        return open_with("5")
    except UnsupportedProtocolError:
        return open_with("3.1.1")
