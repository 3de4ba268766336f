"""A fleet of light devices on one broker: what gets through, how soon, and what the broker needs for it.

    python benchmarks/fleet.py [--devices 1000] [--seconds 60] [--rate 1.0] [--json FILE]

A device is what the daemon has between analysis and broker: an `Outbox` (in memory, so that no disk is measured) and a
`Publisher` in a thread of its own, with MQTT 5, QoS 1 and a Last Will. No picture is analysed; each device puts `--rate`
events a second into its outbox, evenly, every device at another moment. Processes of at most 250 devices share them out,
because `select` cannot look at descriptors above 1,023. The broker is a mosquitto on loopback, the subscriber a
mosquitto_sub with a session, which writes down when each event came.

Delivery time: from just before the event goes into the outbox until mosquitto_sub has it. Sustained: what came within the
seconds that events were produced in. An event that did not come within 30 s after them is lost; one that came again is a
duplicate; with either the program ends with 1.

Needs mosquitto and mosquitto_sub. Everything is on loopback and in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from fleet_devices import DRAIN_LIMIT_S, PREFIX, Devices
from processes import Broker, processor_s, rss_mb, subscribed, wait_for

_HELLO = "fleet-benchmark/hello"
"""A retained message tells that the subscription stands."""
_LEAD_S = 0.5
"""From telling the devices when they begin until they do."""


@dataclass(frozen=True)
class Delivery:
    """What came to the subscriber."""

    produced: int
    sustained_per_s: float
    behind_at_end: int
    delivery_p50_ms: float
    delivery_p95_ms: float
    delivery_p99_ms: float
    delivery_most_ms: float
    lost: int
    duplicates: int


@dataclass(frozen=True)
class Cost:
    """What it took: memory in MB of 10^6 bytes, processor time as a share of one processor."""

    broker_alone_mb: float
    broker_connected_mb: float
    broker_most_mb: float
    broker_processor: float
    subscriber_processor: float
    devices_processor: float
    connect_s: float


def run(count: int, seconds: float, rate: float, folder: Path) -> tuple[Delivery, Cost]:
    """One run, in an empty folder; `rate`: events a second of each device.

    Raises:
        TimeoutError: something did not start, connect or end in time.
        SystemExit: a process of devices ended.
    """
    received = folder / "received.tsv"
    with ExitStack() as stack:
        mosquitto = Broker(folder, keeps=False)
        stack.callback(mosquitto.kill)
        broker = mosquitto.process.pid
        subscriber = stack.enter_context(_hearing(mosquitto.port, received))
        alone, began = rss_mb(broker), time.monotonic()
        devices = stack.enter_context(closing(Devices(count, mosquitto.port, rate, seconds)))
        devices.wait_until_connected()
        connect_s, connected = time.monotonic() - began, rss_mb(broker)
        before = _processor_s(broker, subscriber)
        start, start_ns = time.monotonic() + _LEAD_S, time.time_ns() + int(_LEAD_S * 1e9)
        devices.begin(start)
        most = _most_memory(broker, start + seconds)
        after = _processor_s(broker, subscriber)
        sent = devices.sent()
        with suppress(TimeoutError):  # more lines than events, for the hello is one
            wait_for(lambda: _lines(received) > len(sent.stamps), DRAIN_LIMIT_S, "the subscriber has everything")
        cost = Cost(
            broker_alone_mb=alone,
            broker_connected_mb=connected,
            broker_most_mb=max(most, rss_mb(broker)),
            broker_processor=(after[0] - before[0]) / seconds,
            subscriber_processor=(after[1] - before[1]) / seconds,
            devices_processor=sent.processor_s / seconds,
            connect_s=connect_s,
        )
        return _delivery(sent.stamps, _read_arrivals(received), start_ns, seconds), cost


@contextmanager
def _hearing(port: int, file: Path) -> Iterator[int]:
    """mosquitto_sub, which writes time, topic and payload; its process id."""
    topics = [f"{PREFIX}/+/event", _HELLO]
    with subscribed(port, "fleet-benchmark", topics, ["-V", "5", "-x", "3600", "-F", "%U\t%t\t%p"], file) as process:
        hello = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(port), "-V", "5", "-r", "-t", _HELLO, "-m", "hello"]
        subprocess.run(hello, check=True, timeout=10)
        wait_for(lambda: file.stat().st_size, 10, "mosquitto_sub subscribes")
        yield process.pid


def _processor_s(*pids: int) -> list[float]:
    return [processor_s(Path(f"/proc/{pid}")) for pid in pids]


def _most_memory(broker: int, until: float) -> float:
    """The most resident memory in MB, of what is seen until a time of the monotonic clock."""
    most = 0.0
    while time.monotonic() < until:
        most = max(most, rss_mb(broker))
        time.sleep(min(0.2, max(0.0, until - time.monotonic())))
    return most


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n")


def _read_arrivals(file: Path) -> list[tuple[str, int]]:
    """Id and time of each event, in nanoseconds since 1970, in the order in which they came."""
    found = []
    for line in file.read_text().splitlines():
        stamp, topic, payload = line.split("\t", 2)
        if topic != _HELLO:
            seconds, nanoseconds = stamp.split(".")
            found.append((json.loads(payload)["id"], int(seconds) * 1_000_000_000 + int(nanoseconds.ljust(9, "0"))))
    return found


def _delivery(stamps: dict[str, int], arrivals: list[tuple[str, int]], start_ns: int, seconds: float) -> Delivery:
    """Compares what was sent with what came; `start_ns`: when the first event was due, in nanoseconds since 1970."""
    first: dict[str, int] = {}
    for identity, stamp in arrivals:
        first.setdefault(identity, stamp)
    delays = np.array([(first[identity] - stamp) / 1e6 for identity, stamp in stamps.items() if identity in first])
    p50, p95, p99, longest = np.percentile(delays, [50, 95, 99, 100])
    in_time = sum(start_ns <= stamp <= start_ns + int(seconds * 1e9) for stamp in first.values())
    return Delivery(
        produced=len(stamps),
        sustained_per_s=in_time / seconds,
        behind_at_end=len(stamps) - in_time,
        delivery_p50_ms=float(p50),
        delivery_p95_ms=float(p95),
        delivery_p99_ms=float(p99),
        delivery_most_ms=float(longest),
        lost=len(stamps.keys() - first.keys()),
        duplicates=sum(times - 1 for times in Counter(identity for identity, _ in arrivals).values()),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=1.0, help="events a second of each device")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    devices, seconds, rate = options.devices, options.seconds, options.rate
    if devices < 1 or seconds <= 0 or rate <= 0 or devices * rate * seconds < 1:
        parser.error("there must be devices, seconds, a rate, and at least one event of it all")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # mosquitto inherits it, and needs one for each device
    with tempfile.TemporaryDirectory(prefix="maskgate-fleet-") as folder:
        delivery, cost = run(devices, seconds, rate, Path(folder))
    offered = {"devices": devices, "seconds": seconds, "offered_per_s": devices * rate}
    figures = offered | asdict(delivery) | asdict(cost)
    for name, value in figures.items():
        shown = f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
        print(f"| {name.replace('_', ' '):22} | {shown:>9} |")
    if options.json:
        options.json.write_text(json.dumps(figures) + "\n")
    return 1 if delivery.lost or delivery.duplicates else 0


if __name__ == "__main__":
    sys.exit(main())
