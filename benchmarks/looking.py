"""What looking at the page costs the analysis: python benchmarks/looking.py [ROUNDS] [LOOKERS].

The daemon runs on the demo scene in this process; LOOKERS programs of their own (1) read the live stream in every
second window of five seconds, ROUNDS (6) times each. A window gives the processor time of the analysis thread a frame,
and how long its middle frame took on the clock; the medians of both kinds of window are compared. Other programs hit
both alike; on a busy machine only the processor time means much.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from edge.daemon.daemon import Daemon
from edge.daemon.demo import free_port
from edge.daemon.worker import Worker
from edge.settings import CameraSource, MqttSettings, Settings, WebSettings

WINDOW_S, SETTLE_S = 5.0, 1.0
READER = "import sys, urllib.request\nfor line in urllib.request.urlopen(sys.argv[1]): pass"


class Watch:
    """Notes how long each frame of a lane took on the clock, in seconds."""

    def __init__(self, lane: object) -> None:
        self.frames_s: list[float] = []
        self._step = lane.step  # type: ignore[attr-defined]
        lane.step = self._timed  # type: ignore[attr-defined]

    def _timed(self) -> bool:
        began = time.perf_counter()
        worked: bool = self._step()
        if worked:
            self.frames_s.append(time.perf_counter() - began)
        return worked


def window(watch: Watch, thread: threading.Thread) -> tuple[float, float, float]:
    """Milliseconds a frame: of the thread's processor time, of the clock, and of the whole process's processor time."""
    clock = time.pthread_getcpuclockid(thread.ident or 0)
    before, cpu_s, whole_s = len(watch.frames_s), time.clock_gettime(clock), time.process_time()
    time.sleep(WINDOW_S)
    frames_s = watch.frames_s[before:]
    count = len(frames_s)
    return (
        (time.clock_gettime(clock) - cpu_s) * 1000 / count,
        statistics.median(frames_s) * 1000,
        (time.process_time() - whole_s) * 1000 / count,
    )


def main(rounds: int, lookers: int) -> None:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            device_id="bench",
            state_dir=Path(folder),
            sources=(CameraSource(kind="camera", name="door", url="demo:"),),
            mqtt=MqttSettings(host=""),
            web=WebSettings(enabled=True, port=port),
        )
        daemon = Daemon(settings)
        watch = Watch(daemon._parts.sources["door"][1])  # noqa: SLF001  nothing else tells what a frame took
        with Worker("daemon", daemon.run, 10):
            time.sleep(3)
            thread = next(each for each in threading.enumerate() if each.name == "pipeline")
            alone, looked_at = [], []
            for _ in range(rounds):
                alone.append(window(watch, thread))
                url = f"http://127.0.0.1:{port}/live?source=door"
                readers = [subprocess.Popen([sys.executable, "-c", READER, url]) for _ in range(lookers)]
                time.sleep(SETTLE_S)
                looked_at.append(window(watch, thread))
                for reader in readers:
                    reader.kill()
                    reader.wait()
                time.sleep(SETTLE_S)
    for number, what in enumerate(("analysis thread, processor", "analysis thread, clock", "whole daemon, processor")):
        before = statistics.median(each[number] for each in alone)
        after = statistics.median(each[number] for each in looked_at)
        print(f"{what}: {before:.2f} ms a frame alone, {after:.2f} ms looked at ({100 * (after / before - 1):+.1f} %)")


if __name__ == "__main__":
    main(*(int(argument) for argument in [*sys.argv[1:], *["6", "1"][len(sys.argv) - 1 :]]))
