"""The other side of the broker: receives what devices publish, for `maskgate listen` and the demo."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection

from edge.backoff import Backoff
from edge.errors import ConfigError, UnavailableError
from edge.mqtt.connection import Connection
from edge.mqtt.versions import connect
from edge.settings import MqttSettings

_POLL_S = 0.2
_STEADY_AFTER_S = 10.0
"""A connection that lasted this long ends the back-off; one that breaks sooner (on a subscription, say) prolongs it."""


def receive(
    settings: MqttSettings,
    topics: Collection[str],
    on_message: Callable[[str, bytes], None],
    ended: Callable[[], bool],
    first_try_limit_s: float = 0,
) -> None:
    """Subscribes and calls `on_message` with topic and payload until `ended`; comes back after a lost connection.

    Args:
        settings: of the broker.
        topics: filters.
        on_message: called in this thread.
        ended: asked several times a second.
        first_try_limit_s: how long the broker may be away at the start.

    Raises:
        UnavailableError: the broker was not there at the start, or refuses a subscription.
        ConfigError: a certificate file is wrong at the start; later it may be renewed just then.
    """
    name = f"maskgate-listen-{secrets.token_hex(4)}"

    def open_with(version: str) -> Connection:
        if ended():  # a silent broker takes eight seconds a version
            raise UnavailableError("nothing more is to be received")
        return Connection(settings, version, name, on_message=on_message)

    backoff = Backoff(0.5, 10)
    give_up_at: float | None = time.monotonic() + first_try_limit_s
    while not ended():
        try:
            connection = connect(settings.protocol, open_with)
        except (UnavailableError, ConfigError) as error:  # the latter while certificate files are renewed
            if ended():
                return
            if give_up_at is not None and (isinstance(error, ConfigError) or time.monotonic() >= give_up_at):
                raise
            _wait(backoff.wait(), ended)
            continue
        give_up_at, since = None, time.monotonic()
        _listen(connection, topics, ended)
        if (refused := connection.refused_subscription) is not None:
            where = f"{settings.host}:{settings.port}"
            raise UnavailableError(f"{where}: refuses to be subscribed to {refused}; may this user read it?")
        if time.monotonic() - since > _STEADY_AFTER_S:
            backoff.reset()
        _wait(backoff.wait(), ended)


def _listen(connection: Connection, topics: Collection[str], ended: Callable[[], bool]) -> None:
    """Until the connection is lost, a subscription is refused, or `ended`."""
    try:
        for topic in topics:
            connection.subscribe(topic)
        while connection.poll(_POLL_S) and connection.refused_subscription is None and not ended():
            pass
    finally:
        connection.close()


def _wait(seconds: float, ended: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not ended():
        time.sleep(_POLL_S)
