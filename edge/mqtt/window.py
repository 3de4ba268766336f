"""The messages that the broker has yet to confirm: no more of them at a time than it takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from paho.mqtt.properties import Properties


@dataclass(frozen=True, slots=True)
class Message:
    """What is published at QoS 1."""

    topic: str
    payload: bytes
    retain: bool
    properties: Properties | None


class Window:
    """Sends in the order of the calls; what the broker has no room for waits until it has confirmed something.

    paho does the same with a limit of its own, which is fixed before the broker says what it takes.

    Args:
        send: gives a message to paho; returns paho's number of it.
        most: how many may be unanswered; lower it before the first message if the broker takes fewer.
    """

    def __init__(self, send: Callable[[Message], int], most: int) -> None:
        self.most = most
        self._send = send
        self._numbered = 0
        self._waiting: deque[tuple[int, Message]] = deque()
        self._unanswered: dict[int, int] = {}
        """Our number of each message by paho's."""

    def put(self, message: Message) -> int:
        """Sends it, now or later; returns our number of it."""
        self._numbered += 1
        self._waiting.append((self._numbered, message))
        self.fill()
        return self._numbered

    def answered(self, number: int) -> int | None:
        """Makes room for another, which `fill` sends; returns our number for paho's, None if it is not of ours."""
        return self._unanswered.pop(number, None)

    def fill(self) -> None:
        """Sends as much as there is room for."""
        while self._waiting and len(self._unanswered) < self.most:
            number, message = self._waiting.popleft()
            self._unanswered[self._send(message)] = number
