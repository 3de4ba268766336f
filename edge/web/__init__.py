"""The local page: what the cameras see, what was said, and a look at a picture of one's own. Needs the extra `web`."""

from __future__ import annotations

from importlib.util import find_spec

from edge.errors import UnavailableError

_NEEDED = ("jinja2", "prometheus_client", "starlette", "uvicorn")


def require_extra() -> None:
    """Before anything else of this package is imported.

    Raises:
        UnavailableError: the packages of the extra are not there.
    """
    if not all(find_spec(name) for name in _NEEDED):
        raise UnavailableError("web.enabled: the local page needs an extra: pip install 'maskgate[web]'")
