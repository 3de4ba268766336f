"""The daemon in this process: what it does when a part of it hangs or dies, and when the clock is wrong."""

from __future__ import annotations

import errno
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import cv2
import pytest

from edge.daemon import daemon as daemon_module
from edge.daemon.clock import Clock
from edge.daemon.daemon import Daemon
from edge.daemon.worker import Worker
from edge.errors import ConfigError, MaskgateError, ModelError, UnavailableError
from edge.outbox import Outbox
from edge.settings import CameraSource, DecisionSettings, FolderSource, MqttSettings, Settings
from edge.sources.demo import DemoCapture
from edge.sources.folder import MAX_ATTEMPTS
from edge.sources.ownership import Ownership
from edge.vision.analyzer import Analyzer
from edge.vision.detector import Detection
from edge.vision.geometry import Image
from support.components import eventually
from support.notify import NotifySocket


def settings(folder: Path, url: str = "demo:") -> Settings:
    return Settings(
        device_id="lobby-1",
        state_dir=folder / "state",
        sources=(CameraSource(kind="camera", name="door", url=url),),
        mqtt=MqttSettings(port=1),  # nobody listens there: what is produced stays in the outbox
        decision=DecisionSettings(min_frames=2),
    )


@contextmanager
def at_work(daemon: Daemon) -> Iterator[Worker]:
    with Worker("daemon", daemon.run, 10) as worker:
        yield worker
        worker.ask_to_stop()


def is_over() -> bool:
    """Whether an earlier daemon's threads have ended: if the disk is too slow, the end of the process is theirs."""
    return not {"recorder", "source inbox"} & {thread.name for thread in threading.enumerate()}


@pytest.fixture
def watchdog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """How often the watchdog has been fed; due twice a second here, and a hang is one of a second."""
    monkeypatch.setattr(daemon_module, "PIPELINE_HUNG_AFTER_S", 1.0)
    monkeypatch.setattr(daemon_module, "_TICK_S", 0.05)
    monkeypatch.setenv("WATCHDOG_USEC", "1500000")
    with NotifySocket(tmp_path) as systemd:
        monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
        yield lambda: systemd.received().count("WATCHDOG=1")


def after(seconds: float, watchdog: Callable[[], int]) -> int:
    """The count then; read all the time, for the socket holds few datagrams and its sender waits."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        watchdog()
        time.sleep(0.05)
    return watchdog()


def test_the_watchdog_is_fed_while_frames_come(tmp_path: Path, watchdog: Callable[[], int]) -> None:
    with at_work(Daemon(settings(tmp_path))):
        eventually(lambda: watchdog() >= 6)


def test_the_watchdog_is_fed_while_a_camera_is_merely_away(tmp_path: Path, watchdog: Callable[[], int]) -> None:
    with at_work(Daemon(settings(tmp_path, "/dev/video77"))):
        fed = after(1.5, watchdog)
        eventually(lambda: watchdog() >= fed + 4)


def test_the_watchdog_starves_when_analysis_hangs_and_a_stop_still_ends(
    tmp_path: Path, watchdog: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, let_go = threading.Event(), threading.Event()

    def hang(_: Analyzer, __: Image) -> list[Detection]:
        hangs.set()
        let_go.wait(20)
        return []

    monkeypatch.setattr(Analyzer, "find", hang)
    with at_work(Daemon(settings(tmp_path))) as worker:
        assert hangs.wait(10)
        fed = after(3, watchdog)
        assert after(1.5, watchdog) == fed

        began = time.monotonic()
        worker.ask_to_stop()
        worker.join()
        assert time.monotonic() - began < 5
        let_go.set()


def test_what_a_slow_disk_takes_at_the_end_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_the_end = Outbox.checkpoint
    written = threading.Event()

    def slowly(outbox: Outbox) -> None:
        time.sleep(1)
        at_the_end(outbox)
        written.set()

    monkeypatch.setattr(Outbox, "checkpoint", slowly)
    with at_work(Daemon(settings(tmp_path))):
        pass

    assert written.is_set()


@pytest.mark.parametrize("victim", ["pipeline", "recorder", "source door"])
def test_a_thread_that_dies_ends_the_daemon_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    def die(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    daemon = Daemon(settings(tmp_path))
    part = daemon._parts.sources["door"][0] if victim == "source door" else getattr(daemon._parts, victim)
    monkeypatch.setattr(part, "watch" if victim == "source door" else "run", die)

    with pytest.raises(MaskgateError, match=f"the {victim} thread died: RuntimeError"):
        daemon.run(threading.Event())


def with_an_inbox(folder: Path, on_done: Literal["keep", "delete"] = "keep") -> Settings:
    inbox = FolderSource(kind="folder", name="inbox", path=folder / "inbox", on_done=on_done)
    return settings(folder).model_copy(update={"sources": (inbox,)})


def test_a_picture_on_which_a_thread_dies_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bare_face: Image
) -> None:
    def die(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Analyzer, "analyze", die)
    (tmp_path / "inbox").mkdir()
    cv2.imwrite(str(tmp_path / "inbox" / "a.jpg"), bare_face)
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(MaskgateError, match="the pipeline thread died"):
            Daemon(with_an_inbox(tmp_path)).run(threading.Event())
        eventually(is_over)

    with at_work(Daemon(with_an_inbox(tmp_path))):
        record = tmp_path / "inbox" / "failed" / "a.jpg.json"
        eventually(record.exists)

    assert "the program ended 4 times" in record.read_text()


def test_a_start_that_is_broken_off_leaves_to_others_what_it_had(tmp_path: Path) -> None:
    inboxes = tuple(FolderSource(kind="folder", name=name, path=tmp_path / name) for name in ("inbox", "other"))
    both = settings(tmp_path).model_copy(update={"sources": inboxes})
    Daemon(both)._parts.close()
    other = Ownership()
    other.take(tmp_path / "other" / ".processing")
    with pytest.raises(UnavailableError, match="other is in use by another maskgate"):
        Daemon(both)
    other.give_back()

    Daemon(both)._parts.close()


def test_a_recorded_file_keeps_its_claim_over_an_orderly_stop(tmp_path: Path, bare_face: Image) -> None:
    processing = tmp_path / "inbox" / ".processing"
    processing.mkdir(parents=True)
    cv2.imwrite(str(processing / "a.jpg"), bare_face)
    for _ in range(3):  # nobody has its record, so that it is not deleted
        with at_work(Daemon(with_an_inbox(tmp_path, "delete"))):
            eventually(lambda: produced(tmp_path))
            eventually((processing / ".0.1~a.jpg").exists)
        eventually(is_over)

    assert [path.name for path in processing.iterdir()] == [".0.1~a.jpg"]
    assert [message["path"] for message in produced(tmp_path) if "path" in message] == ["a.jpg"]


@pytest.mark.parametrize("error", [ModelError("cannot be run: out of memory"), ConfigError("mqtt.ca_file: away")])
def test_what_goes_wrong_after_the_start_is_no_mistake_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: MaskgateError
) -> None:
    def die(_: threading.Event) -> None:
        raise error

    daemon = Daemon(settings(tmp_path))
    monkeypatch.setattr(daemon._parts.pipeline, "run", die)

    with pytest.raises(MaskgateError, match="the pipeline thread died: ") as ended:
        daemon.run(threading.Event())
    assert ended.value.exit_code == 70  # systemd starts it again, which it does not after 78


def test_what_a_thread_misses_after_the_start_is_told_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(_: threading.Event) -> None:
        raise UnavailableError("the port is taken")

    daemon = Daemon(settings(tmp_path))
    monkeypatch.setattr(daemon._parts.pipeline, "run", die)

    with pytest.raises(UnavailableError, match=r"^the port is taken$"):
        daemon.run(threading.Event())


class Steps:
    """A wall clock that is wrong, and steps when it is told to; the monotonic one is the machine's."""

    def __init__(self) -> None:
        self.offset = timedelta(days=-5000)
        self.right = False

    def clock(self) -> Clock:
        return Clock(now=lambda: datetime.now(UTC) + self.offset, synced=lambda: self.right)


def produced(folder: Path) -> list[dict[str, object]]:
    outbox = Outbox(folder / "state" / "outbox.sqlite3", 10_000, 1e9)
    messages = [json.loads(message.payload) for message in outbox.batch(0, 1000)]
    outbox.close()
    return messages


def test_a_stop_leaves_every_camera_its_time_to_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon_module, "_STOP_SOURCE_S", 10.0)
    closed = threading.Event()

    def close_slowly(_: DemoCapture) -> None:
        time.sleep(0.5)
        closed.set()

    monkeypatch.setattr(DemoCapture, "release", close_slowly)
    away = CameraSource(kind="camera", name="yard", url="/dev/video77")
    of_one = settings(tmp_path)
    daemon = Daemon(of_one.model_copy(update={"sources": (away, *of_one.sources), "mqtt": MqttSettings(host="")}))
    with at_work(daemon):
        eventually(lambda: daemon._parts.sources["door"][0].state().state == "ok")

    assert closed.is_set()


def test_a_clock_that_is_wrong_and_steps_both_ways_changes_stamps_and_nothing_else(tmp_path: Path) -> None:
    steps = Steps()
    daemon = Daemon(settings(tmp_path), steps.clock())
    outbox = daemon._parts.outbox
    with at_work(daemon):
        eventually(lambda: outbox.pending()[0] >= 1, 30)
        steps.offset, steps.right = timedelta(0), True  # the network came up
        eventually(lambda: outbox.pending()[0] >= 2, 30)
        steps.offset = timedelta(hours=-1)
        eventually(lambda: outbox.pending()[0] >= 3, 30)

    events = produced(tmp_path)
    now = datetime.now(UTC)
    stamps = [datetime.fromisoformat(str(event["time"])) for event in events]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["clock_synced"] for event in events[:3]] == [False, True, True]
    assert (now - stamps[0]).days == 5000
    assert abs((now - stamps[1]).total_seconds()) < 60
    assert (now - stamps[2]).total_seconds() > 3500
    assert len({event["id"] for event in events}) == len(events)
    assert all(0 <= float(str(event["latency_ms"])) < 5000 for event in events)


def test_events_of_a_time_that_lies_far_back_are_not_dropped_for_their_age_before_the_clock_is_right(
    tmp_path: Path,
) -> None:
    steps = Steps()
    daemon = Daemon(settings(tmp_path), steps.clock())
    outbox = daemon._parts.outbox
    with at_work(daemon):
        eventually(lambda: outbox.pending()[0] >= 1, 30)
        steps.offset = timedelta(days=400)
        time.sleep(1.5)
        assert outbox.pending()[0] >= 1
        assert outbox.dropped() == 0


def test_a_state_directory_on_a_mount_that_knows_no_locks_is_told_of_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def flock(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    caplog.set_level(logging.INFO)
    monkeypatch.setattr("fcntl.flock", flock)
    state_dir = tmp_path / "state"
    source = CameraSource(kind="camera", name="door", url="demo:")
    daemon = Daemon(Settings(state_dir=state_dir, sources=(source,), mqtt=MqttSettings(host="")))
    with Worker("daemon", daemon.run, 10) as worker:
        eventually(lambda: "ready" in caplog.messages)
        assert worker.died_of is None
    told = f"state_dir: {state_dir} cannot be locked (No locks available); see to it that nobody else has it"
    assert told in caplog.messages
