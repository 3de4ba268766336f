"""The main job with nothing set up: a broker, the daemon on a moving scene, and a subscriber, all in one process."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from edge.daemon.daemon import Daemon
from edge.daemon.worker import Worker
from edge.mqtt.embedded import EmbeddedBroker, embedded_broker_settings
from edge.mqtt.subscriber import receive
from edge.mqtt.topics import Topics
from edge.settings import CameraSource, MqttSettings, load_settings

_LOOPBACK = "127.0.0.1"
_DEVICE = "demo"
_BROKER_LIMIT_S = 5.0
_STOP_LIMIT_S = 6.0


def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def run_demo(
    url: str, port: int, seconds: float, on_event: Callable[[bytes], None], stopped: Callable[[], bool]
) -> int:
    """Runs until `stopped`, or for `seconds` if that is above 0.

    Args:
        url: of the camera, as in the configuration.
        port: of the embedded broker.
        seconds: how long; 0 for ever.
        on_event: called with each event's payload.
        stopped: whether to end early.

    Returns:
        How many events came.

    Raises:
        UnavailableError: the broker cannot start, for want of amqtt or of the port.
    """
    received = 0
    ends_at = time.monotonic() + seconds if seconds else float("inf")
    mqtt = embedded_broker_settings(MqttSettings(port=port))
    broker = EmbeddedBroker(port)

    def count(_topic: str, payload: bytes) -> None:
        nonlocal received
        received += 1
        on_event(payload)

    with Worker("demo broker", broker.run, _STOP_LIMIT_S), tempfile.TemporaryDirectory(prefix="maskgate-") as folder:
        broker.wait_until_ready()
        camera = CameraSource(kind="camera", name="door", url=url)
        # No file: what a board is configured to do is not what is shown, and its page's port is the service's.
        settings = load_settings(Path(os.devnull)).model_copy(
            update={"device_id": _DEVICE, "state_dir": Path(folder), "sources": (camera,), "mqtt": mqtt}
        )
        with Worker("demo daemon", Daemon(settings).run, _STOP_LIMIT_S) as daemon:

            def ended() -> bool:
                return stopped() or daemon.died_of is not None or time.monotonic() >= ends_at

            receive(mqtt, [Topics(mqtt.prefix, _DEVICE).of("event")], count, ended, _BROKER_LIMIT_S)
        if daemon.died_of is not None:
            raise daemon.died_of
    return received
