"""How the real daemon grows with frames, cameras and faces.

    python benchmarks/growth.py [--seconds 10]

Cameras are MJPEG over HTTP, 640 x 480 pixels, from a process of its own. The daemon's processor time is taken from
/proc over `--seconds`, after it has settled, as a share of one processor: at 5, 10 and 30 frames a second, with 1, 2
and 4 cameras, and with 0, 1, 5 and 20 faces in view that sway, so that the gate stays open (a face whose verdict is
sure is not classified again), and before a still picture.

Needs mosquitto. Everything is on loopback and in temporary folders; about two minutes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from processes import processor_s, sample
from stage import Scene, at_work

_SETTLE_S = 4.0


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of each row")
    options = parser.parse_args()
    print("| scene | daemon | its busiest thread | analysed | memory |\n|---|---|---|---|---|")
    for fps in (5, 10, 30):
        share(Scene(fps, 1), 1, options.seconds)
    for cameras in (2, 4):
        share(Scene(10, 1), cameras, options.seconds)
    for faces in (0, 5, 20):
        share(Scene(10, faces), 1, options.seconds)
    share(Scene(10, 1, moves=False), 1, options.seconds)


if __name__ == "__main__":
    main()
