"""Scripts, styles and the icon: read once at the start, so that no request ever names a path of the disk."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Assets:
    """The files of `static/` by name."""

    def __init__(self) -> None:
        folder = files("edge.web") / "static"
        contents = {file.name: file.read_bytes() for file in folder.iterdir() if _ending(file.name) in _TYPES}
        self._files = {name: (data, f'"{hashlib.sha256(data).hexdigest()[:16]}"') for name, data in contents.items()}

    async def answer(self, request: Request) -> Response:
        """One of them, or 304 where the browser has it; asked for each time, so that an upgrade is seen at once."""
        name = request.path_params["name"]
        if name not in self._files:
            raise HTTPException(404)
        data, tag = self._files[name]
        headers = {"Cache-Control": "no-cache", "ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, media_type=_TYPES[_ending(name)], headers=headers)


def _ending(name: str) -> str:
    return name[name.rfind(".") :]
