"""The live stream: made while somebody looks, once for all who do."""

from __future__ import annotations

import base64
import http.client
import json
import re
from collections import Counter
from contextlib import ExitStack

import cv2
import numpy as np
import pytest

from edge.views import Views
from edge.vision.classifier import Label
from edge.web import live, stream
from edge.web.facts import Broker
from edge.web.live import FRAMES_PER_S, Live
from support.clock import Clock
from support.components import eventually
from support.messages import an_event
from support.web import a_status, a_view, page_served, some_facts


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each picture that is encoded."""
    calls: list[int] = []
    original = cv2.imencode

    def counted(*arguments: object) -> object:
        calls.append(1)
        return original(*arguments)  # type: ignore[call-overload]

    monkeypatch.setattr(live.cv2, "imencode", counted)
    return calls


def test_nothing_is_encoded_while_nobody_looks(encoded: list[int]) -> None:
    views = Views()
    Live(views, Clock(0.0))
    views.offer(a_view())
    assert not views.wanted("door")
    assert encoded == []


def test_those_who_look_share_each_picture_and_its_rate_is_bounded(encoded: list[int]) -> None:
    views, clock = Views(), Clock(0.0)
    page = Live(views, clock)
    with page.channel("door") as one, page.channel("door") as other:
        assert one is other
        for step in range(30):  # frames come at 30 a second
            clock.now = step / 30
            views.offer(a_view(at=clock.now))
            one.refresh()
            other.refresh()
        assert len(encoded) == one.number == round(FRAMES_PER_S)
        assert not views.wanted("yard")
    assert not views.wanted("door")


def test_a_message_holds_a_small_picture_and_who_is_in_it() -> None:
    views = Views()
    page = Live(views, Clock(0.0))
    with page.channel("door") as channel:
        views.offer(a_view(shade=90))
        channel.refresh()
        message = json.loads(channel.message)
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(message.pop("jpeg")), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (360, 640, 3)
    assert abs(int(picture.mean()) - 90) <= 1
    person = {
        "id": "boot-1", "box": {"x": 400, "y": 100, "width": 200, "height": 240}, "label": "no_mask", "p_mask": 0.04,
        "said": False, "progress": 0.67, "too_small": False,
    }  # fmt: skip
    assert message == {"source": "door", "width": 1280, "height": 720, "people": [person]}


def next_of(kind: str, answer: http.client.HTTPResponse) -> str:
    while True:
        line = answer.readline().decode()
        assert line, "the stream ended"
        if line == f"event: {kind}\n":
            return answer.readline().decode().removeprefix("data: ").rstrip("\n")


def test_a_page_gets_panels_pictures_and_verdicts_and_lets_go_when_it_closes() -> None:
    facts = some_facts()
    with page_served(facts) as visitor:
        with visitor.stream("/live?source=door&source=nowhere") as answer:
            assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            panels = json.loads(next_of("panels", answer))
            assert set(panels) == {"state", "sources", "today", "snapshots", "events", "device"}
            assert "broker.example:1883" in panels["sources"]
            assert facts.views.wanted("door")
            assert not facts.views.wanted("yard")

            facts.views.offer(a_view())
            assert json.loads(next_of("frame", answer))["source"] == "door"
            facts.tally.add(Label.NO_MASK)
            facts.history.note(an_event())
            changed = json.loads(next_of("panels", answer))
            assert "No mask" in changed["events"]
            assert json.loads(next_of("verdict", answer)) == "door: No mask, 98 %"
        eventually(lambda: not facts.views.wanted("door"))


def test_a_paused_page_looks_at_no_camera() -> None:
    facts = some_facts()
    with page_served(facts) as visitor, visitor.stream("/live") as answer:
        next_of("panels", answer)
        assert not facts.views.wanted("door")


def test_streams_end_when_the_server_does() -> None:
    facts = some_facts()
    with page_served(facts) as visitor:
        stream_of_one = visitor.stream("/live?source=door")
        answer = stream_of_one.__enter__()
        next_of("panels", answer)
    assert answer.read() is not None
    assert not facts.views.wanted("door")
    stream_of_one.__exit__(None, None, None)


def test_only_so_many_can_look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_STREAMS", 1)
    with page_served() as visitor:
        with visitor.stream("/live") as answer:
            next_of("panels", answer)
            refused = visitor.ask("/live")
            assert (refused.status, refused.headers["Retry-After"]) == (503, "10")
            assert visitor.ask("/").status == 200
        eventually(lambda: visitor.ask("/live", "HEAD").status == 200)


def test_no_more_can_look_when_all_come_at_once() -> None:
    with page_served() as visitor, ExitStack() as opened:
        crowd = [opened.enter_context(visitor.connect()) for _ in range(3 * stream.MOST_STREAMS)]
        for connection in crowd:
            connection.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answers = Counter(connection.recv(12) for connection in crowd)

        assert answers == {b"HTTP/1.1 200": stream.MOST_STREAMS, b"HTTP/1.1 503": 2 * stream.MOST_STREAMS}


def test_who_goes_away_at_once_gives_the_place_back() -> None:
    with page_served() as visitor:
        for _ in range(2 * stream.MOST_STREAMS):
            with visitor.connect() as connection:
                connection.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")

        def all_can_look() -> bool:
            with ExitStack() as opened:
                answers = [opened.enter_context(visitor.stream("/live")) for _ in range(stream.MOST_STREAMS)]
                return {answer.status for answer in answers} == {200}

        eventually(all_can_look)


def test_what_comes_from_outside_is_shown_as_text() -> None:
    evil = "<script>alert(1)</script>"
    source = a_status().sources[0].model_copy(update={"state": "lost", "error": evil})
    facts = some_facts(status=lambda: a_status(sources=(source,), state="degraded"), broker=lambda: Broker(evil, evil))
    with page_served(facts) as visitor:
        page = visitor.ask("/").text
    assert evil not in page
    assert page.count("&lt;script&gt;alert(1)") == 3
    assert "Needs attention" in page


def test_metrics_say_what_the_status_says() -> None:
    facts = some_facts(turning=lambda: False, broker=lambda: Broker("b:1", "not connected yet"))
    facts.history.note(an_event())
    with page_served(facts) as visitor:
        text = visitor.ask("/metrics").text
        assert visitor.ask("/healthz").status == 503
    values = dict(re.findall(r"^(maskgate_\S+) (\S+)$", text, re.M))
    door = '{kind="camera",source="door"}'
    assert values['maskgate_verdicts_total{label="mask"}'] == "7.0"
    assert values[f"maskgate_source_up{door}"] == "1.0"
    assert values[f"maskgate_source_fps{door}"] == "9.8"
    assert values["maskgate_broker_up"] == "0.0"
    assert values["maskgate_outbox_pending"] == "3.0"
    assert values["maskgate_temperature_celsius"] == "51.5"
    assert values['maskgate_event_latency_seconds_bucket{le="0.05"}'] == "1.0"
    assert not [name for name in values if name.startswith(("python_", "process_"))]
