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
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path

from processes import Broker, CameraServer, Sample, sample, started_daemon, subscribed, wait_for
from soak_load import Feeder, serve_people
from soak_report import Report, read_received

BROKER_KILLED_EVERY_S, SERVER_KILLED_EVERY_S, AWAY_S = 30.0, 45.0, 1.0
_DEVICE, _SUBSCRIBER = "soak", "soak-subscriber"
_TOLD_EVERY_S = 30.0
_DRAIN_LIMIT_S = 120.0


class Soak:
    """One run, with its report. The folder is empty and its own."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.report = Report()
        self._folder = folder
        self._inbox = folder / "inbox"
        self._options = options

    def run(self) -> None:
        """Fills the report.

        Raises:
            TimeoutError: something did not start, or not everything went out.
            RuntimeError: the daemon died.
        """
        self._inbox.mkdir()
        with ExitStack() as stack:
            broker = Broker(self._folder, keeps=True)
            stack.callback(broker.kill)
            server = CameraServer(serve_people, self._options.fps)
            stack.callback(server.kill)
            received = self._folder / "received.txt"
            topics = [f"maskgate/{_DEVICE}/{name}" for name in ("event", "image", "status")]
            form = ["-V", "mqttv311", "-k", "5", "-F", "%t\t%p"]
            stack.enter_context(subscribed(broker.port, _SUBSCRIBER, topics, form, received))
            wait_for(lambda: broker.has(_SUBSCRIBER), 10, "mosquitto_sub connects")
            time.sleep(0.5)
            broker.remember_sessions()
            samples = self._run_daemon(broker, server)
            time.sleep(2)
        produced = self._ask_outbox("SELECT value FROM counter WHERE name = 'seq'")
        self.report.judge_delivery(produced, read_received(received))
        self.report.judge_process(samples, self._options.seconds)

    def _run_daemon(self, broker: Broker, server: CameraServer) -> list[Sample]:
        """The daemon under load, and then until all has gone out."""
        cameras = [f"http://127.0.0.1:{server.port}/{number}" for number in range(self._options.cameras)]
        more = (
            f'[[sources]]\nname = "inbox"\nkind = "folder"\npath = "{self._inbox}"\non_done = "delete"\n'
            "[decision]\nforget_after_s = 0.2\npublish_uncertain = true"
        )
        with started_daemon(self._folder, _DEVICE, broker.port, cameras, more) as daemon:
            began = time.monotonic()
            samples = self._live(daemon, broker, server, began)
            server.kill()
            self._drain(broker)
            samples.append(sample(daemon.pid, began))
        if daemon.returncode != 0:
            self.report.problems.append(f"the daemon ended with {daemon.returncode}")
        return samples

    def _live(
        self, daemon: subprocess.Popen[bytes], broker: Broker, server: CameraServer, began: float
    ) -> list[Sample]:
        """Load and kills for as long as was asked."""
        samples: list[Sample] = []
        feeder = Feeder(self._inbox, self._options.files)
        feeder.start()
        broker_at, server_at, told_at = began + BROKER_KILLED_EVERY_S, began + SERVER_KILLED_EVERY_S, began
        while (now := time.monotonic()) - began < self._options.seconds:
            if daemon.poll() is not None:
                raise RuntimeError(f"the daemon died: {daemon.returncode}")
            latest = sample(daemon.pid, began)
            samples.append(latest)
            if now >= broker_at and broker.has(_SUBSCRIBER):
                broker_at += BROKER_KILLED_EVERY_S
                _bounce(broker)
                self.report.broker_kills += 1
            if now >= server_at:
                server_at += SERVER_KILLED_EVERY_S
                _bounce(server)
                self.report.server_kills += 1
            if now >= told_at:
                told_at += _TOLD_EVERY_S
                print(f"{latest.at_s:5.0f} s  {latest.rss_mb:6.1f} MB  {latest.threads} threads  "
                      f"{latest.descriptors} descriptors  {feeder.dropped} files", file=sys.stderr)  # fmt: skip
            time.sleep(0.5)
        feeder.ended.set()
        feeder.join(5)
        self.report.files = feeder.dropped
        self.report.seconds = round(time.monotonic() - began, 1)
        return samples

    def _drain(self, broker: Broker) -> None:
        """Nothing more comes in; everything goes out."""
        wait_for(lambda: not self._files(), _DRAIN_LIMIT_S, "the folder is emptied")
        wait_for(lambda: broker.has(_SUBSCRIBER), 30, "mosquitto_sub is back")
        time.sleep(1)
        wait_for(lambda: not self._waiting(), _DRAIN_LIMIT_S, "the outbox is emptied")

    def _files(self) -> list[Path]:
        return [*self._inbox.glob("*.jpg"), *self._inbox.glob(".processing/*")]

    def _waiting(self) -> int:
        return self._ask_outbox("SELECT count(*) FROM message")

    def _ask_outbox(self, question: str) -> int:
        file = self._folder / "state" / "outbox.sqlite3"
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as database:
            return int(database.execute(question).fetchone()[0])


def _bounce(what: Broker | CameraServer) -> None:
    what.kill()
    time.sleep(AWAY_S)
    what.start()


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
            soak.run()
        except (TimeoutError, RuntimeError) as error:
            soak.report.problems.append(str(error))
            log = Path(folder) / "daemon.log"
            print(log.read_text()[-4000:] if log.exists() else "the daemon was not started", file=sys.stderr)
    soak.report.print_table()
    text = json.dumps(asdict(soak.report))
    print(text)
    if options.json:
        options.json.write_text(text + "\n")
    sys.exit(1 if soak.report.problems else 0)


if __name__ == "__main__":
    main()
