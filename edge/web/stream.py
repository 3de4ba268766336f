"""The one stream that an open page reads: pictures of the cameras that it shows, panels that changed, new verdicts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, aclosing, contextmanager

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from edge.messages import Event
from edge.web import words
from edge.web.facts import Facts
from edge.web.live import FRAMES_PER_S, Live
from edge.web.login import COOKIE, Login
from edge.web.panels import Panels

MOST_STREAMS = 16
_TICK_S = 1 / FRAMES_PER_S / 2
_ALIVE_EVERY_S = 15.0
_RETRY = "retry: 2000\n\n"


class _EventStream(StreamingResponse):
    """Ends its source when the client has gone: what that looked at is let go at once.

    Args:
        messages: the source.
        place: is held from when the answer begins, head included, until its end.
    """

    media_type = "text/event-stream"

    def __init__(self, messages: AsyncGenerator[str], place: AbstractContextManager[None]) -> None:
        super().__init__(messages)
        self._messages = messages
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._messages):
            await super().stream_response(send)


class Stream:
    """Serves `/live?source=NAME&source=NAME`, as server-sent events.

    Args:
        facts: of the daemon.
        panels: shared with the first rendering of the page.
        login: None where no token is set.
        ending: whether the server stops.
    """

    def __init__(self, facts: Facts, panels: Panels, login: Login | None, ending: Callable[[], bool]) -> None:
        self._facts = facts
        self._panels = panels
        self._login = login
        self._ending = ending
        self._live = Live(facts.views, facts.monotonic)
        self._open = 0

    async def answer(self, request: Request) -> Response:
        if request.method == "HEAD":
            return Response(media_type=_EventStream.media_type)
        if self._open >= MOST_STREAMS:
            raise HTTPException(503, "too many look already", {"Retry-After": "10"})
        wanted = request.query_params.getlist("source")
        # Between the look at how many there are and the taking of a place nothing is waited for.
        cameras = [name for name in self._facts.cameras if name in wanted]
        return _EventStream(self._messages(cameras, self._has_left(request)), self._place())

    def _has_left(self, request: Request) -> Callable[[], bool]:
        """Whether the session that a stream began in has ended; who sends the token itself has none that could."""
        session = request.cookies.get(COOKIE, "")
        if self._login is None or not self._login.sessions.holds(session):
            return lambda: False
        sessions = self._login.sessions
        return lambda: not sessions.holds(session)

    @contextmanager
    def _place(self) -> Iterator[None]:
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def _messages(self, cameras: list[str], has_left: Callable[[], bool]) -> AsyncGenerator[str]:
        history, clock = self._facts.history, self._facts.monotonic
        with ExitStack() as looks:
            channels = [looks.enter_context(self._live.channel(name)) for name in cameras]
            numbers = [channel.number for channel in channels]
            panels: dict[str, str] = {}
            newest = _newest(history.recent())
            said_at = clock()
            yield _RETRY
            while not self._ending() and not has_left():
                parts = []
                for index, channel in enumerate(channels):
                    channel.refresh()
                    if channel.number != numbers[index]:
                        numbers[index] = channel.number
                        parts.append(_event("frame", channel.message))
                current = self._panels.current()
                changed = {name: html for name, html in current.items() if html != panels.get(name)}
                if changed:
                    panels = current
                    parts.append(_event("panels", json.dumps(changed)))
                for event in _after(newest, history.recent()):
                    newest = event.id
                    parts.append(_event("verdict", json.dumps(words.sentence(event))))
                if not parts and clock() - said_at >= _ALIVE_EVERY_S:
                    parts.append(": alive\n\n")
                if parts:
                    said_at = clock()
                    yield "".join(parts)
                await asyncio.sleep(_TICK_S)


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"


def _newest(events: tuple[Event, ...]) -> object:
    return events[0].id if events else None


def _after(newest: object, events: tuple[Event, ...]) -> list[Event]:
    """What came after the event of that id, the oldest first; `events` are the newest first."""
    new = []
    for event in events:
        if event.id == newest:
            break
        new.append(event)
    return new[::-1]
