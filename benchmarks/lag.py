"""How far the real daemon's events lag behind streams of MJPEG and of H.264.

    python benchmarks/lag.py [--seconds 45] [--cameras 1 2] [--streams MJPEG RTSP]

People appear from one frame to the next, stay for two seconds and are gone for two and a half, on cameras of 640 x 480
pixels and 30 frames a second: MJPEG over HTTP, or H.264 over RTSP from GStreamer (benchmarks/rtsp_server.py), all of a
kind from one process. Of each event four times are known: when the server had the first frame that shows the person in
its hands, when the daemon had that frame out of its decoder (`first_seen`), when it had the frame that decided (`time`),
and when a subscriber had the event from the broker. Between them lie

- the stream: the network and the decoder, and for H.264 the encoder as well (JPEGs are made beforehand);
- two frames more for the verdict, which takes three: 67 ms;
- the verdict: the wait for the thread that looks at pictures, the two networks, the outbox and the broker.

The first span is all of it, the second the stream's part, the third the verdict's. Stamps in events are cut to
milliseconds. The shares of one processor that the daemon and the servers take meanwhile are printed beside them, for
all run on one machine.

Needs mosquitto and, for RTSP, the packages that benchmarks/rtsp_server.py names. Everything is on loopback and in
temporary folders; about four minutes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from processes import processor_s
from stage import AWAY_S, SHOWN_S, Heard, Scene, Stream, at_work

_FPS = 30


def lag(stream: Stream, cameras: int, seconds: float) -> None:
    """Prints a row."""
    with at_work(Scene(_FPS, 1, comes_and_goes=True), cameras, stream) as run:
        folders = [Path(f"/proc/{pid}") for pid in (run.pid, run.cameras_pid)]
        before, began = [processor_s(folder) for folder in folders], time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        daemon, servers = ((processor_s(folder) - spent) / took for folder, spent in zip(folders, before, strict=True))
        until = time.monotonic() - SHOWN_S
        shown = [(name, appeared) for name, appeared in run.shown() if appeared < until]
    spans = list(_spans(shown, run.heard))
    columns = " | ".join(_told(values) for values in zip(*spans, strict=True))
    counts = f"{cameras} x {stream} | {len(shown)}, {len(spans)}"
    print(f"| {counts} | {columns} | {daemon:.0%} | {servers:.0%} |", flush=True)


def _spans(shown: list[tuple[str, float]], heard: Heard) -> Iterator[tuple[float, float, float]]:
    """Of each event in milliseconds: all of it, the stream's part, and that from the deciding frame on."""
    for name, appeared in shown:
        for came, at, event in heard.events:
            if event["source"] == name and appeared <= came < appeared + SHOWN_S + AWAY_S:
                all_of_it = came - appeared
                stream = all_of_it - (at - _time_of_day(event["track"]["first_seen"]))
                yield all_of_it * 1000, stream * 1000, (at - _time_of_day(event["time"])) * 1000


def _time_of_day(stamp: Any) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def _told(values: tuple[float, ...]) -> str:
    return f"{statistics.median(values):.0f} ms, at most {max(values):.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=45, help="of each row")
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 2], help="how many there are in each row")
    parser.add_argument("--streams", nargs="+", choices=["MJPEG", "RTSP"], default=["MJPEG", "RTSP"])
    options = parser.parse_args()
    spans = "first frame sent to event", "first frame sent to first frame seen", "deciding frame to event"
    print(
        "|", " | ".join(["cameras", "people, events", *spans, "daemon", "servers"]), "|\n|---|---|---|---|---|---|---|"
    )
    for cameras in options.cameras:
        for stream in options.streams:
            lag(stream, cameras, options.seconds)


if __name__ == "__main__":
    main()
