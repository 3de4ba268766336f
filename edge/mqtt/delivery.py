"""What one connection brings to the broker of the outbox: in order, confirmed, at a bounded rate."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from edge.messages import SCHEMA_NAMES
from edge.mqtt.connection import Receipt
from edge.mqtt.topics import Topics
from edge.outbox import Outbox
from edge.outbox_rows import Stored

log = logging.getLogger(__name__)

IN_FLIGHT = 20
"""Messages handed over and not yet confirmed; paho sends no more than this, and the rest would wait in memory."""
RATE_PER_S = 200.0
"""Ceiling after an outage. 10,000 waiting messages come over in 50 s instead of in one burst."""
REFUSED_PAUSE_S = 5.0
REJOIN_PAUSE_S = 2.0
"""After an outage: until the first message goes out. Subscribers have lost the broker too, and need time to return."""
REJOIN_LIMIT_S = 30.0
"""After an outage: how long a broker that says that nobody subscribes is asked again, before its word is enough."""
REJOIN_RETRY_S = 1.0
CONFIRM_LIMIT_S = 30.0
"""A broker that answers but confirms nothing for this long is no better than one that is away."""
POLL_S = 1.0
THROTTLED_POLL_S = 0.05
_TOPICS = ("event", "image")
"""Of the messages in the outbox."""


class Outlet(Protocol):
    """What a delivery needs of `edge.mqtt.connection.Connection`."""

    receive_maximum: int

    def publish(self, topic: str, payload: str, *, retain: bool = False, schema: str = "") -> int | None:
        """Hands a message over; returns the number that its receipt will name, None if it is larger than it may be."""
        ...


class Allowance:
    """Token bucket: how many messages may go out now. It outlives a connection, or a broken one would begin a burst.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left = RATE_PER_S
        self._counted_at = clock()

    def of(self, wanted: int) -> int:
        """At most `wanted`."""
        now = self._clock()
        self._left = min(RATE_PER_S, self._left + (now - self._counted_at) * RATE_PER_S)
        self._counted_at = now
        return min(wanted, int(self._left))

    def spend(self) -> None:
        """One has gone out."""
        self._left -= 1


class Delivery:
    """Made anew for each connection: what the one before had sent without an answer is sent again by the next.

    Args:
        outlet: the connection.
        topics: of this device.
        outbox: what is to be published.
        allowance: of the publisher.
        tell: is given what stands in the way, and None once the broker takes our messages.
        clock: monotonic, in seconds.
        after_outage: subscribers may still be on their way back, and are waited for.
    """

    def __init__(
        self,
        outlet: Outlet,
        topics: Topics,
        outbox: Outbox,
        allowance: Allowance,
        tell: Callable[[str | None], None],
        clock: Callable[[], float],
        *,
        after_outage: bool,
    ) -> None:
        self._outlet = outlet
        self._topics = topics
        self._outbox = outbox
        self._allowance = allowance
        self._tell = tell
        self._clock = clock
        self._sent = 0
        self._taken_up = outbox.taken_up
        self.handed_over = 0
        """Messages of this connection, and how many of them have been answered; brokers answer in order."""
        self.answered = 0
        self._in_flight: dict[int, tuple[int, str]] = {}
        """The `seq` and topic of each message that is not answered yet, by the number of its receipt."""
        self._confirmed: list[int] = []
        self._refusal: str | None = None
        self._refused: dict[str, float | None] = {}
        """Topics that the broker refuses, and when each is tried again; None while that is under way."""
        self._resend_at: float | None = None
        """When what is not confirmed is sent again: after a pause, while nobody subscribes, once a disk is back."""
        self._progress_at = now = clock()
        """When the broker last confirmed something, or had nothing to confirm."""
        self._quiet_until = now + REJOIN_PAUSE_S if after_outage else now
        self._listeners_awaited_until = now + REJOIN_LIMIT_S if after_outage else now

    @property
    def unanswered(self) -> bool:
        """Something is sent that the broker has not confirmed."""
        return bool(self._in_flight)

    @property
    def unfinished(self) -> bool:
        """Something is sent and not confirmed, or still to be sent."""
        return self.unanswered or bool(self._next(1))

    @property
    def stuck(self) -> bool:
        """The broker has confirmed nothing for too long."""
        return self.unanswered and self._clock() - self._progress_at > CONFIRM_LIMIT_S

    def turn(self) -> float:
        """Settles what came back, sends what may go out; returns how long there is nothing more to do, in seconds."""
        self.settle()
        if not self._in_flight:
            self._progress_at = self._clock()
        if self._refusal is not None:
            self._tell(f"the broker refuses our messages: {self._refusal}")
            self._refusal = None
        if self._waits_to_resend():
            return POLL_S
        if self._clock() < self._quiet_until:
            return THROTTLED_POLL_S
        # One at a time while it is not known that somebody hears us, so that what is sent again stays in order.
        most = 1 if self._awaits_listeners() else min(IN_FLIGHT, self._outlet.receive_maximum)
        room = most - len(self._in_flight)
        if room <= 0:
            return POLL_S
        allowed = self._allowance.of(room)
        if allowed:
            self._send(allowed)
        return POLL_S if allowed else THROTTLED_POLL_S

    def expect(self, number: int) -> None:
        """Counts a message that is not of the outbox among those that the broker has yet to confirm."""
        self._in_flight[number] = 0, ""
        self.handed_over += 1

    def take(self, receipt: Receipt) -> None:
        """What the broker says to a message."""
        self.answered += receipt.number in self._in_flight
        seq, topic = self._in_flight.pop(receipt.number, (0, ""))
        self._progress_at = self._clock()
        if receipt.refusal is not None:
            self._refusal = receipt.refusal
            if topic:
                self._refused[topic] = self._clock() + REFUSED_PAUSE_S
        elif seq and not receipt.heard and self._awaits_listeners():
            self._resend_at = self._clock() + REJOIN_RETRY_S
        elif seq:
            self._confirmed.append(seq)
            self._listeners_awaited_until = self._clock()
            self._refused.pop(topic, None)
            if self._resend_at is None and not self._refused:
                self._tell(None)

    def settle(self) -> None:
        """Takes out of the outbox what the broker has confirmed."""
        if self._confirmed:
            self._outbox.confirm(self._confirmed)
            self._confirmed = []

    def _send(self, most: int) -> None:
        for message in self._next(most):
            self._sent = message.seq
            topic, schema = self._topics.of(message.topic), SCHEMA_NAMES[message.topic]
            number = self._outlet.publish(topic, message.payload, schema=schema)
            if number is None:
                log.error("message %d is larger than the broker takes, and dropped", message.seq)
                self._outbox.drop(message.seq)
                continue
            self._in_flight[number] = message.seq, message.topic
            self.handed_over += 1
            self._allowance.spend()

    def _next(self, most: int) -> list[Stored]:
        """What may go out now: a topic that is refused keeps the other one from nothing."""
        held = [topic for topic, again_at in self._refused.items() if again_at is not None]
        return self._outbox.batch(self._sent, most, *held) if len(held) < len(_TOPICS) else []

    def _waits_to_resend(self) -> bool:
        """Begins again with what is not confirmed, if it is time for that; whether it is yet to come."""
        if self._outbox.taken_up != self._taken_up:  # and may hold older messages than have gone out meanwhile
            self._taken_up, self._resend_at = self._outbox.taken_up, self._clock()
        for topic, again_at in self._refused.items():
            if again_at is not None and again_at <= self._clock():
                self._refused[topic], self._resend_at = None, self._clock()
        if self._resend_at is None:
            return False
        if self._clock() < self._resend_at or self._in_flight:
            return True
        self._sent, self._resend_at = 0, None
        return False

    def _awaits_listeners(self) -> bool:
        return self._clock() < self._listeners_awaited_until
