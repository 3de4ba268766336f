"""Who may look when a token is set: sessions that begin with it, and a limit on guesses."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import secrets
from collections import deque
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger(__name__)

COOKIE = "maskgate_session"
SESSION_S = 7 * 24 * 3600.0
_MOST_SESSIONS = 256
_OPEN_PATHS = frozenset(["/login", "/healthz"])
_OPEN_FOLDER = "/static/"
_IPV6_SITE_BITS = 64
"""What one visitor of IPv6 has at least."""


class Sessions:
    """Random ids that were given for the token. In memory: a restart asks for the token again."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends: dict[bytes, float] = {}

    def begin(self) -> str:
        """A new session's id; the oldest session ends if there are too many."""
        if len(self._ends) >= _MOST_SESSIONS:
            del self._ends[next(iter(self._ends))]
        session = secrets.token_urlsafe(32)
        self._ends[_digest(session)] = self._clock() + SESSION_S
        return session

    def holds(self, session: str) -> bool:
        ends_at = self._ends.get(_digest(session))
        return ends_at is not None and self._clock() < ends_at

    def end(self, session: str) -> None:
        self._ends.pop(_digest(session), None)


class Guesses:
    """Counts wrong tokens: after `each` from one address, or `in_all` from everywhere, in `WINDOW_S` none is read."""

    WINDOW_S = 60.0

    def __init__(self, clock: Callable[[], float], each: int = 5, in_all: int = 50) -> None:
        self._clock = clock
        self._each = each
        self._in_all = in_all
        self._wrong: deque[tuple[float, str]] = deque()

    def wait_s(self, address: str) -> float:
        """How long an address has to wait for its next guess; 0 if it need not."""
        now = self._clock()
        while self._wrong and now - self._wrong[0][0] >= self.WINDOW_S:
            self._wrong.popleft()
        own = [at for at, guesser in self._wrong if guesser == _site(address)]
        if len(own) >= self._each:
            return own[-self._each] + self.WINDOW_S - now
        if len(self._wrong) >= self._in_all:
            return self._wrong[-self._in_all][0] + self.WINDOW_S - now
        return 0.0

    def wrong(self, address: str) -> None:
        self._wrong.append((self._clock(), _site(address)))


class Login:
    """Compares tokens in constant time, and remembers who gave the right one."""

    def __init__(self, token: str, clock: Callable[[], float]) -> None:
        self._token = token.encode()
        self.sessions = Sessions(clock)
        self.guesses = Guesses(clock)

    def right(self, token: str, address: str) -> bool:
        """Whether it is the token; a wrong one counts as a guess. Ask `guesses.wait_s` first, with no await between."""
        if hmac.compare_digest(token.encode("utf-8", "replace"), self._token):
            return True
        log.warning("page: a wrong token from %s", _site(address) or "an unknown address")
        self.guesses.wrong(address)
        return False


class Door:
    """Lets in who has a session, or the token as `Authorization: Bearer`; others get to the login and no further."""

    def __init__(self, app: ASGIApp, login: Login) -> None:
        self._app = app
        self._login = login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        connection = HTTPConnection(scope)
        open_to_all = path in _OPEN_PATHS or path.startswith(_OPEN_FOLDER)
        if open_to_all or self._login.sessions.holds(connection.cookies.get(COOKIE, "")):
            await self._app(scope, receive, send)
            return
        bearer = connection.headers.get("authorization", "")
        if bearer[:7].lower() == "bearer ":
            address = address_of(connection)
            wait_s = self._login.guesses.wait_s(address)
            if wait_s:
                answer = PlainTextResponse("Too many wrong tokens.\n", 429, {"Retry-After": f"{wait_s:.0f}"})
                await answer(scope, receive, send)
                return
            token = bearer[7:].encode("latin-1").decode("utf-8", "replace").strip()
            if self._login.right(token, address):
                await self._app(scope, receive, send)
                return
        await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET" and "text/html" in Headers(scope=scope).get("accept", ""):
            await RedirectResponse("/login", 303)(scope, receive, send)
        else:
            text = "A token is needed: log in, or send it as Authorization: Bearer.\n"
            await PlainTextResponse(text, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)


def address_of(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""


def _site(address: str) -> str:
    """One visitor: the address, of IPv6 its network; where both are listened for, IPv4 comes as `::ffff:192.0.2.1`."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed), _IPV6_SITE_BITS), strict=False))


def _digest(session: str) -> bytes:
    """What is looked up, so that the time of a look-up says nothing of an id."""
    return hashlib.sha256(session.encode("utf-8", "replace")).digest()
