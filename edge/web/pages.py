"""What a browser shows: four pages and the login."""

from __future__ import annotations

import math
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from edge.web.bodies import read_body
from edge.web.facts import Facts
from edge.web.login import COOKIE, SESSION_S, Login, address_of
from edge.web.panels import Panels, environment
from edge.web.snapshots import Snapshots

_LOGIN_FIELDS = 10
_LOGIN_BYTES = 8192
_PAGES = {"/": "live.html", "/camera": "camera.html", "/picture": "picture.html", "/model": "model.html"}
PATHS = tuple(_PAGES)


class Pages:
    """Renders them.

    Args:
        facts: of the daemon.
        login: None where no token is set.
        snapshots: of verdicts.
    """

    def __init__(self, facts: Facts, login: Login | None, snapshots: Snapshots) -> None:
        self._facts = facts
        self._login = login
        self._templates = environment()
        self.panels = Panels(facts, self._templates, snapshots)

    async def page(self, request: Request) -> Response:
        return self._render(_PAGES[request.url.path], request.url.path)

    async def login(self, request: Request) -> Response:
        """Shows the form, or takes the token from it."""
        if self._login is None:
            return RedirectResponse("/", 303)
        if request.method != "POST":
            return self._render("login.html", problem="")
        sent = (await read_body(request, _LOGIN_BYTES)).decode("utf-8", "replace")
        address = address_of(request)
        # From here on nothing is awaited: others would be let through to guess at the same time.
        wait_s = self._login.guesses.wait_s(address)
        if wait_s:
            problem = f"Too many wrong tokens. Try again in {math.ceil(wait_s)} seconds."
            return self._render("login.html", status=429, headers={"Retry-After": f"{wait_s:.0f}"}, problem=problem)
        if not self._login.right(_token_in(sent), address):
            return self._render("login.html", status=403, problem="That is not the token.")
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE,
            self._login.sessions.begin(),
            max_age=int(SESSION_S),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    async def logout(self, request: Request) -> Response:
        if self._login is not None:
            self._login.sessions.end(request.cookies.get(COOKIE, ""))
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    async def missing(self, _: Request, __: Exception) -> Response:
        return self._render("missing.html", status=404)

    def _render(
        self,
        template: str,
        path: str = "",
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        **values: object,
    ) -> Response:
        known = {
            "path": path,
            "has_login": self._login is not None,
            "facts": self._facts,
            "status": self._facts.status(),
            "panels": self.panels.current() if path else {},
        }
        html = self._templates.get_template(template).render(known | values)
        return HTMLResponse(html, status, headers)


async def problem_text(_: Request, problem: Exception) -> Response:
    """For scripts and programs: the status and one line."""
    if not isinstance(problem, HTTPException):
        raise problem
    return Response(f"{problem.detail}\n", problem.status_code, problem.headers, "text/plain; charset=utf-8")


def _token_in(form: str) -> str:
    """The token of a login form; what is no such form holds none."""
    try:
        return parse_qs(form, max_num_fields=_LOGIN_FIELDS).get("token", [""])[0].strip()
    except ValueError:
        return ""
