"""Brings what lies in the outbox to the broker: in order, confirmed, at a bounded rate, for as long as it takes."""

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
from edge.mqtt.connection import Connection, Receipt, UnsupportedProtocolError, Will
from edge.mqtt.snapshots import Snapshots
from edge.mqtt.topics import Topics
from edge.outbox import Outbox
from edge.settings import MqttSettings

log = logging.getLogger(__name__)

RETRY_FIRST_S = 1.0
RETRY_CEILING_S = 60.0
IN_FLIGHT = 20
"""Messages sent and not yet confirmed; paho keeps more than this in memory."""
RATE_PER_S = 200.0
"""Ceiling after an outage. 10,000 waiting messages come over in 50 s instead of in one burst."""
REFUSED_PAUSE_S = 5.0
REJOIN_PAUSE_S = 2.0
"""After an outage: until the first message goes out. Subscribers have lost the broker too, and need time to return."""
REJOIN_LIMIT_S = 30.0
"""After an outage: how long a broker that says that nobody subscribes is asked again, before its word is enough."""
REJOIN_RETRY_S = 1.0
STEADY_AFTER_S = 10.0
"""A connection that lasted this long ends the back-off; one that breaks sooner (two devices of one id) prolongs it."""
CONFIRM_LIMIT_S = 30.0
"""A broker that answers but confirms nothing for this long is no better than one that is away."""
FAREWELL_S = 1.5
_POLL_S = 1.0
_THROTTLED_POLL_S = 0.05
_ROOM_FOR_HEADER = 512
"""Bytes of a packet beside its payload: topic, properties, lengths."""


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
        self._version = "3.1.1" if settings.protocol == "3.1.1" else "5"
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._status: str | None = None
        self._status_is_new = False
        self._sent = 0
        self._in_flight: dict[int, int] = {}
        self._progress_at = clock()
        """When the broker last confirmed something, or had nothing to confirm."""
        self._confirmed: list[int] = []
        self._refusal: str | None = None
        self._resend_at: float | None = None
        """After a refusal, or while nobody subscribes: when what is not confirmed is sent again."""
        self._interrupted = False
        """Whether the broker has been away since this program started."""
        self._quiet_until = self._listeners_awaited_until = clock()
        self._allowance = RATE_PER_S
        self._allowed_at = clock()
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
                try:
                    with nullcontext() if self._snapshots is None else self._snapshots.looking(self.wake):
                        self._serve(connection, stop)
                finally:
                    self._settle()
                    with self._lock:
                        self._connection = None
                    connection.close()
                if self._clock() - since > STEADY_AFTER_S:
                    backoff.reset()
            stop.wait(backoff.wait())

    def _connect(self) -> Connection | None:
        will = Will(self._topics.of("availability"), "offline")
        client_id = f"{self._topics.prefix}-{self._topics.device}".replace("/", "-")
        try:
            connection = Connection(self._settings, self._version, client_id, will, self._on_receipt, self._on_message)
        except (UnavailableError, ConfigError) as error:
            # The second while certificate files, which were good at the start, are renewed.
            self._trouble(str(error))
            self._interrupted = True
            if isinstance(error, UnsupportedProtocolError) and self._settings.protocol == "auto":
                self._version = "3.1.1" if self._version == "5" else "5"
            return None
        with self._lock:
            self._connection, self._status_is_new = connection, self._status is not None
        self._sent, self._in_flight, self._confirmed, self._refusal, self._resend_at = 0, {}, [], None, None
        self._progress_at = now = self._clock()
        if self._interrupted:
            self._quiet_until, self._listeners_awaited_until = now + REJOIN_PAUSE_S, now + REJOIN_LIMIT_S
        self._interrupted = True
        self.problem = None
        log.info("connected to %s:%d with MQTT %s", self._settings.host, self._settings.port, self._version)
        return connection

    def _serve(self, connection: Connection, stop: threading.Event) -> None:
        connection.publish(self._topics.of("availability"), "online", retain=True)
        if self._announcer is not None:
            self._announcer.begin(connection)
        timeout_s = 0.0
        while not stop.is_set():
            self.turned_at = self._clock()
            if not connection.poll(timeout_s):
                self._trouble("the connection was lost")
                return
            timeout_s = self._exchange(connection)
            if self._in_flight and self._clock() - self._progress_at > CONFIRM_LIMIT_S:
                self._trouble("the broker confirms nothing")
                return
        self._farewell(connection)

    def _exchange(self, connection: Connection) -> float:
        """Settles what came back, sends what may go out; returns how long there is nothing more to do."""
        self._settle()
        if not self._in_flight:
            self._progress_at = self._clock()
        if self._refusal is not None:
            self._trouble(f"the broker refuses our messages: {self._refusal}")
            self._refusal, self._resend_at = None, self._clock() + REFUSED_PAUSE_S
        self._tell(connection)
        if self._resend_at is not None:
            if self._clock() < self._resend_at or self._in_flight:
                return _POLL_S
            self._sent, self._resend_at = 0, None
        if self._clock() < self._quiet_until:
            return _THROTTLED_POLL_S
        # One at a time while it is not known that somebody hears us, so that what is sent again stays in order.
        most = 1 if self._awaits_listeners() else min(IN_FLIGHT, connection.receive_maximum)
        room = most - len(self._in_flight)
        if room <= 0:
            return _POLL_S
        allowed = self._allowed(room)
        for message in self._outbox.batch(self._sent, allowed) if allowed else ():
            self._sent = message.seq
            if len(message.payload.encode()) + _ROOM_FOR_HEADER > connection.largest_packet:
                log.error("message %d is larger than the broker takes, and dropped", message.seq)
                self._outbox.drop(message.seq)
                continue
            number = connection.publish(
                self._topics.of(message.topic), message.payload, schema=SCHEMA_NAMES[message.topic]
            )
            self._in_flight[number] = message.seq
            self._allowance -= 1
        return _POLL_S if allowed else _THROTTLED_POLL_S

    def _tell(self, connection: Connection) -> None:
        """What is not in the outbox, because only the latest counts."""
        with self._lock:
            status, self._status_is_new = (self._status if self._status_is_new else None), False
        if status is not None:
            connection.publish(self._topics.of("status"), status, retain=True, schema=SCHEMA_NAMES["status"])
        if self._announcer is not None:
            self._announcer.turn(connection)
        if self._snapshots is not None:
            self._snapshots.turn(connection)

    def _settle(self) -> None:
        if self._confirmed:
            self._outbox.confirm(self._confirmed)
            self._confirmed = []

    def _allowed(self, wanted: int) -> int:
        """Token bucket: how many of `wanted` messages may go out now."""
        now = self._clock()
        self._allowance = min(RATE_PER_S, self._allowance + (now - self._allowed_at) * RATE_PER_S)
        self._allowed_at = now
        return min(wanted, int(self._allowance))

    def _farewell(self, connection: Connection) -> None:
        """Lets what was just produced go out, then takes the place of the will."""
        deadline = self._clock() + FAREWELL_S
        while self._clock() < deadline and (self._in_flight or self._outbox.batch(self._sent, 1)):
            if not connection.poll(_THROTTLED_POLL_S):
                return
            self._exchange(connection)
        self._exchange(connection)
        number = connection.publish(self._topics.of("availability"), "offline", retain=True)
        self._in_flight[number] = 0
        while self._clock() < deadline + FAREWELL_S and number in self._in_flight:
            if not connection.poll(_THROTTLED_POLL_S):
                return
        connection.disconnect()

    def _awaits_listeners(self) -> bool:
        return self._clock() < self._listeners_awaited_until

    def _on_message(self, topic: str, payload: bytes) -> None:
        if self._announcer is not None:
            self._announcer.on_message(topic, payload)

    def _on_receipt(self, receipt: Receipt) -> None:
        if self._announcer is not None and self._announcer.settles(receipt):
            return
        seq = self._in_flight.pop(receipt.number, None)
        self._progress_at = self._clock()
        if receipt.refusal is not None:
            self._refusal = receipt.refusal
        elif seq and not receipt.heard and self._awaits_listeners():
            self._resend_at = self._clock() + REJOIN_RETRY_S
        elif seq:
            self._confirmed.append(seq)
            self._listeners_awaited_until = self._clock()
            if self._resend_at is None:
                self.problem = None

    def _trouble(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("broker: %s", problem)
        self.problem = problem
