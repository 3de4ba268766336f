"""Brokers that a real one cannot be made to be: they hold us to what they said, or are not there for a while."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from fuzz.brokers import OneByOne, connack, disconnect, packet, puback, suback


class Entrance:
    """What stands before a broker and takes every connection: closes it, is silent, or passes it on.

    `away` is how many of the next connections the broker is not there for.
    """

    def __init__(self, port: int, silent_s: float = 0.0) -> None:
        self.away = 0
        self._silent_s = silent_s
        self._behind = ("127.0.0.1", port)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                if self.away:
                    self.away -= 1
                    time.sleep(self._silent_s)
                    client.close()
                    continue
                behind = socket.create_connection(self._behind, 5)
                self._open += [client, behind]
                for one, other in ((client, behind), (behind, client)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while piece := one.recv(65536):
                other.sendall(piece)
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)

    def drop(self) -> None:
        """Ends what is open."""
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self.drop()
        for each in (self._socket, *self._open):
            each.close()


class StrictBroker(OneByOne):
    """Confirms after a while, and ends the connection of whoever does not wait for it or speaks another version.

    Args:
        most: how many messages it takes before it has confirmed the first; with MQTT 5 it says so (Receive Maximum).
        after_s: when it confirms a message; None for never.
        version: `5` or `3.1.1`.
    """

    def __init__(self, most: int = 65535, after_s: float | None = 0.0, version: str = "5") -> None:
        self._most, self._after_s, self._version = most, after_s, version
        self._waiting: list[tuple[float, int]] = []
        self.most_at_once = 0
        self.taken: list[tuple[str, bytes]] = []
        self.farewells = 0
        super().__init__()

    def _talk(self, client: socket.socket) -> None:
        client.settimeout(0.005)
        self._waiting = []
        rest = b""
        while not self._ended.is_set():
            with suppress(TimeoutError):
                came = client.recv(65536)
                if not came:
                    return
                rest += came
            while (found := _first_packet(rest)) is not None:
                first, content, rest = found
                if not self._hears(client, first, content):
                    return
            if len(self._waiting) > self._most:
                client.sendall(disconnect(0x93))
                return
            self._confirm(client)

    def _hears(self, client: socket.socket, first: int, content: bytes) -> bool:
        if first == 0x10:
            if content[6] != {"5": 5, "3.1.1": 4}[self._version]:
                return False
            client.sendall(connack(self._version, 0, b"\x21" + self._most.to_bytes(2, "big")))
        elif first & 0xF6 == 0x32:
            end = 2 + int.from_bytes(content[:2], "big")
            self.taken.append((content[2:end].decode(), content))
            self._waiting.append((time.monotonic(), int.from_bytes(content[end : end + 2], "big")))
            self.most_at_once = max(self.most_at_once, len(self._waiting))
        elif first == 0x82:
            client.sendall(suback(int.from_bytes(content[:2], "big"), self._version))
        elif first == 0xC0:
            client.sendall(packet(0xD0, b""))
        elif first == 0xE0:
            self.farewells += 1
        return True

    def _confirm(self, client: socket.socket) -> None:
        while self._after_s is not None and self._waiting and time.monotonic() - self._waiting[0][0] > self._after_s:
            client.sendall(puback(self._waiting.pop(0)[1], self._version))


def _first_packet(came: bytes) -> tuple[int, bytes, bytes] | None:
    """The first byte and the content of the first packet, and what comes after it; None if not all of it has come."""
    size, at = 0, 1
    while at < len(came):
        size |= (came[at] & 0x7F) << 7 * (at - 1)
        at += 1
        if not came[at - 1] & 0x80:
            end = at + size
            return (came[0], came[at:end], came[end:]) if len(came) >= end else None
    return None
