"""Pictures of visitors: each gets its own answer, one at a time, and none brings anything down."""

from __future__ import annotations

import json
import struct
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.assembly import Vision
from edge.daemon.worker import Worker
from edge.errors import ModelError
from edge.settings import Settings
from edge.vision.analyzer import Analyzer
from edge.vision.geometry import Image
from edge.web.judge import BusyError, Judge
from support.web import Visitor, page_served


@pytest.fixture(scope="module")
def visitor() -> Iterator[Visitor]:
    with page_served() as served:
        yield served


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG of any claimed size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def test_a_picture_comes_back_as_the_record_that_classify_prints(visitor: Visitor, pictures: Path) -> None:
    answer = visitor.ask("/judge", "POST", (pictures / "bare.jpg").read_bytes())
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    record = json.loads(answer.body)
    assert (record["schema"], record["summary"]) == ("maskgate.image/1", "no_mask")
    assert (record["width"], record["height"]) == (512, 600)
    assert len(record["faces"]) == 1

    masked = json.loads(visitor.ask("/judge", "POST", (pictures / "masked.png").read_bytes()).body)
    assert masked["summary"] == "mask"
    nobody = json.loads(visitor.ask("/judge", "POST", (pictures / "nobody.jpg").read_bytes()).body)
    assert (nobody["summary"], nobody["faces"]) == ("no_face", [])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the file is empty"),
        (b"GIF89a" + bytes(100), "not a picture of a known format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (b"%PDF-1.7", "not a picture"),
        (png(30_000, 30_000), "more than the limit of 25 million"),
        (png(2**31 - 1, 2**31 - 1), "more than the limit"),
        (png(100, 100, bytes(10)), "damaged"),
        (b"\xff\xd8\xff\xe0" + bytes(20), "damaged"),
    ],
)
def test_what_is_no_picture_or_a_bomb_is_refused_with_the_reason(visitor: Visitor, body: bytes, reason: str) -> None:
    answer = visitor.ask("/judge", "POST", body)
    assert answer.status == 422
    assert reason in answer.text


def test_visitors_at_the_same_time_get_each_their_own_answer(visitor: Visitor, pictures: Path) -> None:
    sent = {name: (pictures / name).read_bytes() for name in ("bare.jpg", "masked.png", "nobody.jpg")}
    expected = {"bare.jpg": "no_mask", "masked.png": "mask", "nobody.jpg": "no_face"}
    answers: list[tuple[str, int, str]] = []

    def visit(name: str) -> None:
        for _ in range(4):
            answer = visitor.ask("/judge", "POST", sent[name])
            answers.append((name, answer.status, json.loads(answer.body)["summary"] if answer.status == 200 else ""))

    threads = [threading.Thread(target=visit, args=(name,)) for name in sent]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {(status, summary == expected[name]) for name, status, summary in answers if status != 503} == {(200, True)}
    assert len(answers) == 12


def held(release: threading.Event, analyses: threading.Semaphore) -> Vision:
    """Models that look for as long as they are told to."""

    class Held(Analyzer):
        def __init__(self) -> None:
            pass

        def analyze(self, _: Image) -> tuple[()]:
            analyses.release()
            release.wait(10)
            return ()

    return replace(Vision.load(Settings()), analyzer=Held())


A_PICTURE = cv2.imencode(".jpg", np.full((40, 40, 3), 90, np.uint8))[1].tobytes()


def test_one_is_looked_at_two_wait_and_the_next_is_told_to_come_again() -> None:
    release, analyses = threading.Event(), threading.Semaphore(0)
    judge = Judge(lambda: held(release, analyses))
    with Worker("judge", judge.run, 10):
        first = judge.ask(A_PICTURE)
        assert analyses.acquire(timeout=10)
        waiting = [judge.ask(A_PICTURE), judge.ask(A_PICTURE)]
        with pytest.raises(BusyError):
            judge.ask(A_PICTURE)
        assert not any(each.done() for each in (first, *waiting))
        release.set()
        assert [each.result(10).summary for each in (first, *waiting)] == ["no_face"] * 3


def test_who_waits_when_the_device_stops_is_told() -> None:
    release, analyses = threading.Event(), threading.Semaphore(0)
    judge = Judge(lambda: held(release, analyses))
    with Worker("judge", judge.run, 10) as worker:
        first: Future[object] = judge.ask(A_PICTURE)  # type: ignore[assignment]
        assert analyses.acquire(timeout=10)
        waiting = judge.ask(A_PICTURE)
        worker.ask_to_stop()
        release.set()
        assert first.result(10)
        with pytest.raises(BusyError, match="stopping"):
            waiting.result(10)


def test_who_has_gone_before_the_device_stops_ends_nothing() -> None:
    release, analyses = threading.Event(), threading.Semaphore(0)
    judge = Judge(lambda: held(release, analyses))
    with Worker("judge", judge.run, 10) as worker:
        judge.ask(A_PICTURE)
        assert analyses.acquire(timeout=10)
        gone, waiting = judge.ask(A_PICTURE), judge.ask(A_PICTURE)
        assert gone.cancel()
        worker.ask_to_stop()
        release.set()
        with pytest.raises(BusyError, match="stopping"):
            waiting.result(10)
    assert worker.died_of is None


def test_models_that_are_gone_are_a_visitors_disappointment_and_not_the_daemons_end() -> None:
    def gone() -> Vision:
        raise ModelError("no model file at x.tflite")

    with page_served(load=gone) as visitor:
        answer = visitor.ask("/judge", "POST", A_PICTURE)
        assert answer.status == 503
        assert "x.tflite" not in answer.text
        assert visitor.ask("/healthz").status == 200


def test_no_models_are_loaded_before_somebody_asks() -> None:
    loaded = []
    with page_served(load=lambda: loaded.append(1) or Vision.load(Settings())) as visitor:  # type: ignore[func-returns-value]
        visitor.ask("/")
        assert loaded == []
        assert visitor.ask("/judge", "POST", A_PICTURE).status == 200
        assert visitor.ask("/judge", "POST", A_PICTURE).status == 200
        assert loaded == [1]
