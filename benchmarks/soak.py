"""Ten minutes of bad days: a real daemon under load, its broker and its cameras killed again and again.

    python benchmarks/soak.py [--seconds 600] [--cameras 2] [--fps 100] [--files 4] [--json FILE]

Generated frames come over HTTP at an accelerated rate, generated files are dropped into a folder. mosquitto is killed
every 30 s and started again, the camera server every 45 s. The program ends with 1 if the daemon's memory grew by 3 MB
or more after its warm-up, if its threads or file descriptors drifted, if a `seq` that it produced did not arrive, or if
anything else but the kills went wrong.

Why a missing `seq` is a loss of the daemon and not of the subscriber: mosquitto_sub has a session at QoS 1, which
mosquitto is made to save (SIGUSR1) before anything is killed, so that a broker that starts again keeps for it whatever
comes before it is back. With no limit on messages in flight, mosquitto writes a message to a connected subscriber's
socket before it confirms it to the daemon, and what is in a socket survives a kill of its writer. The subscriber itself
is never killed, and the broker only while the subscriber is connected.

Needs mosquitto and mosquitto_sub. Everything is on loopback and in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from processes import Broker, Sample, accepts, free_port, sample, serve_mjpeg, started, wait_for

from edge.sources.demo import masked, portrait

DEVICE = "soak"
BROKER_KILLED_EVERY_S, SERVER_KILLED_EVERY_S, AWAY_S = 30.0, 45.0, 1.0
MEMORY_LIMIT_MB = 3.0
DRIFT_LIMIT = 1
"""Threads and descriptors by which the most of two spans may differ: one may be caught while a connection is made.

The most and not the median, because a connection that is down has three descriptors less.
"""
_WARM_UP_SHARE, _LONGEST_WARM_UP_S, _WINDOW_SHARE = 0.25, 90.0, 0.15
_DRAIN_LIMIT_S = 120.0
_BACKLOG = 50
_WIDTH, _HEIGHT, _FACE = 192, 144, 96
_SHOWN, _EMPTY = 20, 40
"""Frames that a person stays, and that the place is empty before the next: longer than `forget_after_s` below."""


def scene() -> list[bytes]:
    """Four people after each other, two with a mask, as JPEG; every frame differs from the one before."""
    rng = np.random.default_rng(1)
    frames = []
    for person in range(4):
        face = portrait() if person % 2 else masked(portrait())
        small = cv2.resize(face, (_FACE, _FACE * face.shape[0] // face.shape[1]), interpolation=cv2.INTER_AREA)
        small = small[:_HEIGHT]
        for number in range(_SHOWN + _EMPTY):
            frame = rng.integers(110, 130, (_HEIGHT, _WIDTH, 3)).astype(np.uint8)
            if number < _SHOWN:
                x = 10 + 18 * person + number
                frame[: small.shape[0], x : x + _FACE] = small
            frames.append(cv2.imencode(".jpg", frame)[1].tobytes())
    return frames


def serve(port: int, fps: float) -> None:
    """The camera server, in a process of its own, which is killed."""
    serve_mjpeg(port, fps, scene())


class CameraServer:
    """The process of `serve`."""

    def __init__(self, fps: float) -> None:
        self.port = free_port()
        self._fps = fps
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=serve, args=(self.port, self._fps), daemon=True)
        self._process.start()
        wait_for(lambda: accepts(self.port), 30, "the camera server starts")

    def kill(self) -> None:
        self._process.kill()
        self._process.join(5)


class Feeder(threading.Thread):
    """Drops pictures into the folder, `rate` a second, and waits while too many lie there."""

    def __init__(self, inbox: Path, rate: float) -> None:
        super().__init__(daemon=True)
        self.dropped = 0
        self.ended = threading.Event()
        self._inbox = inbox
        self._rate = rate

    def run(self) -> None:
        frames = scene()
        while not self.ended.wait(1 / self._rate):
            if len(list(self._inbox.iterdir())) > _BACKLOG:
                continue
            data = b"no picture" if self.dropped % 10 == 9 else frames[self.dropped * 7 % len(frames)]
            part = self._inbox / f"{self.dropped}.part"
            part.write_bytes(data)
            part.rename(self._inbox / f"{self.dropped}.jpg")
            self.dropped += 1


@dataclass
class Report:
    """What is printed at the end."""

    seconds: float = 0.0
    frames: int = 0
    analysed: int = 0
    files: int = 0
    produced: int = 0
    delivered: int = 0
    delivered_twice: int = 0
    broker_kills: int = 0
    server_kills: int = 0
    processor_share: float = 0.0
    warm_up_s: float = 0.0
    rss_after_warm_up_mb: float = 0.0
    rss_at_end_mb: float = 0.0
    rss_most_mb: float = 0.0
    threads: tuple[int, int] = (0, 0)
    descriptors: tuple[int, int] = (0, 0)
    missing: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def write_config(folder: Path, broker: int, cameras: int, server: int) -> Path:
    sources = [
        f'[[sources]]\nname = "camera-{n}"\nkind = "camera"\nurl = "http://127.0.0.1:{server}/{n}"\nmax_fps = 120'
        for n in range(cameras)
    ]
    sources.append(f'[[sources]]\nname = "inbox"\nkind = "folder"\npath = "{folder / "inbox"}"\non_done = "delete"')
    config = folder / "maskgate.toml"
    config.write_text(
        "\n".join(
            [
                f'device_id = "{DEVICE}"\nstate_dir = "{folder / "state"}"',
                *sources,
                "[decision]\nforget_after_s = 0.2\npublish_uncertain = true",
                f'[mqtt]\nhost = "127.0.0.1"\nport = {broker}',
                '[log]\nlevel = "warning"',
            ]
        )
    )
    return config


class Soak:
    """One run. The folder is empty and its own."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self._folder = folder
        self._options = options
        self._received = folder / "received.txt"
        self._samples: list[Sample] = []
        self._statuses: list[dict[str, Any]] = []
        self.report = Report()

    def run(self) -> Report:
        (self._folder / "inbox").mkdir()
        broker = Broker(self._folder, keeps=True)
        server = CameraServer(self._options.fps)
        try:
            with started(self._subscriber(broker.port), self._received):
                wait_for(lambda: broker.has("soak-subscriber"), 10, "mosquitto_sub connects")
                time.sleep(0.5)
                broker.remember_sessions()
                config = write_config(self._folder, broker.port, self._options.cameras, server.port)
                command = [sys.executable, "-m", "edge", "run", "--config", str(config)]
                with started(command, self._folder / "daemon.log") as daemon:
                    self._live(daemon, broker, server)
                    self._drain(daemon, broker, server)
                if daemon.returncode != 0:
                    self.report.problems.append(f"the daemon ended with {daemon.returncode}")
                time.sleep(2)
        finally:
            server.kill()
            broker.kill()
        self._judge_delivery()
        self._judge_memory()
        return self.report

    def _subscriber(self, port: int) -> list[str]:
        topics = [part for name in ("event", "image", "status") for part in ("-t", f"maskgate/{DEVICE}/{name}")]
        session = ["-c", "-i", "soak-subscriber", "-q", "1", "-V", "mqttv311", "-k", "5"]
        return ["stdbuf", "-oL", "mosquitto_sub", "-p", str(port), "-h", "127.0.0.1", *session, *topics, "-F", "%t\t%p"]

    def _live(self, daemon: subprocess.Popen[bytes], broker: Broker, server: CameraServer) -> None:
        """Load and kills for as long as was asked."""
        feeder = Feeder(self._folder / "inbox", self._options.files)
        feeder.start()
        began = time.monotonic()
        broker_at, server_at, told_at = began + BROKER_KILLED_EVERY_S, began + SERVER_KILLED_EVERY_S, began
        while (now := time.monotonic()) - began < self._options.seconds:
            if daemon.poll() is not None:
                raise RuntimeError(f"the daemon died: {daemon.returncode}")
            self._samples.append(sample(daemon.pid, began))
            if now >= broker_at and broker.has("soak-subscriber"):
                broker_at += BROKER_KILLED_EVERY_S
                self._bounce(broker)
                self.report.broker_kills += 1
            if now >= server_at:
                server_at += SERVER_KILLED_EVERY_S
                self._bounce(server)
                self.report.server_kills += 1
            if now >= told_at:
                told_at += 30
                latest = self._samples[-1]
                print(f"{latest.at_s:5.0f} s  {latest.rss_mb:6.1f} MB  {latest.threads} threads  "
                      f"{latest.descriptors} descriptors  {feeder.dropped} files", file=sys.stderr)  # fmt: skip
            time.sleep(0.5)
        feeder.ended.set()
        feeder.join(5)
        self.report.files = feeder.dropped
        self.report.seconds = round(time.monotonic() - began, 1)

    def _bounce(self, what: Broker | CameraServer) -> None:
        what.kill()
        time.sleep(AWAY_S)
        what.start()

    def _drain(self, daemon: subprocess.Popen[bytes], broker: Broker, server: CameraServer) -> None:
        """Nothing more comes in; everything goes out."""
        server.kill()
        inbox = self._folder / "inbox"
        wait_for(
            lambda: not [*inbox.glob("*.jpg"), *inbox.glob(".processing/*")], _DRAIN_LIMIT_S, "the folder is emptied"
        )
        wait_for(lambda: broker.has("soak-subscriber"), 30, "mosquitto_sub is back")
        time.sleep(1)
        wait_for(lambda: self._waiting() == 0, _DRAIN_LIMIT_S, "the outbox is emptied")
        self._samples.append(sample(daemon.pid, time.monotonic() - self._options.seconds))

    def _ask_outbox(self, question: str) -> int:
        file = self._folder / "state" / "outbox.sqlite3"
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as database:
            return int(database.execute(question).fetchone()[0])

    def _waiting(self) -> int:
        return self._ask_outbox("SELECT count(*) FROM message")

    def _judge_delivery(self) -> None:
        seen: dict[int, set[str]] = {}
        messages = 0
        for line in self._received.read_text().splitlines():
            topic, _, payload = line.partition("\t")
            if not payload.startswith("{"):
                continue  # what mosquitto_sub says of a lost connection
            message = json.loads(payload)
            if topic.endswith("/status"):
                self._statuses.append(message)
            else:
                messages += 1
                seen.setdefault(message["seq"], set()).add(message["id"])
        report = self.report
        report.produced = self._ask_outbox("SELECT value FROM counter WHERE name = 'seq'")
        report.delivered, report.delivered_twice = len(seen), messages - len(seen)
        report.missing = [seq for seq in range(1, report.produced + 1) if seq not in seen]
        if report.missing:
            report.problems.append(f"{len(report.missing)} of {report.produced} seq did not arrive")
        if any(len(ids) > 1 for ids in seen.values()):
            report.problems.append("one seq was given to two messages")
        cameras = [s for s in (self._statuses[-1]["sources"] if self._statuses else ()) if s["kind"] == "camera"]
        report.frames, report.analysed = sum(s["frames"] for s in cameras), sum(s["analysed"] for s in cameras)
        counts = self._statuses[-1]["counts"] if self._statuses else {"images": 0, "failed_images": 0}
        images = counts["images"] + counts["failed_images"]
        if images != report.files:
            report.problems.append(f"{report.files} files were dropped in, {images} have a record")

    def _judge_memory(self) -> None:
        report, seconds = self.report, self._options.seconds
        report.warm_up_s = min(_LONGEST_WARM_UP_S, _WARM_UP_SHARE * seconds)
        window = _WINDOW_SHARE * seconds
        early = [s for s in self._samples if 0 <= s.at_s - report.warm_up_s < window]
        late = [s for s in self._samples if 0 <= seconds - s.at_s < window]
        report.rss_after_warm_up_mb = round(statistics.median(s.rss_mb for s in early), 2)
        report.rss_at_end_mb = round(statistics.median(s.rss_mb for s in late), 2)
        report.rss_most_mb = round(max(s.rss_mb for s in self._samples), 2)
        report.processor_share = round(self._samples[-1].processor_s / seconds, 2)
        grown = report.rss_at_end_mb - report.rss_after_warm_up_mb
        if grown >= MEMORY_LIMIT_MB:
            report.problems.append(f"memory grew by {grown:.1f} MB")
        for name in ("threads", "descriptors"):
            before, after = (max(getattr(s, name) for s in part) for part in (early, late))
            setattr(report, name, (before, after))
            if abs(after - before) > DRIFT_LIMIT:
                report.problems.append(f"{name}: {before} after the warm-up, {after} at the end")


def print_table(report: Report) -> None:
    grown = report.rss_at_end_mb - report.rss_after_warm_up_mb
    rows = [
        ("time under load", f"{report.seconds:.0f} s"),
        ("frames taken / analysed", f"{report.frames:,} / {report.analysed:,}"),
        ("files dropped in", f"{report.files:,}"),
        ("broker / camera server killed", f"{report.broker_kills} / {report.server_kills} times"),
        ("messages produced", f"{report.produced:,}"),
        ("messages delivered, and once more", f"{report.delivered:,}, {report.delivered_twice:,}"),
        ("messages missing", f"{len(report.missing)}"),
        (
            "memory after warm-up, at the end",
            f"{report.rss_after_warm_up_mb} MB, {report.rss_at_end_mb} MB ({grown:+.2f})",
        ),
        ("most memory", f"{report.rss_most_mb} MB"),
        ("most threads, early and late", "{}, {}".format(*report.threads)),
        ("most descriptors, early and late", "{}, {}".format(*report.descriptors)),
        ("share of one processor", f"{report.processor_share:.0%}"),
        ("verdict", "; ".join(report.problems) or "good"),
    ]
    for name, value in rows:
        print(f"| {name:<34} | {value} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--cameras", type=int, default=2)
    parser.add_argument("--fps", type=float, default=100, help="frames a second of each camera; up to 120 are taken")
    parser.add_argument("--files", type=float, default=4, help="files a second dropped into the folder")
    parser.add_argument("--json", type=Path, help="where the figures go as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="maskgate-soak-") as folder:
        soak = Soak(Path(folder), options)
        try:
            report = soak.run()
        except (TimeoutError, RuntimeError) as error:
            report = soak.report
            report.problems.append(str(error))
            print((Path(folder) / "daemon.log").read_text()[-4000:], file=sys.stderr)
    print_table(report)
    text = json.dumps(asdict(report))
    print(text)
    if options.json:
        options.json.write_text(text + "\n")
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
