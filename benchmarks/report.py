"""What a report of many pictures costs: to make, to open, to sort and to search.

    python benchmarks/report.py [--pictures 5000] [--jobs 1]

A folder of as many pictures (the demo's portrait, bare, masked, both, neither, shifted a little from one to the next;
one in fifty is damaged) is classified with and without --report, and the report is opened in Chromium. Prints the time
and the largest memory of the process that classifies, the size of the report, and in the browser: until the table is
there, each way of sorting, a search, the next page. Needs what the browser tests need.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from edge.sources.demo import masked, portrait  # noqa: E402
from support.browser import chromium, opened  # noqa: E402

IN_BROWSER = """() => {
    const table = document.getElementById("table");
    const timed = (action) => {
        const began = performance.now();
        action();
        table.getBoundingClientRect();  // layout is part of it
        return Math.round(performance.now() - began);
    };
    const search = document.getElementById("search");
    const found = {};
    for (const head of document.querySelectorAll("[data-key]")) {
        found["sort by " + head.dataset.key] = timed(() => head.firstElementChild.click());
    }
    found.search = timed(() => { search.value = "77"; search.dispatchEvent(new Event("input")); });
    found["end of search"] = timed(() => { search.value = ""; search.dispatchEvent(new Event("input")); });
    found["hide a kind"] = timed(() => document.querySelector("[value=mask]").click());
    found["next page"] = timed(() => document.querySelector("[data-page=next]").click());
    return found;
}"""


def fill(folder: Path, pictures: int) -> None:
    """Different files, so that thumbnails and records differ as those of real pictures do."""
    bare = np.asarray(cv2.resize(portrait(), (256, 300)), np.uint8)
    covered = np.asarray(cv2.resize(masked(portrait()), (256, 300)), np.uint8)
    scenes = (bare, covered, np.hstack([bare, covered]), np.full_like(bare, 128))
    for number in range(pictures):
        scene = np.roll(scenes[number % len(scenes)], number % 40, axis=1)
        data = cv2.imencode(".jpg", scene)[1].tobytes()
        path = folder / f"camera-{number % 7}" / f"IMG_{number:05d}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data[: len(data) // 2] if number % 50 == 0 else data)


def classified(folder: Path, *arguments: str) -> dict[str, float]:
    """Processor seconds and largest resident memory of one run of `maskgate classify`."""
    command = [sys.executable, "-m", "edge", "classify", str(folder), "-o", os.devnull, *arguments]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    return {"cpu_s": round(usage.ru_utime + usage.ru_stime, 1), "rss_mb": round(usage.ru_maxrss / 1000, 1)}


def browsed(report: Path) -> dict[str, object]:
    """Milliseconds."""
    with chromium() as browser, opened(browser) as page:
        began = time.monotonic()
        page.goto(report.as_uri())
        page.locator("#table tr").first.wait_for()
        loaded = round((time.monotonic() - began) * 1000)
        heap = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
        return {"until the table is there": loaded, **page.evaluate(IN_BROWSER), "heap_mb": round(heap, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--jobs", default="1")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder, report = Path(work, "photos"), Path(work, "report.html")
        folder.mkdir()
        fill(folder, options.pictures)
        jobs = ("--jobs", options.jobs)
        found = {
            "pictures": options.pictures,
            "without a report": classified(folder, *jobs),
            "with a report": classified(folder, *jobs, "--report", str(report)),
            "report_mb": round(report.stat().st_size / 1e6, 2),
            "in Chromium, ms": browsed(report),
        }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
