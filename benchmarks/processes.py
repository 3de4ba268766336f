"""What the benchmarks run, and what they read of a process: a broker, a subscriber, cameras, the daemon, /proc."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: Callable[[], object], limit_s: float, doing: str) -> None:
    deadline = time.monotonic() + limit_s
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{doing}: not within {limit_s:.0f} s")
        time.sleep(0.1)


def accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Broker:
    """mosquitto without limits on what waits for a subscriber.

    Args:
        folder: for its files.
        keeps: whether it keeps sessions on disk and says in its log who is there.
    """

    def __init__(self, folder: Path, *, keeps: bool) -> None:
        self.port = free_port()
        self._log = folder / "mosquitto.log"
        self._config = folder / "mosquitto.conf"
        self._state = folder / "mosquitto"
        self._options = ["-v"] if keeps else []
        self._state.mkdir()
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence {str(keeps).lower()}\n"
            f"persistence_location {self._state}/\nmax_inflight_messages 0\nmax_queued_messages 0\n"
        )
        self.start()

    def start(self) -> None:
        with self._log.open("a") as log:
            path = f"{os.environ.get('PATH', '')}:/usr/sbin"
            command = ["mosquitto", *self._options, "-c", str(self._config)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"PATH": path})
        wait_for(lambda: accepts(self.port), 10, "mosquitto starts")

    def remember_sessions(self) -> None:
        self.process.send_signal(signal.SIGUSR1)
        wait_for(lambda: any(self._state.iterdir()), 5, "mosquitto saves its sessions")
        time.sleep(0.5)

    def has(self, client: str) -> bool:
        """Whether a client connected since the last start."""
        text = self._log.read_text(errors="replace")
        return f" as {client} " in text[text.rfind(" starting\n") :]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(5)


def serve_mjpeg(
    port: int, fps: float, frames: Sequence[bytes], sending: Callable[[str, int], None] = lambda *_: None
) -> None:
    """JPEGs, round and round, to every client, for ever.

    Args:
        port: on loopback.
        fps: frames a second for each client.
        frames: JPEG files.
        sending: is told the path that a client has asked for, and the number of the frame that goes out next.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            due = time.monotonic()
            with suppress(OSError):
                for number in count():
                    at = number % len(frames)
                    sending(self.path, at)
                    head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(frames[at])
                    self.wfile.write(head + frames[at] + b"\r\n")
                    due = max(due + 1 / fps, time.monotonic() - 1)
                    time.sleep(max(0.0, due - time.monotonic()))

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

    Server(("127.0.0.1", port), Handler).serve_forever()


class CameraServer:
    """A process that serves pictures on a port of its own, and can be killed and started again.

    Args:
        serve: what it runs: a function of a module, for the process is spawned. Is given the port first.
        arguments: what else `serve` is given.
    """

    def __init__(self, serve: Callable[..., None], *arguments: object) -> None:
        self.port = free_port()
        self._serve = serve
        self._arguments = arguments
        self.start()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=self._serve, args=(self.port, *self._arguments), daemon=True)
        self._process.start()
        wait_for(lambda: accepts(self.port), 60, "the camera server starts")

    def kill(self) -> None:
        self._process.kill()
        self._process.join(5)


@contextmanager
def started(command: list[str], out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child whose output goes to a file; ended with the block."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MASKGATE_")}
    with out.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def subscribed(
    broker: int, client: str, topics: Sequence[str], options: Sequence[str], out: Path
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """mosquitto_sub with a session at QoS 1, for the block.

    Args:
        broker: its port on loopback.
        client: the id that the session belongs to.
        topics: filters.
        options: of mosquitto_sub, such as the version of MQTT and the form of a line.
        out: gets a line for each message as soon as it is there.
    """
    session = ["-h", "127.0.0.1", "-p", str(broker), "-q", "1", "-c", "-i", client]
    filters = [part for topic in topics for part in ("-t", topic)]
    return started(["stdbuf", "-oL", "mosquitto_sub", *session, *filters, *options], out)


def started_daemon(
    folder: Path, device: str, broker: int, cameras: Sequence[str], more: str = ""
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """The daemon, for the block; it writes warnings into daemon.log.

    Args:
        folder: for its configuration, its state and its log.
        device: its id.
        broker: the port of the broker on loopback.
        cameras: their addresses; they are named camera-0, camera-1 and so on.
        more: further tables of the configuration, as TOML.
    """
    sources = [
        f'[[sources]]\nname = "camera-{number}"\nkind = "camera"\nurl = "{url}"\nmax_fps = 120'
        for number, url in enumerate(cameras)
    ]
    head = f'device_id = "{device}"\nstate_dir = "{folder / "state"}"'
    mqtt = f'[mqtt]\nhost = "127.0.0.1"\nport = {broker}\n[log]\nlevel = "warning"'
    config = folder / "maskgate.toml"
    config.write_text("\n".join([head, *sources, more, mqtt]))
    return started([sys.executable, "-m", "edge", "run", "--config", str(config)], folder / "daemon.log")


@dataclass(frozen=True)
class Sample:
    """The daemon at one moment; memory in MB of 10^6 bytes."""

    at_s: float
    rss_mb: float
    threads: int
    descriptors: int
    processor_s: float


def sample(pid: int, since: float) -> Sample:
    """`since`: a time of the monotonic clock."""
    facts = _status(pid)
    return Sample(
        at_s=time.monotonic() - since,
        rss_mb=_rss_mb(facts),
        threads=int(facts["Threads"]),
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        processor_s=processor_s(Path(f"/proc/{pid}")),
    )


def rss_mb(pid: int) -> float:
    """Resident memory in MB of 10^6 bytes."""
    return _rss_mb(_status(pid))


def processor_s(folder: Path) -> float:
    """Seconds of processor time of a process or a thread, by its folder in /proc."""
    ticks = (folder / "stat").read_text().rsplit(")", 1)[1].split()
    return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _rss_mb(status: dict[str, str]) -> float:
    return int(status["VmRSS"].split()[0]) * 1024 / 1e6
