"""The server under the page: uvicorn, with limits that it does not have itself on clients that take their time."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.errors import MaskgateError
from edge.settings import WebSettings
from edge.web.port import BACKLOG, AddressAwayError, take_port

log = logging.getLogger(__name__)

HEADER_LIMIT_S = 10.0
"""For a request's head to come, and for what comes after an answer to end."""
STUCK_AFTER_S = 20.0
"""A client that takes nothing of its answer for so long is given up."""
VANISHED_AFTER_S = 20.0
"""Likewise one whose network does not confirm the little that it is sent: a phone that has left the house."""
MOST_CONNECTIONS = 256
"""Each holds a file descriptor, of which a service has 1,024, and the cameras and the outbox need theirs."""
KEEP_ALIVE_S = 5
"""For the next request to begin."""
_LARGEST_HEAD = 16 * 1024
_TICK_S = 0.1
_END_LIMIT_S = 1
_PROXIES = ["127.0.0.1", "::1", "::ffff:127.0.0.1"]
"""Who is believed about whom it speaks for (X-Forwarded-For, -Proto); the last is what IPv6 sockets call the first."""


class _Connection(H11Protocol):
    """One client, until it is silent, slow or stuck, or has kept us waiting longest of too many."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._waiting_since = self.loop.time()
        self._head_due: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None
        if len(self.connections) >= MOST_CONNECTIONS:
            self._make_room()
        super().connection_made(transport)
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(VANISHED_AFTER_S * 1000))
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._answering():
            _cancel(self._head_due)
            self._head_due = None
        else:
            self._expect_head()

    def on_response_complete(self) -> None:
        self._waiting_since = self.loop.time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._head_due)
        _cancel(self._stuck)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self.loop.call_later(STUCK_AFTER_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._stuck)

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_head(self) -> None:
        if self._head_due is None:
            self._head_due = self.loop.call_later(HEADER_LIMIT_S, self._give_up)

    def _give_up(self) -> None:
        self._head_due = None
        if not self._answering():
            self.transport.abort()

    def _waiting(self) -> bool:
        """Whether it is the client's turn: the head or the body of a request is not all there."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _make_room(self) -> None:
        """Ends the connection whose client has kept us waiting longest.

        That of a newcomer is the youngest, so it has time to ask, however many stall before or after their first byte.
        """
        waiting = [each for each in self.connections if isinstance(each, _Connection) and each._waiting()]  # noqa: SLF001
        if waiting:
            oldest = min(waiting, key=lambda each: each._waiting_since)  # noqa: SLF001
            self.connections.discard(oldest)
            oldest.transport.abort()


class PageServer:
    """`listen` once, then `run` is one thread.

    Args:
        settings: where to listen.
        make_app: gets what says that the server stops.
        around: is entered for as long as it serves.
    """

    def __init__(
        self,
        settings: WebSettings,
        make_app: Callable[[Callable[[], bool]], ASGIApp],
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._settings = settings
        self._around = around
        self._make_app = make_app
        self._socket: socket.socket | None = None

    def listen(self) -> None:
        """Takes the port, so that a mistake shows at the start.

        An address that is not there is no mistake: leases come late and change, and no door may go blind for that.

        Raises:
            UnavailableError: the address or the port cannot be had.
        """
        host, port = self._settings.host, self._settings.port
        try:
            self._socket = take_port(self._settings)
        except AddressAwayError:
            self._socket = take_port(self._settings, ahead=True)
            log.warning("web.host: %s is no address of this machine now; the page is there when it becomes one", host)
        else:
            log.info("the local page is at http://%s:%d", f"[{host}]" if ":" in host else host, port)

    def run(self, stop: threading.Event) -> None:
        """Serves until `stop`; open streams then end."""
        try:
            with self._around():
                asyncio.run(self._serve(stop))
        finally:
            if self._socket is not None:
                self._socket.close()

    async def _serve(self, stop: threading.Event) -> None:
        logging.getLogger("uvicorn").setLevel(logging.ERROR)  # what clients do wrong is no news
        config = uvicorn.Config(
            self._make_app(stop.is_set),
            http=_Connection,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            forwarded_allow_ips=_PROXIES,
            h11_max_incomplete_event_size=_LARGEST_HEAD,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=_END_LIMIT_S,
            backlog=BACKLOG,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([self._socket] if self._socket else None))
        while not stop.is_set() and not serving.done():
            await asyncio.sleep(_TICK_S)
        server.should_exit = True
        await serving
        if not stop.is_set():
            raise MaskgateError("the page's server ended by itself")


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
