"""Devices without cameras, many to a process: each puts made-up events into an outbox and publishes them."""

from __future__ import annotations

import multiprocessing
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from processes import wait_for

from edge.daemon.worker import Worker
from edge.messages import BoxField, Event, EventFace, FrameSize, Models, TrackField, Votes, uuid7
from edge.mqtt.publisher import Publisher
from edge.mqtt.topics import Topics
from edge.outbox import Entry, Outbox
from edge.settings import MqttSettings
from edge.vision.classifier import Label

PREFIX = "maskgate"
DRAIN_LIMIT_S = 30.0
_DEVICES_A_PROCESS = 250
"""Each has a socket and the two ends of a pipe."""
_CONNECT_LIMIT_S = 60.0
_STOP_LIMIT_S = 15.0
_EPOCH = datetime.fromtimestamp(0, UTC)
_TEMPLATE = Event(
    id=uuid7(0),
    seq=0,
    device="",
    source="door",
    event_type=Label.NO_MASK,
    p_mask=0.021,
    time=_EPOCH,
    clock_synced=True,
    track=TrackField(id="1-17", first_seen=_EPOCH, frames=7, votes=Votes(mask=0, no_mask=6, uncertain=1)),
    face=EventFace(
        box=BoxField(x=412, y=180, width=96, height=118), score=0.93, frame=FrameSize(width=1280, height=720)
    ),
    image=None,
    latency_ms=212.4,
    model=Models(detector="face_detector@00000000", classifier="mask_classifier@00000000"),
)
"""An event of usual length."""


@dataclass
class Sent:
    """What devices produced: the id of each event, and when it was about to go into the outbox, in ns since 1970."""

    stamps: dict[str, int] = field(default_factory=dict)
    processor_s: float = 0.0


class Devices:
    """Devices in processes that are started at once; to be closed.

    Args:
        count: how many devices.
        port: of the broker on loopback.
        rate: events a second of each device.
        seconds: how long they produce.
    """

    def __init__(self, count: int, port: int, rate: float, seconds: float) -> None:
        self._seconds = seconds
        self._running: list[tuple[BaseProcess, Pipe]] = []
        context = multiprocessing.get_context("spawn")
        for names in _shared_out(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_run, args=(names, port, rate, seconds, theirs), daemon=True)
            process.start()
            theirs.close()
            self._running.append((process, ours))

    def wait_until_connected(self) -> None:
        """Waits for all of them.

        Raises:
            TimeoutError: it took too long.
            SystemExit: a process ended.
        """
        self._answers(_CONNECT_LIMIT_S + 30, "devices connect")

    def begin(self, at: float) -> None:
        """Lets them produce from a time of the monotonic clock on."""
        for _, pipe in self._running:
            pipe.send(at)

    def sent(self) -> Sent:
        """Waits until the outboxes are empty, or have had `DRAIN_LIMIT_S` for it.

        Raises:
            TimeoutError: it took longer still.
            SystemExit: a process ended.
        """
        every = Sent()
        for part in self._answers(DRAIN_LIMIT_S + self._seconds, "devices empty their outboxes"):
            every.stamps |= part.stamps
            every.processor_s += part.processor_s
        return every

    def _answers(self, limit_s: float, doing: str) -> list[Any]:
        return [_answer(pipe, limit_s, doing) for _, pipe in self._running]

    def close(self) -> None:
        for process, pipe in self._running:
            pipe.close()
            process.join(_STOP_LIMIT_S + 5)
            if process.is_alive():
                process.kill()
                process.join(5)


def _shared_out(count: int) -> list[list[str]]:
    """Names of devices, by process; as even as possible."""
    processes = -(-count // _DEVICES_A_PROCESS)
    return [[f"device-{number}" for number in range(first, count, processes)] for first in range(processes)]


def _answer(pipe: Pipe, limit_s: float, doing: str) -> Any:
    if not pipe.poll(limit_s):
        raise TimeoutError(f"{doing}: not within {limit_s:.0f} s")
    try:
        return pipe.recv()
    except EOFError:
        raise SystemExit(f"{doing}: their process ended") from None


# --- in each of the processes -----------------------------------------------------------------------------------------


class _Device:
    """Outbox, publisher, and a thread for it."""

    def __init__(self, name: str, port: int) -> None:
        self._outbox = Outbox(Path(":memory:"), max_messages=1_000_000, max_age_s=86_400)
        settings = MqttSettings(host="127.0.0.1", port=port, protocol="5")
        self._publisher = Publisher(settings, Topics(PREFIX, name), self._outbox)
        self._worker = Worker(name, self._publisher.run, _STOP_LIMIT_S)
        self._name = name

    def connected(self) -> bool:
        return self._publisher.problem is None

    def produce(self) -> tuple[str, int]:
        """Puts an event into the outbox; its id, and when that began, in nanoseconds since 1970."""
        began = time.time_ns()
        time_of_day = datetime.fromtimestamp(began / 1e9, UTC)
        new = {"id": uuid7(began // 1_000_000), "device": self._name, "time": time_of_day}
        event = _TEMPLATE.model_copy(update=new)
        self._outbox.add([Entry((event,))], began / 1e9)
        self._publisher.wake()
        return str(event.id), began

    def pending(self) -> int:
        return self._outbox.pending()[0]

    def ask_to_stop(self) -> None:
        self._worker.ask_to_stop()
        self._publisher.wake()

    def close(self) -> None:
        self._worker.join()
        self._outbox.close()


def _run(names: list[str], port: int, rate: float, seconds: float, pipe: Pipe) -> None:
    """Connects, says so, is told when to begin, produces, waits until all is confirmed, tells what it sent."""
    devices = [_Device(name, port) for name in names]
    wait_for(lambda: all(device.connected() for device in devices), _CONNECT_LIMIT_S, "devices connect")
    pipe.send("connected")
    start = pipe.recv()
    used = time.process_time()
    stamps = _produce(devices, start, rate, seconds)
    used = time.process_time() - used
    with suppress(TimeoutError):  # what is missing then is counted as lost
        wait_for(lambda: not any(device.pending() for device in devices), DRAIN_LIMIT_S, "outboxes empty")
    pipe.send(Sent(stamps, used))
    for device in devices:
        device.ask_to_stop()
    for device in devices:
        device.close()


def _produce(devices: list[_Device], start: float, rate: float, seconds: float) -> dict[str, int]:
    """Each device every 1/rate seconds, in turn; a late event is made up for at once, so the load is as stated."""
    gap = 1 / (rate * len(devices))
    stamps: dict[str, int] = {}
    for number in range(int(seconds * rate * len(devices))):
        time.sleep(max(0.0, start + number * gap - time.monotonic()))
        identity, began = devices[number % len(devices)].produce()
        stamps[identity] = began
    return stamps
