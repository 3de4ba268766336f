"""The application: which path does what, and what stands before it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from edge.errors import ImageError, ModelError
from edge.web.assets import Assets
from edge.web.bodies import Turnstile, read_body
from edge.web.facts import Facts
from edge.web.guard import OwnHostOnly, OwnPagesOnly, SafeAnswers
from edge.web.judge import LIMITS, BusyError, Judge
from edge.web.login import Door, Login
from edge.web.metrics import CONTENT_TYPE, Metrics
from edge.web.pages import PATHS, Pages, problem_text
from edge.web.snapshots import Snapshots
from edge.web.stream import Stream

log = logging.getLogger(__name__)

HEALTH = "/healthz"
TURNING, HANGING = "ok\n", "not turning\n"
"""What is answered there."""
_JUDGE_LIMIT_S = 60.0


def make_app(facts: Facts, judge: Judge, snapshots: Snapshots, token: str, ending: Callable[[], bool]) -> Starlette:
    """Puts it together.

    Args:
        facts: of the daemon.
        judge: for pictures of visitors; runs in a thread of its own.
        snapshots: of verdicts; who calls has it look.
        token: what a visitor must know; empty answers to this machine's own names alone.
        ending: whether the server stops.
    """
    login = Login(token, facts.monotonic) if token else None
    pages, assets, metrics, turnstile = Pages(facts, login, snapshots), Assets(), Metrics(facts), Turnstile()
    stream = Stream(facts, pages.panels, login, ending)

    async def health(_: Request) -> Response:
        return PlainTextResponse(TURNING) if facts.turning() else PlainTextResponse(HANGING, 503)

    async def measures(_: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    async def judged(request: Request) -> Response:
        async with turnstile.place():
            data = await read_body(request, LIMITS.max_bytes)
            try:
                async with asyncio.timeout(_JUDGE_LIMIT_S):
                    record = await asyncio.wrap_future(judge.ask(data))
            except ImageError as error:
                raise HTTPException(422, str(error)) from None
            except BusyError as error:
                raise HTTPException(503, str(error), {"Retry-After": "1"}) from None
            except ModelError as error:
                log.error("the page cannot judge: %s", error)  # noqa: TRY400  the reason is in the text
                raise HTTPException(503, "the device cannot load its models", {"Retry-After": "60"}) from None
            except TimeoutError:
                raise HTTPException(503, "took too long", {"Retry-After": "10"}) from None
        return Response(record.to_json(), media_type="application/json")

    return Starlette(
        routes=[
            *(Route(path, pages.page) for path in PATHS),
            Route("/login", pages.login, methods=["GET", "POST"]),
            Route("/logout", pages.logout, methods=["POST"]),
            Route("/live", stream.answer),
            Route("/judge", judged, methods=["POST"]),
            Route("/snapshot/{name}", snapshots.answer),
            Route("/static/{name}", assets.answer),
            Route(HEALTH, health),
            Route("/metrics", measures),
        ],
        middleware=[
            Middleware(SafeAnswers),
            *([Middleware(OwnHostOnly)] if login is None else []),
            Middleware(OwnPagesOnly),
            *([Middleware(Door, login=login)] if login is not None else []),
        ],
        exception_handlers={404: pages.missing, HTTPException: problem_text},
    )
