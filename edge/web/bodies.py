"""Request bodies with limits that hold while they come in, not after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

BODY_LIMIT_S = 30.0
"""From the first byte to the last: a phone's picture on a slow wireless network."""
_AT_ONCE = 4
"""Bodies that are held in memory at any time."""


async def read_body(request: Request, limit: int) -> bytes:
    """The body, of at most `limit` bytes.

    Raises:
        HTTPException: 400 broken off, 408 too slow, 413 too large.
    """
    declared = request.headers.get("content-length", "0")
    too_large = HTTPException(413, f"larger than {limit} bytes")
    if not declared.isdecimal() or len(declared) > 12 or int(declared) > limit:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_LIMIT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        raise HTTPException(408, f"did not come within {BODY_LIMIT_S:.0f} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "broken off") from None
    return bytes(body)


class Turnstile:
    """Lets a few large bodies in at a time and turns the others away, so that memory has a bound."""

    def __init__(self, places: int = _AT_ONCE) -> None:
        self._free = places

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Takes a place for the length of the block.

        Raises:
            HTTPException: 503, all are taken.
        """
        if not self._free:
            raise HTTPException(503, "busy with other pictures; try again in a moment", {"Retry-After": "1"})
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1
