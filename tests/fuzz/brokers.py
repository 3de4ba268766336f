"""A broker on loopback that answers with whatever a test gives it."""

from __future__ import annotations

import socket
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

Answer = Callable[[bytes], list[bytes]]
"""What to send when something came: each piece in a packet of its own; an empty piece ends the connection."""


def length(number: int) -> bytes:
    """A variable byte integer (MQTT 5, 1.5.5)."""
    coded = b""
    while True:
        number, rest = divmod(number, 128)
        coded += bytes([rest | (0x80 if number else 0)])
        if not number:
            return coded


def packet(first: int, content: bytes) -> bytes:
    return bytes([first]) + length(len(content)) + content


def connack(version: str, reason: int = 0, properties: bytes = b"") -> bytes:
    return packet(0x20, bytes([0, reason]) + (length(len(properties)) + properties if version == "5" else b""))


def puback(number: int, version: str = "3.1.1", reason: int = 0) -> bytes:
    return packet(0x40, struct.pack(">H", number) + (bytes([reason, 0]) if version == "5" else b""))


def suback(number: int, version: str, reason: int = 1) -> bytes:
    return packet(0x90, struct.pack(">H", number) + (b"\0" if version == "5" else b"") + bytes([reason]))


def publish(topic: bytes, payload: bytes, version: str, qos: int = 0, properties: bytes = b"") -> bytes:
    number = struct.pack(">H", 7) if qos else b""
    more = length(len(properties)) + properties if version == "5" else b""
    return packet(0x30 | qos << 1, struct.pack(">H", len(topic)) + topic + number + more + payload)


def disconnect(reason: int) -> bytes:
    return packet(0xE0, bytes([reason, 0]))


class OneByOne(ABC):
    """Listens on a port of its own and talks on one connection after the other. A context manager.

    Attributes:
        connections: how many there were.
    """

    def __init__(self) -> None:
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self.port = int(self._socket.getsockname()[1])
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._socket.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.connections += 1
            with client, suppress(OSError):
                self._talk(client)

    @abstractmethod
    def _talk(self, client: socket.socket) -> None:
        """Until the connection is to be closed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._socket.close()
        self._thread.join(5)


class FakeBroker(OneByOne):
    """`answer` is asked with each piece that comes.

    A connection on which nothing comes for `idle_s` is ended.
    """

    def __init__(self, answer: Answer, idle_s: float = 60.0) -> None:
        self.answer = answer
        self.idle_s = idle_s
        super().__init__()

    def _talk(self, client: socket.socket) -> None:
        heard_at = time.monotonic()
        while not self._ended.is_set() and time.monotonic() - heard_at < self.idle_s:
            try:
                client.settimeout(0.05)
                came = client.recv(65536)
            except TimeoutError:
                continue
            heard_at = time.monotonic()
            if not came:
                return
            for piece in self.answer(came):
                if not piece:
                    return
                client.settimeout(5)  # sendall counts the whole of it
                client.sendall(piece)
