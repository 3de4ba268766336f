"""How the real daemon grows with frames, cameras and faces, and how far its events lag behind the stream.

    python benchmarks/growth.py [--seconds 10] [--lag-seconds 45]

Cameras are MJPEG over HTTP, 640 x 480 pixels, from a process of its own. The daemon's processor time is taken from
/proc over `--seconds`, after it has settled, as a share of one processor: at 5, 10 and 30 frames a second, with 1, 2
and 4 cameras, and with 0, 1, 5 and 20 faces in view that sway, so that the gate stays open (a face whose verdict is
sure is not classified again), and before a still picture.

For the lag people appear from one frame to the next, stay for two seconds and are gone for two and a half, on one and
on two cameras of 30 frames a second. Two times are taken for each event when a subscriber has it from the broker: since
the server sent the first frame that shows the person, in which three frames for the verdict are included, and since the
frame that the event speaks of came out of the decoder.

Needs mosquitto. Everything is on loopback and in temporary folders; about four minutes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from processes import Broker, accepts, free_port, processor_s, sample, serve_mjpeg, started, wait_for

from edge.sources.demo import masked, portrait
from edge.vision.geometry import Image

_WIDTH, _HEIGHT = 640, 480
_SETTLE_S = 4.0
_LAG_FPS = 30
_SHOWN_S, _AWAY_S = 2.0, 2.5
"""Away for longer than `decision.forget_after_s`, so that each is somebody new."""
_DIFFERENT = 60
"""Frames after which a scene that goes on begins anew."""
_ACROSS = {0: 1, 1: 1, 5: 3, 20: 5}
"""People beside each other, by how many there are."""


@dataclass(frozen=True)
class Scene:
    """What a camera shows. `comes_and_goes`: the people are there for a while, and then away."""

    fps: int
    faces: int
    moves: bool = True
    comes_and_goes: bool = False

    def frames(self) -> list[tuple[bytes, bool]]:
        """JPEGs that are sent round and round, and whether each is the first that shows somebody."""
        if self.comes_and_goes:
            shown, away = round(_SHOWN_S * self.fps), round(_AWAY_S * self.fps)
            here = [False] * away + [True] * shown
        else:
            here = [True] * (_DIFFERENT if self.moves else 1)
        drawn = []
        for number, are_here in enumerate(here):
            first = are_here and self.comes_and_goes and not here[number - 1]
            drawn.append((cv2.imencode(".jpg", self._frame(number, are_here=are_here))[1].tobytes(), first))
        return drawn

    def _frame(self, number: int, *, are_here: bool) -> Image:
        frame: Image = np.full((_HEIGHT, _WIDTH, 3), (150, 160, 165), np.uint8)
        sway = round(10 * np.sin(2 * np.pi * number / _DIFFERENT)) if self.moves else 0
        if self.moves:
            cv2.circle(frame, (320 + 20 * sway, 460), 15, (60, 60, 60), -1)  # the gate opens for nobody, too
        if are_here and self.faces:
            across = _ACROSS[self.faces]
            down = -(-self.faces // across)
            cell = _WIDTH // across, _HEIGHT // down
            for person in range(self.faces):
                _paste(frame, person, (person % across * cell[0], person // across * cell[1]), cell, sway)
        return frame


def _paste(frame: Image, person: int, corner: tuple[int, int], cell: tuple[int, int], sway: int) -> None:
    """Draws somebody into a cell of the frame, bare and masked by turns."""
    picture = masked(portrait()) if person % 2 else portrait()
    height = min(cell[1], 280)
    size = height * picture.shape[1] // picture.shape[0], height
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    left = corner[0] + max(0, (cell[0] - size[0]) // 2 + sway)
    part = frame[corner[1] : corner[1] + height, left : left + size[0]]
    part[:] = small[: part.shape[0], : part.shape[1]]


def serve(port: int, scene: Scene, log: Path) -> None:
    """The cameras, in a process of its own; writes which of them showed somebody from when on."""
    frames = scene.frames()
    with log.open("a", buffering=1) as shown:

        def note(path: str, number: int) -> None:
            if frames[number][1]:
                shown.write(f"camera-{path[1:]} {time.monotonic()}\n")

        serve_mjpeg(port, scene.fps, [data for data, _ in frames], note)


@dataclass
class Heard:
    """What the broker delivered: events with when they came (monotonic, and as a time of day), and the last status."""

    events: list[tuple[float, float, dict[str, Any]]] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)

    def take(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        came, at = time.monotonic(), time.time()
        if message.topic.endswith("/event"):
            self.events.append((came, at, json.loads(message.payload)))
        elif message.topic.endswith("/status"):
            self.status = json.loads(message.payload)


@dataclass
class Run:
    """A daemon at work on cameras."""

    pid: int
    heard: Heard
    shown: Path


@contextmanager
def at_work(scene: Scene, cameras: int) -> Iterator[Run]:
    """The daemon on so many cameras that show the scene, with a broker and a subscriber."""
    with tempfile.TemporaryDirectory(prefix="maskgate-growth-") as name:
        folder, port, heard = Path(name), free_port(), Heard()
        shown = folder / "shown"
        context = multiprocessing.get_context("spawn")
        server = context.Process(target=serve, args=(port, scene, shown), daemon=True)
        server.start()
        broker = Broker(folder, keeps=False)
        client = Client(CallbackAPIVersion.VERSION2)
        client.on_message = heard.take
        try:
            wait_for(lambda: accepts(port), 60, "the cameras start")
            client.connect("127.0.0.1", broker.port)
            client.subscribe("maskgate/growth/#", qos=1)
            client.loop_start()
            config = _write_config(folder, broker.port, port, cameras)
            command = [sys.executable, "-m", "edge", "run", "--config", str(config)]
            with started(command, folder / "daemon.log") as daemon:
                wait_for(lambda: heard.status.get("state") == "running", 30, "the daemon runs")
                yield Run(daemon.pid, heard, shown)
            wait_for(lambda: heard.status.get("state") == "stopping", 10, "the daemon says that it stops")
        finally:
            client.loop_stop()
            client.disconnect()
            broker.kill()
            server.kill()
            server.join(5)


def _write_config(folder: Path, broker: int, server: int, cameras: int) -> Path:
    sources = [
        f'[[sources]]\nname = "camera-{n}"\nkind = "camera"\nurl = "http://127.0.0.1:{server}/{n}"\nmax_fps = 120'
        for n in range(cameras)
    ]
    head = f'device_id = "growth"\nstate_dir = "{folder / "state"}"'
    mqtt = f'[mqtt]\nhost = "127.0.0.1"\nport = {broker}\n[log]\nlevel = "warning"'
    config = folder / "maskgate.toml"
    config.write_text("\n".join([head, *sources, mqtt]))
    return config


def share(scene: Scene, cameras: int, seconds: float) -> None:
    """Prints a row: the share of one processor, and what was analysed."""
    with at_work(scene, cameras) as run:
        time.sleep(_SETTLE_S)
        began, before = time.monotonic(), sample(run.pid, 0.0)
        threads = _threads_s(run.pid)
        time.sleep(seconds)
        took, after = time.monotonic() - began, sample(run.pid, 0.0)
        busiest = max(spent - threads.get(name, 0.0) for name, spent in _threads_s(run.pid).items())
    sources = run.heard.status["sources"]
    analysed = sum(each["analysed"] for each in sources) / max(1, sum(each["frames"] for each in sources))
    what = f"{scene.faces} face(s)" + ("" if scene.moves else ", still")
    print(
        f"| {cameras} x {scene.fps:>2} frames/s, {what:<16} | {(after.processor_s - before.processor_s) / took:>5.0%} "
        f"| {busiest / took:>5.0%} | {analysed:>5.0%} | {after.rss_mb:>5.0f} MB |",
        flush=True,
    )


def _threads_s(pid: int) -> dict[str, float]:
    """Processor time of each thread of a process, in seconds."""
    return {task.name: processor_s(task) for task in Path(f"/proc/{pid}/task").iterdir()}


def lag(cameras: int, seconds: float) -> None:
    """Prints how long events took."""
    with at_work(Scene(_LAG_FPS, 1, comes_and_goes=True), cameras) as run:
        time.sleep(seconds)
        shown = [(name, float(at)) for name, at in (line.split() for line in run.shown.read_text().splitlines())]
        until = time.monotonic() - _SHOWN_S
    since_shown, since_frame = [], []
    for name, appeared in shown:
        for came, at, event in run.heard.events:
            if event["source"] == name and appeared <= came < appeared + _SHOWN_S + _AWAY_S:
                since_shown.append((came - appeared) * 1000)
                since_frame.append((at - datetime.fromisoformat(event["time"]).timestamp()) * 1000)
    due = sum(appeared < until for _, appeared in shown)
    sources = run.heard.status["sources"]
    print(
        f"{cameras} camera(s) of {_LAG_FPS} frames/s: {due} people, {len(since_shown)} events; "
        f"frames taken {sum(each['frames'] for each in sources)}, "
        f"analysed {sum(each['analysed'] for each in sources)}"
    )
    for what, values in (
        ("first frame sent to subscriber", since_shown),
        ("deciding frame to subscriber", since_frame),
    ):
        print(f"  {what}: median {statistics.median(values):.0f} ms, most {max(values):.0f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of each row")
    parser.add_argument("--lag-seconds", type=float, default=45, help="of each run for the lag")
    options = parser.parse_args()
    print("| scene | daemon | its busiest thread | analysed | memory |\n|---|---|---|---|---|")
    for fps in (5, 10, 30):
        share(Scene(fps, 1), 1, options.seconds)
    for cameras in (2, 4):
        share(Scene(10, 1), cameras, options.seconds)
    for faces in (0, 5, 20):
        share(Scene(10, faces), 1, options.seconds)
    share(Scene(10, 1, moves=False), 1, options.seconds)
    for cameras in (1, 2):
        lag(cameras, options.lag_seconds)


if __name__ == "__main__":
    main()
