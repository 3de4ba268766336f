"""What a soak has found, and whether that is good."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processes import Sample

MEMORY_LIMIT_MB = 3.0
DRIFT_LIMIT = 1
"""Threads and descriptors by which the most of two spans may differ: one may be caught while a connection is made.

The most and not the median, because a connection that is down has three descriptors less.
"""
_WARM_UP_SHARE, _LONGEST_WARM_UP_S, _WINDOW_SHARE = 0.25, 90.0, 0.15


@dataclass
class Received:
    """What a subscriber has: how many messages, the ids of each `seq`, and the last status."""

    messages: int = 0
    ids: dict[int, set[str]] = field(default_factory=dict)
    status: dict[str, Any] = field(
        default_factory=lambda: {"sources": [], "counts": {"images": 0, "failed_images": 0}},
    )


def read_received(file: Path) -> Received:
    """Reads lines of topic, tab and payload."""
    received = Received()
    for line in file.read_text().splitlines():
        topic, _, payload = line.partition("\t")
        if not payload.startswith("{"):
            continue  # what mosquitto_sub says of a lost connection
        message = json.loads(payload)
        if topic.endswith("/status"):
            received.status = message
        else:
            received.messages += 1
            received.ids.setdefault(message["seq"], set()).add(message["id"])
    return received


@dataclass
class Report:
    """Figures of a soak: memory in MB of 10^6 bytes; the most threads and descriptors, early and late."""

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

    @property
    def grown_mb(self) -> float:
        return self.rss_at_end_mb - self.rss_after_warm_up_mb

    def judge_delivery(self, produced: int, received: Received) -> None:
        """Fills in what was delivered.

        Args:
            produced: the last `seq` that the daemon gave; the first is 1.
            received: what the subscriber has of it.
        """
        self.produced, self.delivered = produced, len(received.ids)
        self.delivered_twice = received.messages - self.delivered
        self.missing = [seq for seq in range(1, produced + 1) if seq not in received.ids]
        if self.missing:
            self.problems.append(f"{len(self.missing)} of {produced} seq did not arrive")
        if any(len(ids) > 1 for ids in received.ids.values()):
            self.problems.append("one seq was given to two messages")
        cameras = [source for source in received.status["sources"] if source["kind"] == "camera"]
        self.frames = sum(camera["frames"] for camera in cameras)
        self.analysed = sum(camera["analysed"] for camera in cameras)
        counts = received.status["counts"]
        images = counts["images"] + counts["failed_images"]
        if images != self.files:
            self.problems.append(f"{self.files} files were dropped in, {images} have a record")

    def judge_process(self, samples: Sequence[Sample], seconds: float) -> None:
        """Fills in what the daemon needed.

        Args:
            samples: of the daemon in their order, the last one when it had done everything.
            seconds: how long it was to be under load.
        """
        self.warm_up_s = min(_LONGEST_WARM_UP_S, _WARM_UP_SHARE * seconds)
        window = _WINDOW_SHARE * seconds
        early = [s for s in samples if 0 <= s.at_s - self.warm_up_s < window]
        late = [s for s in samples if 0 <= seconds - s.at_s < window]
        self.rss_after_warm_up_mb = round(statistics.median(s.rss_mb for s in early), 2)
        self.rss_at_end_mb = round(statistics.median(s.rss_mb for s in late), 2)
        self.rss_most_mb = round(max(s.rss_mb for s in samples), 2)
        self.processor_share = round(samples[-1].processor_s / seconds, 2)
        if self.grown_mb >= MEMORY_LIMIT_MB:
            self.problems.append(f"memory grew by {self.grown_mb:.1f} MB")
        self.threads = max(s.threads for s in early), max(s.threads for s in late)
        self.descriptors = max(s.descriptors for s in early), max(s.descriptors for s in late)
        for name, (before, after) in (("threads", self.threads), ("descriptors", self.descriptors)):
            if abs(after - before) > DRIFT_LIMIT:
                self.problems.append(f"{name}: {before} after the warm-up, {after} at the end")

    def print_table(self) -> None:
        memory = f"{self.rss_after_warm_up_mb} MB, {self.rss_at_end_mb} MB ({self.grown_mb:+.2f})"
        rows = [
            ("time under load", f"{self.seconds:.0f} s"),
            ("frames taken / analysed", f"{self.frames:,} / {self.analysed:,}"),
            ("files dropped in", f"{self.files:,}"),
            ("broker / camera server killed", f"{self.broker_kills} / {self.server_kills} times"),
            ("messages produced", f"{self.produced:,}"),
            ("messages delivered, and once more", f"{self.delivered:,}, {self.delivered_twice:,}"),
            ("messages missing", f"{len(self.missing)}"),
            ("memory after warm-up, at the end", memory),
            ("most memory", f"{self.rss_most_mb} MB"),
            ("most threads, early and late", "{}, {}".format(*self.threads)),
            ("most descriptors, early and late", "{}, {}".format(*self.descriptors)),
            ("share of one processor", f"{self.processor_share:.0%}"),
            ("verdict", "; ".join(self.problems) or "good"),
        ]
        for name, value in rows:
            print(f"| {name:<34} | {value} |")
