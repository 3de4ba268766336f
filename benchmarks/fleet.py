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
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import numpy as np
from processes import Broker, processor_s, rss_mb, started, wait_for

from edge.daemon.worker import Worker
from edge.messages import BoxField, Event, EventFace, FrameSize, Models, TrackField, Votes, uuid7
from edge.mqtt.publisher import Publisher
from edge.mqtt.topics import Topics
from edge.outbox import Entry, Outbox
from edge.settings import MqttSettings
from edge.vision.classifier import Label

DEVICES_A_PROCESS = 250
"""Each has a socket and the two ends of a pipe."""
CONNECT_LIMIT_S = 60.0
DRAIN_LIMIT_S = 30.0
_STOP_LIMIT_S = 15.0
_HELLO = "fleet-benchmark/hello"
_PREFIX = "maskgate"
_TEMPLATE = Event(
    id=uuid7(0),
    seq=0,
    device="",
    source="door",
    event_type=Label.NO_MASK,
    p_mask=0.021,
    time=datetime.fromtimestamp(0, UTC),
    clock_synced=True,
    track=TrackField(
        id="1-17",
        first_seen=datetime.fromtimestamp(0, UTC),
        frames=7,
        votes=Votes(mask=0, no_mask=6, uncertain=1),
    ),
    face=EventFace(
        box=BoxField(x=412, y=180, width=96, height=118), score=0.93, frame=FrameSize(width=1280, height=720)
    ),
    image=None,
    latency_ms=212.4,
    model=Models(detector="face_detector@00000000", classifier="mask_classifier@00000000"),
)
"""An event of usual length."""


# --- the devices, in processes of their own ---------------------------------------------------------------------------


class Device:
    """Outbox, publisher, and a thread for it."""

    def __init__(self, name: str, port: int) -> None:
        self._outbox = Outbox(Path(":memory:"), max_messages=1_000_000, max_age_s=86_400)
        settings = MqttSettings(host="127.0.0.1", port=port, protocol="5")
        self.publisher = Publisher(settings, Topics(_PREFIX, name), self._outbox)
        self.worker = Worker(name, self.publisher.run, _STOP_LIMIT_S)
        self._name = name

    def produce(self) -> tuple[str, int]:
        """Puts an event into the outbox; its id, and when that began, in nanoseconds since 1970."""
        began = time.time_ns()
        event = event_of(self._name, began)
        self._outbox.add([Entry((event,))], began / 1e9)
        self.publisher.wake()
        return str(event.id), began

    def pending(self) -> int:
        return self._outbox.pending()[0]

    def close(self) -> None:
        self.worker.join()
        self._outbox.close()


def event_of(device: str, stamp_ns: int) -> Event:
    return _TEMPLATE.model_copy(
        update={
            "id": uuid7(stamp_ns // 1_000_000),
            "device": device,
            "time": datetime.fromtimestamp(stamp_ns / 1e9, UTC),
        }
    )


def run_devices(names: list[str], port: int, rate: float, seconds: float, pipe: Pipe) -> None:
    """A process: connects, says so, is told when to begin, produces, waits until all is confirmed, tells what it sent."""
    devices = [Device(name, port) for name in names]
    wait_for(lambda: all(device.publisher.problem is None for device in devices), CONNECT_LIMIT_S, "devices connect")
    pipe.send("connected")
    start = pipe.recv()
    used = time.process_time()
    sent = produce(devices, start, rate, seconds)
    used = time.process_time() - used
    with suppress(TimeoutError):  # what is missing then is counted as lost
        wait_for(lambda: not any(device.pending() for device in devices), DRAIN_LIMIT_S, "outboxes empty")
    pipe.send((sent, used))
    for device in devices:
        device.worker.ask_to_stop()
        device.publisher.wake()
    for device in devices:
        device.close()


def produce(devices: list[Device], start: float, rate: float, seconds: float) -> dict[str, int]:
    """Each device every 1/rate seconds, one after the other; a late one is made up for at once, so the load is as stated."""
    sent: dict[str, int] = {}
    gap = 1 / (rate * len(devices))
    for number in range(int(seconds * rate * len(devices))):
        time.sleep(max(0.0, start + number * gap - time.monotonic()))
        identity, began = devices[number % len(devices)].produce()
        sent[identity] = began
    return sent


# --- the broker and the subscriber ------------------------------------------------------------------------------------


@contextmanager
def subscribed(port: int, file: Path) -> Iterator[int]:
    """mosquitto_sub, which writes time, topic and payload; its process id."""
    where = ["-h", "127.0.0.1", "-p", str(port), "-V", "5"]
    topics = ["-q", "1", "-c", "-i", "fleet-benchmark", "-x", "3600", "-t", f"{_PREFIX}/+/event", "-t", _HELLO]
    hello = ["mosquitto_pub", *where, "-r", "-t", _HELLO, "-m", "hello"]
    with started(["stdbuf", "-oL", "mosquitto_sub", *where, *topics, "-F", "%U\t%t\t%p"], file) as process:
        subprocess.run(hello, check=True, timeout=10)
        wait_for(lambda: file.stat().st_size, 10, "mosquitto_sub subscribes")
        yield process.pid


# --- the run ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """Times in ms, memory in MB of 10^6 bytes, processor time as a share of one processor."""

    devices: int
    seconds: float
    offered_per_s: float
    produced: int
    sustained_per_s: float
    behind_at_end: int
    delivery_p50_ms: float
    delivery_p95_ms: float
    delivery_p99_ms: float
    delivery_most_ms: float
    lost: int
    duplicates: int
    broker_alone_mb: float
    broker_connected_mb: float
    broker_most_mb: float
    broker_processor: float
    subscriber_processor: float
    devices_processor: float
    connect_s: float


def run(count: int, seconds: float, rate: float, folder: Path) -> Figures:
    received = folder / "received.tsv"
    with ExitStack() as stack:
        mosquitto = Broker(folder, keeps=False)
        stack.callback(mosquitto.kill)
        broker, port = mosquitto.process.pid, mosquitto.port
        subscriber = stack.enter_context(subscribed(port, received))
        alone = rss_mb(broker)
        began = time.monotonic()
        pipes = [
            stack.enter_context(closing(start_devices(stack, names, port, rate, seconds)))
            for names in shared_out(count)
        ]
        for pipe in pipes:
            answer(pipe, CONNECT_LIMIT_S + 30, "devices connect")
        connect_s, connected = time.monotonic() - began, rss_mb(broker)

        before = [processor_s(Path(f"/proc/{pid}")) for pid in (broker, subscriber)]
        start = time.monotonic() + 0.5
        first_ns = time.time_ns() + 500_000_000
        for pipe in pipes:
            pipe.send(start)
        most = watch_memory(broker, start + seconds)
        after = [processor_s(Path(f"/proc/{pid}")) for pid in (broker, subscriber)]
        told = [answer(pipe, DRAIN_LIMIT_S + seconds, "devices empty their outboxes") for pipe in pipes]
        sent = {identity: stamp for part, _ in told for identity, stamp in part.items()}
        with suppress(TimeoutError):
            wait_for(
                lambda: lines(received) > len(sent), DRAIN_LIMIT_S, "the subscriber has everything"
            )  # and the hello
        most = max(most, rss_mb(broker))
        arrivals = read_arrivals(received)

    last_ns = first_ns + int(seconds * 1e9)
    first_arrival: dict[str, int] = {}
    for identity, stamp in arrivals:
        first_arrival.setdefault(identity, stamp)
    delays = np.array([(first_arrival[key] - stamp) / 1e6 for key, stamp in sent.items() if key in first_arrival])
    in_time = sum(first_ns <= stamp <= last_ns for stamp in first_arrival.values())
    p50, p95, p99, longest = np.percentile(delays, [50, 95, 99, 100])
    return Figures(
        devices=count,
        seconds=seconds,
        offered_per_s=count * rate,
        produced=len(sent),
        sustained_per_s=in_time / seconds,
        behind_at_end=len(sent) - in_time,
        delivery_p50_ms=float(p50),
        delivery_p95_ms=float(p95),
        delivery_p99_ms=float(p99),
        delivery_most_ms=float(longest),
        lost=len(sent.keys() - first_arrival.keys()),
        duplicates=sum(times - 1 for times in Counter(key for key, _ in arrivals).values()),
        broker_alone_mb=alone,
        broker_connected_mb=connected,
        broker_most_mb=most,
        broker_processor=(after[0] - before[0]) / seconds,
        subscriber_processor=(after[1] - before[1]) / seconds,
        devices_processor=sum(used for _, used in told) / seconds,
        connect_s=connect_s,
    )


def shared_out(count: int) -> list[list[str]]:
    """Names of devices, by process; as even as possible."""
    processes = -(-count // DEVICES_A_PROCESS)
    return [[f"device-{number}" for number in range(first, count, processes)] for first in range(processes)]


def start_devices(stack: ExitStack, names: list[str], port: int, rate: float, seconds: float) -> Pipe:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run_devices, args=(names, port, rate, seconds, theirs), daemon=True)
    process.start()
    theirs.close()
    stack.callback(end, process)
    return ours


def end(process: multiprocessing.process.BaseProcess) -> None:
    process.join(_STOP_LIMIT_S + 5)
    if process.is_alive():
        process.kill()
        process.join(5)


def answer(pipe: Pipe, limit_s: float, doing: str) -> tuple[dict[str, int], float]:
    if not pipe.poll(limit_s):
        raise TimeoutError(f"{doing}: not within {limit_s:.0f} s")
    try:
        told: tuple[dict[str, int], float] = pipe.recv()
    except EOFError:
        raise SystemExit(f"{doing}: their process ended") from None
    return told


def watch_memory(broker: int, until: float) -> float:
    most = 0.0
    while time.monotonic() < until:
        most = max(most, rss_mb(broker))
        time.sleep(min(0.2, max(0.0, until - time.monotonic())))
    return most


def lines(file: Path) -> int:
    return file.read_bytes().count(b"\n")


def read_arrivals(file: Path) -> list[tuple[str, int]]:
    """Id and time of each event, in the order in which they came."""
    found = []
    for line in file.read_text().splitlines():
        stamp, topic, payload = line.split("\t", 2)
        if topic != _HELLO:
            seconds, nanoseconds = stamp.split(".")
            found.append((json.loads(payload)["id"], int(seconds) * 1_000_000_000 + int(nanoseconds.ljust(9, "0"))))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=1.0, help="events a second of each device")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    if (
        options.devices < 1
        or options.seconds <= 0
        or options.rate <= 0
        or options.devices * options.rate * options.seconds < 1
    ):
        parser.error("there must be devices, seconds, a rate, and at least one event of it all")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # mosquitto inherits it, and needs one for each device
    with tempfile.TemporaryDirectory(prefix="maskgate-fleet-") as folder:
        figures = run(options.devices, options.seconds, options.rate, Path(folder))
    for name, value in asdict(figures).items():
        shown = f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
        print(f"| {name.replace('_', ' '):22} | {shown:>9} |")
    if options.json:
        options.json.write_text(json.dumps(asdict(figures)) + "\n")
    return 1 if figures.lost or figures.duplicates else 0


if __name__ == "__main__":
    sys.exit(main())
