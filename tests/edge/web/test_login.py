"""Who gets in: the token, sessions, and a limit on guesses."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import quote_plus

import pytest

from edge.web.login import SESSION_S, Guesses, Sessions
from support.clock import Clock
from support.web import Answer, Visitor, page_served

TOKEN = "correct horse battery"


@pytest.fixture
def visitor() -> Iterator[Visitor]:
    with page_served(token=TOKEN) as served:
        yield served


def log_in(visitor: Visitor, token: str = TOKEN, **headers: str) -> Answer:
    body = f"token={token.replace(' ', '+')}".encode()
    return visitor.ask("/login", "POST", body, content_type="application/x-www-form-urlencoded", **headers)


@pytest.mark.parametrize("path", ["/", "/camera", "/picture", "/model", "/live", "/metrics", "/nothing"])
def test_without_the_token_nothing_is_shown(visitor: Visitor, path: str) -> None:
    answer = visitor.ask(path)
    assert answer.status == 401
    assert b"door" not in answer.body

    browser = visitor.ask(path, accept="text/html,*/*")
    assert (browser.status, browser.headers["Location"]) == (303, "/login")


def test_a_picture_is_not_looked_at_without_the_token(visitor: Visitor) -> None:
    assert visitor.ask("/judge", "POST", b"x").status == 401


def test_the_token_begins_a_session_whose_cookie_scripts_and_other_sites_do_not_get(visitor: Visitor) -> None:
    answer = log_in(visitor)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert TOKEN not in cookie

    session = cookie.split(";")[0]
    assert visitor.ask("/", cookie=session).status == 200
    assert visitor.ask("/", cookie=session[:-1] + "x").status == 401

    assert visitor.ask("/logout", "POST", cookie=session).status == 303
    assert visitor.ask("/", cookie=session).status == 401


def test_who_logs_out_sees_nothing_more_and_others_do(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.web.stream._ALIVE_EVERY_S", 0.5)
    sessions = [log_in(visitor).headers["Set-Cookie"].split(";")[0] for _ in range(2)]
    looking = [Visitor(visitor.port, {"Cookie": session}) for session in sessions]
    program = Visitor(visitor.port, {"Authorization": f"Bearer {TOKEN}"})
    with looking[0].stream("/live") as left, looking[1].stream("/live") as stays, program.stream("/live") as bearer:
        assert {stream.status for stream in (left, stays, bearer)} == {200}
        assert visitor.ask("/logout", "POST", cookie=sessions[0]).status == 303
        left.read()  # to the end of the stream
        assert looking[0].ask("/live").status == 401
        for stream in (stays, bearer):
            with pytest.raises(TimeoutError):
                read_for(1.0, stream)


def read_for(seconds: float, stream: http.client.HTTPResponse) -> None:
    """Reads to the end, if it comes in time."""
    deadline = time.monotonic() + seconds
    while stream.read1():
        if time.monotonic() > deadline:
            raise TimeoutError


def test_behind_tls_the_cookie_is_for_tls_alone(visitor: Visitor) -> None:
    answer = log_in(visitor, x_forwarded_proto="https", x_forwarded_for="192.0.2.7")
    assert "Secure" in answer.headers["Set-Cookie"].split("; ")


def test_a_program_sends_the_token_with_each_request(visitor: Visitor) -> None:
    assert visitor.ask("/metrics", authorization=f"Bearer {TOKEN}").status == 200
    assert visitor.ask("/metrics", authorization="Bearer wrong").status == 401


def test_five_wrong_tokens_end_the_guessing_for_that_address_and_no_other(visitor: Visitor) -> None:
    guesser = {"x_forwarded_for": "192.0.2.66"}
    assert [log_in(visitor, "guess", **guesser).status for _ in range(6)] == [403] * 5 + [429]
    right = log_in(visitor, **guesser)
    assert right.status == 429
    assert 0 < int(right.headers["Retry-After"]) <= 60
    assert b"Too many wrong tokens" in right.body
    assert visitor.ask("/metrics", authorization=f"Bearer {TOKEN}", **guesser).status == 429

    assert log_in(visitor, x_forwarded_for="192.0.2.67").status == 303


def test_a_form_with_a_hundred_fields_is_a_wrong_guess(visitor: Visitor) -> None:
    guesser = {"x_forwarded_for": "192.0.2.66"}
    many = f"{TOKEN}&" + "&".join(f"field{number}=1" for number in range(100))
    assert [log_in(visitor, many, **guesser).status for _ in range(6)] == [403] * 5 + [429]


def test_a_login_form_with_megabytes_in_it_is_not_read(visitor: Visitor) -> None:
    assert log_in(visitor, "x" * 100_000).status == 413


def test_a_stranger_learns_no_version(visitor: Visitor) -> None:
    from edge import __version__

    for path in ("/login", "/static/nothing.js", "/healthz"):
        assert __version__ not in visitor.ask(path).text


def test_health_is_told_to_everybody(visitor: Visitor) -> None:
    assert (visitor.ask("/healthz").status, visitor.ask("/healthz").text) == (200, "ok\n")


def test_guesses_are_forgotten_after_a_minute() -> None:
    clock = Clock(1000.0)
    guesses = Guesses(clock, each=2, in_all=3)
    guesses.wrong("192.0.2.1")
    clock.now += 20
    guesses.wrong("192.0.2.1")
    assert guesses.wait_s("192.0.2.1") == 40
    assert guesses.wait_s("192.0.2.2") == 0
    clock.now += 40
    assert guesses.wait_s("192.0.2.1") == 0


def test_guesses_from_everywhere_have_a_limit_too() -> None:
    clock = Clock(1000.0)
    guesses = Guesses(clock, each=5, in_all=3)
    for last in range(3):
        guesses.wrong(f"192.0.2.{last}")
    assert guesses.wait_s("198.51.100.1") == 60


def test_addresses_of_one_ipv6_network_are_one_guesser() -> None:
    guesses = Guesses(Clock(1000.0), each=2)
    guesses.wrong("2001:db8:1:2::1")
    guesses.wrong("2001:db8:1:2:ffff::9")
    assert guesses.wait_s("2001:db8:1:2::77") > 0
    assert guesses.wait_s("2001:db8:1:3::1") == 0


def test_addresses_of_ipv4_are_told_apart_where_ipv6_is_listened_for_too() -> None:
    guesses = Guesses(Clock(1000.0), each=2)
    guesses.wrong("::ffff:192.0.2.1")
    guesses.wrong("192.0.2.1")
    assert guesses.wait_s("::ffff:192.0.2.1") > 0
    assert guesses.wait_s("::ffff:192.0.2.2") == 0
    assert guesses.wait_s("::1") == 0


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_a_proxy_on_this_machine_is_believed_where_ipv6_is_listened_for_too() -> None:
    with page_served(token=TOKEN, host="::") as visitor:
        for _ in range(5):
            assert log_in(visitor, "guess", x_forwarded_for="192.0.2.66").status == 403
        assert log_in(visitor, x_forwarded_for="192.0.2.66").status == 429
        assert log_in(visitor, x_forwarded_for="192.0.2.67").status == 303


def test_a_session_ends_after_a_week_and_there_are_never_too_many() -> None:
    clock = Clock(1000.0)
    sessions = Sessions(clock)
    first = sessions.begin()
    assert sessions.holds(first)
    clock.now += SESSION_S
    assert not sessions.holds(first)

    kept = [sessions.begin() for _ in range(300)]
    assert not sessions.holds(kept[0])
    assert sessions.holds(kept[-1])


def test_guesses_that_are_begun_together_are_no_more_than_others(visitor: Visitor) -> None:
    head = (
        "POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Forwarded-For: 192.0.2.68\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 11\r\n\r\n"
    )
    with ExitStack() as closing:
        guessers = [closing.enter_context(visitor.connect()) for _ in range(20)]
        for guesser in guessers:
            guesser.sendall(head.encode())
        time.sleep(0.5)  # the server has read the heads and waits for what follows
        for guesser in guessers:
            guesser.sendall(b"token=guess")
        statuses = sorted(int(guesser.recv(4096).split()[1]) for guesser in guessers)

    assert statuses == [403] * 5 + [429] * 15


@pytest.mark.parametrize("token", ["voilà", "à la carte"])
def test_a_token_with_letters_of_any_language_is_taken_from_people_and_programs(token: str) -> None:
    with page_served(token=token) as visitor:
        sent = token.encode().decode("latin-1")
        assert visitor.ask("/metrics", authorization=f"Bearer {sent}").status == 200
        assert log_in(visitor, quote_plus(token)).status == 303
