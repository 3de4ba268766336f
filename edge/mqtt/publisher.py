"""Keeps a connection to the broker, for as long as it takes, and says over it what this device has to say."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext

from edge.backoff import Backoff
from edge.errors import ConfigError, UnavailableError
from edge.messages import SCHEMA_NAMES
from edge.mqtt.announcer import Announcer
from edge.mqtt.connection import Connection, Receipt, Will
from edge.mqtt.delivery import THROTTLED_POLL_S, Allowance, Delivery
from edge.mqtt.snapshots import Snapshots
from edge.mqtt.topics import Topics
from edge.mqtt.versions import connect
from edge.outbox import Outbox
from edge.settings import MqttSettings

log = logging.getLogger(__name__)

RETRY_FIRST_S = 1.0
RETRY_CEILING_S = 60.0
STEADY_AFTER_S = 10.0
"""A connection that lasted this long ends the back-off; one that breaks sooner (two devices of one id) prolongs it."""
FAREWELL_S = 1.5


class Publisher:
    """Owns the connection and the reading end of the outbox. `run` is one thread; the other methods are for others.

    Args:
        settings: of the broker.
        topics: of this device; also makes the client id.
        outbox: what is to be published.
        announcer: tells Home Assistant of the device; None where nobody is told.
        snapshots: of the cameras; None where there are none to be.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        settings: MqttSettings,
        topics: Topics,
        outbox: Outbox,
        announcer: Announcer | None = None,
        snapshots: Snapshots | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._outbox = outbox
        self._announcer = announcer
        self._snapshots = snapshots
        self._clock = clock
        self._lock = threading.Lock()
        """Held for the connection and the status, which other threads reach for."""
        self._connection: Connection | None = None
        self._status: str | None = None
        self._status_is_new = False
        self._delivery: Delivery | None = None
        self._allowance = Allowance(clock)
        self._interrupted = False
        """Whether the broker has been away since this program started."""
        self.turned_at = clock()
        """When the thread last came round: what the watchdog looks at."""
        self.problem: str | None = "not connected yet"
        """Why nothing gets through, None while the broker takes our messages."""

    def wake(self) -> None:
        """There is something new in the outbox."""
        with self._lock:
            if self._connection is not None:
                self._connection.wake()

    def set_status(self, payload: str) -> None:
        """Takes the status that is published now and again after every connect."""
        with self._lock:
            self._status, self._status_is_new = payload, True
        self.wake()

    def run(self, stop: threading.Event) -> None:
        """Connects, publishes, and connects again with back-off until `stop`; then says that the device is offline."""
        backoff = Backoff(RETRY_FIRST_S, RETRY_CEILING_S)
        while not stop.is_set():
            self.turned_at = self._clock()
            connection = self._connect()
            if connection is not None:
                since = self._clock()
                delivery = self._begin(connection)
                try:
                    with nullcontext() if self._snapshots is None else self._snapshots.looking(self.wake):
                        self._serve(connection, delivery, stop)
                finally:
                    delivery.settle()
                    with self._lock:
                        self._connection = None
                    connection.close()
                if self._clock() - since > STEADY_AFTER_S:
                    backoff.reset()
            stop.wait(backoff.wait())

    def _connect(self) -> Connection | None:
        try:
            connection = connect(self._settings.protocol, self._open)
        except (UnavailableError, ConfigError) as error:
            # The second while certificate files are renewed.
            self._tell(str(error))
            return None
        log.info("connected to %s:%d with MQTT %s", self._settings.host, self._settings.port, connection.version)
        return connection

    def _open(self, version: str) -> Connection:
        self.turned_at = self._clock()
        will = Will(self._topics.of("availability"), "offline")
        name = self._topics.client_id
        try:
            return Connection(self._settings, version, name, will, self._on_receipt, self._on_message)
        except (UnavailableError, ConfigError):
            self._interrupted = True
            raise

    def _begin(self, connection: Connection) -> Delivery:
        self._delivery = Delivery(
            connection,
            self._topics,
            self._outbox,
            self._allowance,
            self._tell,
            self._clock,
            after_outage=self._interrupted,
        )
        self._interrupted = True
        self._tell(None)
        with self._lock:
            self._connection, self._status_is_new = connection, self._status is not None
        return self._delivery

    def _serve(self, connection: Connection, delivery: Delivery, stop: threading.Event) -> None:
        connection.publish(self._topics.of("availability"), "online", retain=True)
        if self._announcer is not None:
            self._announcer.begin(connection)
        timeout_s = 0.0
        while not stop.is_set():
            self.turned_at = self._clock()
            if not connection.poll(timeout_s):
                ended = f"the broker ended the connection: {connection.ended}"
                self._tell("the connection was lost" if connection.ended is None else ended)
                return
            timeout_s = self._turn(connection, delivery)
            if delivery.stuck:
                self._tell("the broker confirms nothing")
                return
        self._farewell(connection, delivery)

    def _turn(self, connection: Connection, delivery: Delivery) -> float:
        """Says what there is to say, pictures last; returns how long there is nothing more to do, in seconds."""
        self._say_the_latest(connection)
        pause_s = delivery.turn()
        if self._snapshots is not None:
            self._snapshots.turn(connection, delivery, self._clock())
        return pause_s

    def _say_the_latest(self, connection: Connection) -> None:
        """What is not in the outbox, because only the latest counts."""
        with self._lock:
            status, self._status_is_new = (self._status if self._status_is_new else None), False
        if status is not None:
            connection.publish(self._topics.of("status"), status, retain=True, schema=SCHEMA_NAMES["status"])
        if self._announcer is not None:
            self._announcer.turn(connection)

    def _farewell(self, connection: Connection, delivery: Delivery) -> None:
        """Lets what was just produced go out, then takes the place of the will."""
        deadline = self._clock() + FAREWELL_S
        while self._clock() < deadline and delivery.unfinished:
            if not connection.poll(THROTTLED_POLL_S):
                return
            self._turn(connection, delivery)
        self._turn(connection, delivery)
        number = connection.publish(self._topics.of("availability"), "offline", retain=True)
        if number is not None:
            delivery.expect(number)
        while self._clock() < deadline + FAREWELL_S and delivery.unanswered:
            if not connection.poll(THROTTLED_POLL_S):
                return
        if number is not None and not delivery.unanswered:
            connection.disconnect()  # otherwise the broker may never have got the word, and had better say the will

    def _on_message(self, topic: str, payload: bytes) -> None:
        if self._announcer is not None:
            self._announcer.on_message(topic, payload)

    def _on_receipt(self, receipt: Receipt) -> None:
        if self._announcer is not None and self._announcer.settles(receipt):
            return
        if self._delivery is not None:
            self._delivery.take(receipt)

    def _tell(self, problem: str | None) -> None:
        if problem is not None and problem != self.problem:
            log.warning("broker: %s", problem)
        self.problem = problem
