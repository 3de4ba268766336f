"""Clients that are slow, silent, stuck, or too many; and bodies that do not end."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace

import numpy as np
import pytest

from edge.daemon.worker import Worker
from edge.errors import MaskgateError
from edge.settings import WebSettings
from edge.views import View
from edge.web import bodies, server
from edge.web.judge import LIMITS
from edge.web.server import PageServer
from support.components import eventually, free_port
from support.web import Visitor, a_view, cut_off, page_served, some_facts

HEAD = b"POST /judge HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADER_LIMIT_S", 0.3)
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 0.3)
    monkeypatch.setattr(server, "STUCK_AFTER_S", 0.3)
    monkeypatch.setattr(server, "VANISHED_AFTER_S", 600.0)
    monkeypatch.setattr(bodies, "BODY_LIMIT_S", 0.3)


@pytest.fixture
def visitor() -> Iterator[Visitor]:
    with page_served() as served:
        yield served


def send_slowly(connection: socket.socket, parts: Iterable[bytes], pause_s: float) -> int:
    """Sends until the other side has had enough; how many bytes went out."""
    sent = 0
    for part in parts:
        try:
            connection.sendall(part)
        except ConnectionError:
            return sent
        sent += len(part)
        time.sleep(pause_s)
    pytest.fail(f"{sent} bytes were taken")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "said",
    [b"", b"G", b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /"],
    ids=["nothing", "a letter", "half a head", "half a second one"],
)
def test_a_head_that_does_not_come_ends_the_connection(visitor: Visitor, said: bytes) -> None:
    with visitor.connect() as connection:
        connection.sendall(said)
        assert cut_off(connection)


@pytest.mark.usefixtures("impatient")
def test_a_head_that_comes_letter_by_letter_ends_it_too(visitor: Visitor) -> None:
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Padding: " + b"x" * 200
    with visitor.connect() as connection:
        assert send_slowly(connection, (bytes([letter]) for letter in head), 0.02) < 100


@pytest.mark.usefixtures("impatient")
def test_a_body_that_does_not_come_is_not_waited_for(visitor: Visitor) -> None:
    with visitor.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\nabc")
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
        assert cut_off(connection)


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(visitor: Visitor) -> None:
    with visitor.connect() as connection:
        connection.sendall(HEAD + f"Content-Length: {LIMITS.max_bytes + 1}\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


CHUNK = b"10000\r\n" + bytes(0x10000) + b"\r\n"


def test_a_body_in_chunks_is_refused_when_it_passes_the_limit_not_at_its_end(visitor: Visitor) -> None:
    with visitor.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(LIMITS.max_bytes // 0x10000 + 1):
            connection.sendall(CHUNK)
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.usefixtures("impatient")
def test_a_body_in_chunks_without_end_is_cut_off(visitor: Visitor) -> None:
    with visitor.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        assert send_slowly(connection, [CHUNK] * 10_000, 0.0005) > 0


def test_large_bodies_that_dawdle_take_no_more_than_their_places(visitor: Visitor) -> None:
    dawdlers = [visitor.connect() for _ in range(4)]
    for connection in dawdlers:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\nabc")
    answer = eventually(lambda: (got := visitor.ask("/judge", "POST", b"x")).status == 503 and got)
    assert answer.headers["Retry-After"] == "1"
    assert visitor.ask("/").status == 200

    for connection in dawdlers:
        connection.close()
    eventually(lambda: visitor.ask("/judge", "POST", b"x").status == 422)


def test_200_idle_connections_disturb_nobody(visitor: Visitor) -> None:
    idle = [visitor.connect() for _ in range(200)]
    assert visitor.ask("/healthz").status == 200
    assert visitor.ask("/").status == 200
    for connection in idle:
        connection.close()


HALF_A_LOGIN = (
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 100\r\n\r\ntoken="
)


@pytest.mark.parametrize(
    "said", [b"", b"GET / HTT", HALF_A_LOGIN, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    ids=["nothing", "half a head", "half a body", "one question, and no more"],
)  # fmt: skip
def test_too_many_that_keep_us_waiting_make_room_for_one_that_asks(
    monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 20)
    with page_served(token="a token of some length") as visitor, ExitStack() as opened:
        waiting = []
        for _ in range(40):
            waiting.append(opened.enter_context(visitor.connect()))
            waiting[-1].sendall(said)
            assert visitor.ask("/healthz").status == 200
        waiting[0].settimeout(5)
        assert cut_off(waiting[0])


def test_who_is_being_answered_keeps_its_place(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 20)
    with visitor.stream("/live") as live, ExitStack() as opened:
        assert live.readline()
        for _ in range(40):
            opened.enter_context(visitor.connect()).sendall(HALF_A_LOGIN)
        assert visitor.ask("/healthz").status == 200
        assert live.readline()


def test_one_who_has_just_been_answered_goes_after_those_who_stalled_before(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 20)
    regular = http.client.HTTPConnection("127.0.0.1", visitor.port, timeout=5)
    with closing(regular), ExitStack() as opened:
        regular.connect()
        kept = regular.sock
        for _ in range(40):
            opened.enter_context(visitor.connect()).sendall(HALF_A_LOGIN)
            regular.request("GET", "/healthz")
            assert regular.getresponse().read()
        assert regular.sock is kept


@pytest.mark.usefixtures("impatient")
def test_one_who_takes_nothing_of_a_stream_is_given_up() -> None:
    facts = some_facts()
    with page_served(facts) as visitor, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", visitor.port))
        connection.sendall(b"GET /live?source=door HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: facts.views.wanted("door"))
        eventually(lambda: facts.views.offer(a_noisy_view()) or not facts.views.wanted("door"), 30)


def a_noisy_view() -> View:
    """Of which no two are alike, and which no JPEG makes small."""
    return replace(a_view(), image=np.random.default_rng().integers(0, 256, (480, 640, 3), np.uint8))


def test_a_server_that_ends_by_itself_is_a_thread_that_died(monkeypatch: pytest.MonkeyPatch) -> None:
    async def end_at_once(*_: object) -> None:
        return None

    monkeypatch.setattr("uvicorn.Server.serve", end_at_once)
    page = PageServer(WebSettings(enabled=True, port=free_port()), lambda _: None)  # type: ignore[arg-type, return-value]
    page.listen()
    worker = Worker("page", page.run, 5)
    eventually(lambda: worker.died_of)
    assert isinstance(worker.died_of, MaskgateError)
