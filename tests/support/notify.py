"""The end of systemd's notification socket."""

from __future__ import annotations

import socket
from pathlib import Path
from types import TracebackType
from typing import Self


class NotifySocket:
    """Receives what a service tells systemd."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._lines: list[str] = []
        self._seen = 0

    def wait_for(self, line: str, limit_s: float = 20) -> None:
        """Until `line` comes that was not waited for before."""
        self._socket.settimeout(limit_s)
        while line not in self._lines[self._seen :]:
            self._lines += self._socket.recv(4096).decode().splitlines()
        self._seen += self._lines[self._seen :].index(line) + 1

    def received(self) -> list[str]:
        """All lines so far."""
        self._socket.settimeout(0)
        while True:
            try:
                self._lines += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self._lines

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.received()
        self._socket.close()
        self.received = lambda: self._lines  # type: ignore[method-assign]
