"""The local page's server with made-up facts, and a client that says exactly what it is told to."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np

from edge.assembly import Vision
from edge.daemon.worker import Worker
from edge.history import History, Tally
from edge.messages import Counts, OutboxStatus, SourceStatus, Status
from edge.people import TrackState
from edge.settings import Settings, WebSettings
from edge.views import View, Views
from edge.vision.classifier import Label
from edge.vision.geometry import Box
from edge.web.app import make_app
from edge.web.facts import Broker, Facts
from edge.web.judge import Judge
from edge.web.server import PageServer
from edge.web.snapshots import Snapshots
from support.components import eventually, free_port

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
_LIMIT_S = 10.0


def a_status(**changes: object) -> Status:
    source = SourceStatus(
        name="door", kind="camera", state="ok", frames=120, analysed=100, fps=9.8, last_frame_age_s=0.1, reconnects=2,
        error=None,
    )  # fmt: skip
    status = Status(
        version="0.1.0",
        device="lobby-1",
        time=NOON,
        uptime_s=4000.0,
        state="running",
        sources=(source,),
        counts=Counts(mask=7, no_mask=2),
        outbox=OutboxStatus(pending=3, dropped=0, oldest_age_s=12.0),
        models=(),
        runtime="some 1.0",
        temperature_c=51.5,
        throttled=False,
        rss_mb=100.0,
    )
    return status.model_copy(update=changes)


def some_facts(**changes: object) -> Facts:
    facts = Facts(
        cameras=("door", "yard"),
        views=Views(),
        tally=Tally(lambda: NOON),
        history=History(),
        snapshots="off",
        cards=(),
        monotonic=time.monotonic,
        status=a_status,
        broker=lambda: Broker("broker.example:1883", None),
        turning=lambda: True,
    )
    return replace(facts, **changes)  # type: ignore[arg-type]


def a_view(source: str = "door", at: float = 0.0, shade: int = 90) -> View:
    """One person in view, whose verdict forms."""
    track = TrackState(
        "boot-1", Box(400, 100, 200, 240), in_sight=True, label=Label.NO_MASK, p_mask=0.04, said=None, progress=0.67,
        too_small=False,
    )  # fmt: skip
    return View(source, np.full((720, 1280, 3), shade, np.uint8), at, (track,), ())


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Visitor:
    """Speaks to the server; its headers go with every request."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """`headers` are named with underscores: `content_type`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_LIMIT_S)
        named = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """A bare connection, for those who do not keep to the protocol."""
        return socket.create_connection(("127.0.0.1", self.port), _LIMIT_S)

    @contextmanager
    def stream(self, path: str) -> Iterator[http.client.HTTPResponse]:
        """An answer that goes on; read it by lines."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_LIMIT_S)
        try:
            connection.request("GET", path, headers=self.headers)
            yield connection.getresponse()
        finally:
            connection.close()


@contextmanager
def page_served(
    facts: Facts | None = None,
    token: str = "",
    load: Callable[[], Vision] = lambda: Vision.load(Settings()),
    host: str = "127.0.0.1",
) -> Iterator[Visitor]:
    """The page, which is visited on loopback."""
    known = facts or some_facts()
    judge = Judge(load)
    settings = WebSettings(enabled=True, host=host, port=free_port())
    snapshots = Snapshots(known.snapshots, known.cameras, known.views)
    server = PageServer(settings, lambda ending: make_app(known, judge, snapshots, token, ending), snapshots.looking)
    server.listen()
    visitor = Visitor(settings.port)
    with Worker("page", server.run, 5) as page, Worker("judge", judge.run, 5) as judging:
        eventually(lambda: page.died_of is not None or visitor.ask("/healthz").status, 10)
        yield visitor
    assert page.died_of is None
    assert judging.died_of is None


def cut_off(connection: socket.socket) -> bool:
    """Whether the other side ends the connection, within the client's limit."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True
