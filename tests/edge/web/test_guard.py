"""What is refused: other hosts, other sites, paths that lead elsewhere; and what every answer carries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.web import Visitor, cut_off, page_served


@pytest.fixture(scope="module")
def visitor() -> Iterator[Visitor]:
    with page_served() as served:
        yield served


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST"])
def test_this_machines_own_names_are_answered(visitor: Visitor, host: str) -> None:
    assert visitor.ask("/", host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "[::1", "", "a@b", "192.0.2.1"]
)
def test_a_name_that_somebody_points_here_is_not(visitor: Visitor, host: str) -> None:
    answer = visitor.ask("/", host=host)
    assert answer.status == 421
    assert "web.token" in answer.text
    assert visitor.ask("/judge", "POST", b"x", host=host).status == 421


def test_with_a_token_the_page_has_any_name() -> None:
    with page_served(token="secret") as served:
        assert served.ask("/healthz", host="maskgate.example").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9999"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"sec_fetch_site": "cross-site", "origin": "http://localhost:8080"},
    ],
)
@pytest.mark.parametrize("path", ["/judge", "/login", "/logout"])
def test_a_post_of_another_site_is_refused(visitor: Visitor, headers: dict[str, str], path: str) -> None:
    assert visitor.ask(path, "POST", b"x", host="localhost:8080", **headers).status == 403


@pytest.mark.parametrize(
    "headers", [{}, {"origin": "http://localhost:8080"}, {"sec_fetch_site": "same-origin", "origin": "http://proxied"}]
)
def test_a_post_of_our_own_page_or_of_a_program_is_not(visitor: Visitor, headers: dict[str, str]) -> None:
    assert visitor.ask("/judge", "POST", b"x", host="localhost:8080", **headers).status == 422


def test_another_site_can_link_here_but_embed_nothing(visitor: Visitor) -> None:
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert visitor.ask("/", **link).status == 200
    for dest, mode in (("image", "no-cors"), ("iframe", "navigate"), ("empty", "cors"), ("script", "no-cors")):
        embedded = {"sec_fetch_site": "cross-site", "sec_fetch_mode": mode, "sec_fetch_dest": dest}
        assert visitor.ask("/live", **embedded).status == 403


@pytest.mark.parametrize("path", ["/", "/static/page.css", "/nothing", "/metrics", "/healthz"])
def test_every_answer_keeps_browsers_from_doing_more_than_is_meant(visitor: Visitor, path: str) -> None:
    headers = visitor.ask(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert (policy["script-src"], policy["style-src"], policy["frame-ancestors"]) == ("'self'", "'self'", "'none'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "camera=(self)" in headers["Permissions-Policy"]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == ("no-cache" if path.startswith("/static/") else "no-store")
    assert "Server" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static/..%5capp.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/page.css%00.js",
        "/static/",
        "/static",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/templates/base.html",
    ],
)
def test_no_path_leads_to_another_file(visitor: Visitor, path: str) -> None:
    assert visitor.ask(path).status == 404


def test_a_script_that_the_browser_has_is_not_sent_again(visitor: Visitor) -> None:
    first = visitor.ask("/static/live.js")
    assert first.headers["Content-Type"].startswith("text/javascript")
    again = visitor.ask("/static/live.js", if_none_match=first.headers["ETag"])
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "POST"])
def test_pages_are_only_read(visitor: Visitor, method: str) -> None:
    assert visitor.ask("/", method).status == 405


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n bad: folded\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
        b"POST /judge HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /judge HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_no_request_ends_its_connection_and_nothing_else(visitor: Visitor, raw: bytes) -> None:
    with visitor.connect() as connection:
        connection.sendall(raw)
        connection.shutdown(1)
        assert cut_off(connection)
    assert visitor.ask("/healthz").status == 200


def test_a_websocket_is_not_opened(visitor: Visitor) -> None:
    answer = visitor.ask("/live", "HEAD", connection="Upgrade", upgrade="websocket", sec_websocket_key="x" * 16)
    assert answer.status == 200
