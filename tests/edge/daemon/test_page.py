"""The page inside the daemon: it tells when the daemon hangs, and the daemon does not care when the page does."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.daemon import daemon as daemon_module
from edge.daemon.daemon import Daemon
from edge.daemon.worker import Worker
from edge.errors import MaskgateError, UnavailableError
from edge.settings import CameraSource, FolderSource, MqttSettings, Settings, WebSettings
from edge.vision.analyzer import Analyzer
from edge.vision.detector import Detection
from edge.vision.geometry import Image
from edge.web.pages import Pages
from support.components import eventually, free_port
from support.notify import NotifySocket
from support.web import Visitor


def settings(folder: Path, port: int) -> Settings:
    return Settings(
        device_id="lobby-1",
        state_dir=folder / "state",
        sources=(CameraSource(kind="camera", name="door", url="demo:"),),
        mqtt=MqttSettings(host=""),
        web=WebSettings(enabled=True, port=port),
    )


@contextmanager
def at_work(folder: Path) -> Iterator[tuple[Visitor, Worker]]:
    port = free_port()
    with Worker("daemon", Daemon(settings(folder, port)).run, 10) as worker:
        visitor = Visitor(port)
        eventually(lambda: _answers(visitor))
        yield visitor, worker


def _answers(visitor: Visitor) -> bool:
    try:
        return visitor.ask("/healthz").status > 0
    except OSError:
        return False


def test_a_page_whose_port_is_taken_ends_the_start_before_a_picture_is_begun(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    (inbox / ".processing").mkdir(parents=True)
    (inbox / ".processing" / "a.jpg").touch()
    with socket.create_server(("127.0.0.1", 0)) as other:
        daemon = Daemon(
            settings(tmp_path, other.getsockname()[1]).model_copy(
                update={"sources": (FolderSource(kind="folder", name="inbox", path=inbox),)}
            )
        )
        with pytest.raises(UnavailableError, match="Address already in use"):
            daemon.run(threading.Event())

    assert [path.name for path in (inbox / ".processing").iterdir()] == ["a.jpg"]


def test_the_page_shows_what_the_daemon_does(tmp_path: Path) -> None:
    with at_work(tmp_path) as (visitor, _):
        eventually(lambda: 'maskgate_verdicts_total{label="no_mask"} 1.0' in visitor.ask("/metrics").text, 30)
        page = visitor.ask("/").text
        assert "lobby-1" in page
        assert '<span class="verdict no_mask">No mask</span>' in page
        assert "Running" in page
        assert "face_detector" in visitor.ask("/model").text


def test_no_thread_is_started_beside_those_of_the_daemon(tmp_path: Path, pictures: Path) -> None:
    before = set(threading.enumerate())
    with at_work(tmp_path) as (visitor, _):
        visitor.ask("/judge", "POST", (pictures / "bare.jpg").read_bytes())
        visitor.ask("/judge", "POST", b"no picture")
        visitor.ask("/nothing")
        names = {thread.name for thread in set(threading.enumerate()) - before}
    assert names == {"daemon", "recorder", "pipeline", "source door", "page", "judge"}


def test_health_is_bad_while_analysis_hangs_and_a_stop_still_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, let_go = threading.Event(), threading.Event()

    def hang(_: Analyzer, __: Image) -> tuple[Detection, ...]:
        hangs.set()
        let_go.wait(30)
        return ()

    monkeypatch.setattr(daemon_module, "PIPELINE_HUNG_AFTER_S", 0.5)
    monkeypatch.setattr(Analyzer, "find", hang)
    with at_work(tmp_path) as (visitor, worker):
        assert hangs.wait(10)
        eventually(lambda: visitor.ask("/healthz").status == 503)
        assert visitor.ask("/").status == 200
        worker.ask_to_stop()
        eventually(lambda: not worker._thread.is_alive(), 5)
        let_go.set()


def test_the_watchdog_is_fed_while_the_page_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, let_go = threading.Event(), threading.Event()

    async def hang(*_: object) -> None:
        hangs.set()
        let_go.wait(30)  # and with it everything else of the page's thread
        await asyncio.sleep(0)

    monkeypatch.setattr(daemon_module, "_TICK_S", 0.05)
    monkeypatch.setattr(Pages, "login", hang)
    monkeypatch.setenv("WATCHDOG_USEC", "1500000")
    with NotifySocket(tmp_path) as systemd:
        monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
        with at_work(tmp_path) as (visitor, _), visitor.connect() as connection:
            connection.sendall(b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert hangs.wait(10)
            fed = systemd.received().count("WATCHDOG=1")
            eventually(lambda: systemd.received().count("WATCHDOG=1") >= fed + 3)
            let_go.set()


@pytest.mark.parametrize("victim", ["page", "judge"])
def test_a_thread_of_the_page_that_dies_ends_the_daemon_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    def die(*_: object) -> None:
        raise RuntimeError("a defect")

    daemon = Daemon(settings(tmp_path, free_port()))
    page = daemon._page
    assert page is not None
    monkeypatch.setattr(page.server if victim == "page" else page.judge, "run", die)

    with pytest.raises(MaskgateError, match=f"the {victim} thread died: RuntimeError"):
        daemon.run(threading.Event())
    assert page.server._socket is not None
    page.server._socket.close()


def test_a_port_that_is_taken_ends_the_start(tmp_path: Path) -> None:
    with at_work(tmp_path / "one") as (visitor, _):
        second = Daemon(settings(tmp_path / "two", visitor.port))
        with pytest.raises(UnavailableError, match="Address already in use"):
            second.run(threading.Event())
