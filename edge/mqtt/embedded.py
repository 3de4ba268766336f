"""A small broker inside the program, for the demo and for trials. Not for a building: use mosquitto there."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading

from edge.errors import UnavailableError
from edge.settings import MqttSettings

EMBEDDED = "embedded"
"""The `mqtt.host` that asks for this broker."""
_LOOPBACK = "127.0.0.1"
_START_LIMIT_S = 10.0
_TICK_S = 0.1


def embedded_broker_settings(mqtt: MqttSettings) -> MqttSettings:
    """How a client reaches the built-in broker on the port that `mqtt` names.

    amqtt knows MQTT 3.1.1 only and waits for ever on a connect packet of version 5 that has a will.
    """
    return MqttSettings(host=_LOOPBACK, port=mqtt.port, prefix=mqtt.prefix, protocol="3.1.1")


def take_broker_port(port: int) -> socket.socket:
    """Listens where the built-in broker is to be.

    Raises:
        UnavailableError: the port cannot be had.
    """
    try:
        return socket.create_server((_LOOPBACK, port))
    except OSError as error:
        raise UnavailableError(
            f"the built-in broker cannot use port {port}: {os.strerror(error.errno or 0)}"
        ) from error


class EmbeddedBroker:
    """amqtt on loopback, MQTT 3.1.1 only. `run` is one thread.

    Args:
        port: to listen on.

    Raises:
        UnavailableError: amqtt is not installed.
    """

    def __init__(self, port: int) -> None:
        try:
            import amqtt.broker  # noqa: F401
        except ImportError as error:
            raise UnavailableError("the built-in broker needs an extra: pip install 'maskgate[broker]'") from error
        self.port = port
        self._tried = threading.Event()
        self._problem: str | None = "it does not start"

    def wait_until_ready(self) -> None:
        """Returns when it takes connections.

        Raises:
            UnavailableError: it does not, for example because the port is taken.
        """
        self._tried.wait(_START_LIMIT_S)
        if self._problem:
            raise UnavailableError(f"the built-in broker cannot use port {self.port}: {self._problem}")

    def run(self, stop: threading.Event) -> None:
        """Serves until `stop`; connected clients then see the connection close."""
        asyncio.run(self._serve(stop))

    async def _serve(self, stop: threading.Event) -> None:
        from amqtt.broker import Broker
        from amqtt.errors import BrokerError

        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what went wrong is raised
        broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{_LOOPBACK}:{self.port}"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        try:
            await broker.start()
        except (BrokerError, OSError) as error:
            self._problem = str(error)
            self._tried.set()
            return
        self._problem = None
        self._tried.set()
        while not stop.is_set():
            await asyncio.sleep(_TICK_S)
        await broker.shutdown()
