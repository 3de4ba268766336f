"""The daemon as a service of systemd, which starts it again whatever it ended with."""

from __future__ import annotations

import os

from edge.daemon.daemon import Daemon, Stop
from edge.daemon.notify import notify
from edge.errors import UnavailableError
from edge.settings import Settings

PAUSE_S = 5.0
"""After what is missing. The unit starts again at once, as it should after a crash; all day long that would be two
times a second, with lines in the journal that wear an SD card. systemd before 254 cannot let the pauses grow."""


def serve(settings: Settings, stop: Stop) -> None:
    """Makes a daemon and runs it until `stop`.

    Raises:
        MaskgateError: see `Daemon`; under systemd, of what is missing only after a pause.
    """
    try:
        Daemon(settings).run(stop)
    except UnavailableError as error:
        if os.environ.get("NOTIFY_SOCKET"):
            notify(f"STATUS={error}")
            if stop.wait(PAUSE_S):
                return
        raise
