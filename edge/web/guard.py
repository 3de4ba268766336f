"""What is refused before anything else looks at a request, and what every answer carries."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SAFE_METHODS = frozenset(["GET", "HEAD", "OPTIONS"])
_LOCAL_NAMES = frozenset(["localhost", "127.0.0.1", "::1"])
_ANSWER_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer the Origin of our own forms would be null
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=()",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class SafeAnswers:
    """Adds the headers that keep a browser from doing more with an answer than this page means."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_ANSWER_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class OwnHostOnly:
    """Without a token the page answers to this machine's own names only.

    A page elsewhere can point its own name at 127.0.0.1 (DNS rebinding), and a proxy can lead the world in: both show
    in the Host header.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _host_name(Headers(scope=scope).get("host", "")) in _LOCAL_NAMES:
            await self._app(scope, receive, send)
        else:
            text = "This page answers to localhost only. To reach it by another name, set web.token.\n"
            await PlainTextResponse(text, 421)(scope, receive, send)


class OwnPagesOnly:
    """No request that a page of another site makes: not what changes anything, and not what it would embed.

    Browsers say who asks in Sec-Fetch-Site, over plain HTTP in Origin. A request with neither comes from no page.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._foreign(Headers(scope=scope), scope["method"]):
            await PlainTextResponse("Requests of other sites are not answered.\n", 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _foreign(self, headers: Headers, method: str) -> bool:
        site = headers.get("sec-fetch-site")
        if method in _SAFE_METHODS:
            followed_a_link = (
                headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
            )
            return site not in (None, "same-origin", "none") and not followed_a_link
        if site is not None:
            return site != "same-origin"
        origin = headers.get("origin")
        return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


def _host_name(host: str) -> str:
    """Of a Host header, without port and brackets; empty if it makes no sense."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
