"""Cameras as they come: files, HTTP MJPEG and RTSP streams, with real decoders and all their ways to fail."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import pytest

from edge.sources.capture import RtspCapture, open_capture
from support.broker import Mosquitto, Subscriber, subscribed
from support.components import eventually, free_port, require_shared
from support.daemon import running, write_config
from support.streams import MjpegServer, jpegs_of, rtsp_server

FORGOTTEN_S = 3.0
"""After a film has ended: `forget_after_s`, and a second for the event to arrive."""

CAMERA = '[[sources]]\nname = "door"\nkind = "camera"\nurl = "{url}"\n'


def config_for(folder: Path, port: int, url: str, detector: str) -> Path:
    return write_config(folder, port, CAMERA.format(url=url), detector=detector)


@pytest.fixture
def masked_man(tmp_path: Path) -> list[bytes]:
    """Two seconds of a masked man who looks into the camera."""
    folder = tmp_path / "jpegs"
    folder.mkdir()
    return jpegs_of(require_shared("data", "clips", "one_masked_shop.mp4"), folder, 50)


def source_state(subscriber: Subscriber) -> str:
    statuses = subscriber.received("/status")
    return statuses[-1].json()["sources"][0]["state"] if statuses else ""


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        ("one_masked_laptop.mp4", {"mask"}),
        ("one_unmasked_beard.mp4", {"no_mask"}),
        ("unmasked_gesture.mkv", {"no_mask"}),
    ],
)
def test_a_file_is_played_once_at_its_own_pace(
    tmp_path: Path, broker: Mosquitto, yunet: str, clip: str, expected: set[str]
) -> None:
    config = config_for(tmp_path, broker.port, str(require_shared("data", "clips", clip)), yunet)
    with subscribed(tmp_path, broker.port) as subscriber, running(config):
        eventually(lambda: source_state(subscriber) == "lost", 40)
        status = subscriber.received("/status")[-1].json()
        events = [message.json() for message in subscriber.received("/event")]

    assert {event["event_type"] for event in events} == expected
    assert status["sources"][0]["error"].endswith("the file has been played to its end")
    assert all(event["track"]["frames"] >= 3 for event in events)


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        ("one_masked_shop.mp4", ["mask"]),  # blurred things behind him
        ("unmasked_gesture.mkv", ["no_mask"]),  # a skull on his shirt
        ("two_unmasked_walking.gif", ["no_mask", "no_mask"]),  # sure of neither before the film ends
    ],
)
def test_each_person_of_a_clip_yields_one_event(
    tmp_path: Path, broker: Mosquitto, clip: str, expected: list[str]
) -> None:
    config = config_for(tmp_path, broker.port, str(require_shared("data", "clips", clip)), "face_detector")
    with subscribed(tmp_path, broker.port) as subscriber, running(config):
        eventually(lambda: source_state(subscriber) == "lost", 40)
        time.sleep(FORGOTTEN_S)
        events = [message.json() for message in subscriber.received("/event")]

    assert [event["event_type"] for event in events] == expected
    assert len({event["track"]["id"] for event in events}) == len(expected)


def test_an_mjpeg_stream_yields_one_event_for_a_person_who_stays(
    tmp_path: Path, broker: Mosquitto, yunet: str, masked_man: list[bytes]
) -> None:
    server = MjpegServer(masked_man)
    try:
        config = config_for(tmp_path, broker.port, server.url, yunet)
        with subscribed(tmp_path, broker.port) as subscriber, running(config):
            subscriber.wait_for("/event")
            status = eventually(lambda: [m for m in subscriber.received("/status") if '"ok"' in m.payload])[-1].json()
    finally:
        server.stop()

    event = subscriber.received("/event")[0].json()
    assert event["event_type"] == "mask"
    assert event["face"]["frame"] == {"width": 640, "height": 360}
    assert event["latency_ms"] < 2000
    assert status["state"] == "running"


def test_a_picture_that_is_empty_or_damaged_now_and_then_costs_no_connection(
    tmp_path: Path, broker: Mosquitto, yunet: str, masked_man: list[bytes]
) -> None:
    """Whoever stands there would be somebody new with each, and be said again."""
    server = MjpegServer([*masked_man[:24], b"", masked_man[25], b"\0nonsense" * 50])
    try:
        config = config_for(tmp_path, broker.port, server.url, yunet)
        with subscribed(tmp_path, broker.port) as subscriber, running(config):
            subscriber.wait_for("/event")
            server.jpegs = masked_man
            time.sleep(FORGOTTEN_S)
    finally:
        server.stop()

    assert len(subscriber.received("/event")) == 1
    assert subscriber.received("/status")[-1].json()["sources"][0]["reconnects"] == 0


def test_a_stream_that_changes_its_resolution_is_read_on(
    tmp_path: Path, broker: Mosquitto, yunet: str, masked_man: list[bytes]
) -> None:
    """OpenCV brings the new frames to the size of the first one."""
    (tmp_path / "other").mkdir()
    bare_man = jpegs_of(require_shared("data", "clips", "one_unmasked_beard.mp4"), tmp_path / "other", 50, width=960)
    server = MjpegServer(masked_man)
    try:
        config = config_for(tmp_path, broker.port, server.url, yunet)
        with subscribed(tmp_path, broker.port) as subscriber, running(config) as daemon:
            subscriber.wait_for("/event")
            server.jpegs = bare_man
            events = [message.json() for message in subscriber.wait_for("/event", 2, 40)]
            assert daemon.poll() is None
    finally:
        server.stop()

    assert [event["event_type"] for event in events[:2]] == ["mask", "no_mask"]
    assert {event["face"]["frame"]["width"] for event in events[:2]} == {640}


def test_a_stop_while_a_stream_runs_is_clean(
    tmp_path: Path, broker: Mosquitto, yunet: str, masked_man: list[bytes]
) -> None:
    """FFmpeg's threads were once torn down in the middle: SIGABRT at every other stop."""
    server = MjpegServer(masked_man, frame_s=0.03)
    try:
        config = config_for(tmp_path, broker.port, server.url, yunet)
        log = tmp_path / "daemon.log"
        for number in range(1, 5):
            with running(config) as daemon:
                eventually(lambda: log.read_text().count("frames of 640") == number, 30)  # noqa: B023
                daemon.terminate()
                assert daemon.wait(10) == 0
    finally:
        server.stop()


def test_an_rtsp_stream_is_read(tmp_path: Path, broker: Mosquitto, yunet: str, masked_man: list[bytes]) -> None:
    assert masked_man
    with rtsp_server(tmp_path / "jpegs") as url:
        config = config_for(tmp_path, broker.port, url, yunet)
        with subscribed(tmp_path, broker.port) as subscriber, running(config):
            event = subscriber.wait_for("/event", limit_s=40)[0].json()

    assert event["event_type"] == "mask"


@pytest.mark.usefixtures("masked_man")
def test_one_thread_decodes_an_rtsp_stream_whose_time_stamps_tell_its_pace(tmp_path: Path) -> None:
    with rtsp_server(tmp_path / "jpegs") as url:
        capture = open_capture(url)
        assert isinstance(capture, RtspCapture)
        stamps = []
        for _ in range(30):
            assert capture.grab()
            stamps.append(capture._capture.get(cv2.CAP_PROP_POS_MSEC))
        threads = capture._capture.get(cv2.CAP_PROP_N_THREADS)
        image = capture.retrieve()
        capture.release()

    assert threads == 1
    assert stamps == sorted(stamps)
    assert 2500 < stamps[-1] - stamps[0] < 3000  # ms, of 30 frames at ten a second
    assert image is not None
    assert image.shape[1] == 640


def test_a_camera_that_goes_away_is_lost_and_comes_back(
    tmp_path: Path, broker: Mosquitto, yunet: str, masked_man: list[bytes]
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/cam"
    with subscribed(tmp_path, broker.port) as subscriber, running(config_for(tmp_path, broker.port, url, yunet)):
        eventually(lambda: source_state(subscriber) == "waiting")

        server = MjpegServer(masked_man, port)
        eventually(lambda: source_state(subscriber) == "ok", 30)
        server.stop()
        eventually(lambda: source_state(subscriber) == "lost", 30)
        server = MjpegServer(masked_man, port)
        eventually(lambda: source_state(subscriber) == "ok", 40)
        server.stop()
        log = (tmp_path / "daemon.log").read_text()

    assert "Traceback" not in log


def test_a_stream_that_falls_silent_or_sends_nonsense_is_noticed(
    tmp_path: Path, broker: Mosquitto, yunet: str, masked_man: list[bytes]
) -> None:
    server = MjpegServer(masked_man)
    try:
        config = config_for(tmp_path, broker.port, server.url, yunet)
        with subscribed(tmp_path, broker.port) as subscriber, running(config):
            eventually(lambda: source_state(subscriber) == "ok", 30)
            server.silent.set()
            eventually(lambda: source_state(subscriber) in ("lost", "stalled"), 30)
            server.silent.clear()
            eventually(lambda: source_state(subscriber) == "ok", 40)
            server.nonsense.set()
            eventually(lambda: source_state(subscriber) in ("lost", "stalled"), 30)
    finally:
        server.stop()
