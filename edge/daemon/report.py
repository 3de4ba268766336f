"""The status that is published: gathered from everything that runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from edge import __version__
from edge.assembly import Vision
from edge.daemon.clock import Clock
from edge.daemon.machine import rss_mb, temperature_c, throttled
from edge.daemon.pipeline import Lane
from edge.daemon.recorder import Recorder
from edge.history import Tally
from edge.messages import OutboxStatus, SourceStatus, Status
from edge.mqtt.publisher import Publisher
from edge.outbox import Outbox
from edge.sources import Watched
from edge.vision.tflite import runtime_name

_RATE_OVER_S = 2.0
"""Frames a second are counted over at least this long, however often and by whomever the report is asked for."""


class StatusReport:
    """Knows all parts and asks them; changes nothing."""

    def __init__(
        self,
        device: str,
        clock: Clock,
        vision: Vision,
        tally: Tally,
        outbox: Outbox,
        recorder: Recorder,
        publisher: Publisher | None,
        sources: Mapping[str, tuple[Watched, Lane]],
    ) -> None:
        self._device = device
        self._clock = clock
        self._models = vision.statuses()
        self._tally = tally
        self._outbox = outbox
        self._recorder = recorder
        self._publisher = publisher
        self._sources = sources
        self._started_at = clock.monotonic()
        self._before: dict[str, tuple[float, int, float]] = {}

    def problems(self) -> list[str]:
        """What keeps the state from being `running`, in words."""
        states = {name: source.state() for name, (source, _) in self._sources.items()}
        problems = [
            f"source {name}: {state.error or state.state}" for name, state in states.items() if state.state != "ok"
        ]
        if self._publisher is not None and self._publisher.problem is not None:
            problems.append(f"broker: {self._publisher.problem}")
        if self._recorder.problem is not None:
            problems.append(self._recorder.problem)
        return problems

    def make(self, *, stopping: bool) -> Status:
        """The status of now."""
        pending, oldest = self._outbox.pending()  # first, for it may have to wait
        now = self._clock.monotonic()
        wall = self._clock.now()
        state: Literal["running", "degraded", "stopping"] = "degraded" if self.problems() else "running"
        return Status(
            version=__version__,
            device=self._device,
            time=wall,
            uptime_s=round(now - self._started_at, 1),
            state="stopping" if stopping else state,
            sources=tuple(self._source(source, lane, now) for source, lane in self._sources.values()),
            counts=self._tally.counts(),
            outbox=OutboxStatus(
                pending=pending,
                dropped=self._outbox.dropped() + self._recorder.lost,
                oldest_age_s=None if oldest is None else round(max(0.0, wall.timestamp() - oldest), 1),
            ),
            models=self._models,
            runtime=runtime_name(),
            temperature_c=temperature_c(),
            throttled=throttled(),
            rss_mb=rss_mb(),
        )

    def _source(self, source: Watched, lane: Lane, now: float) -> SourceStatus:
        state = source.state()
        return SourceStatus(
            name=source.name,
            kind=source.kind,
            state=state.state,
            frames=state.frames,
            analysed=lane.analysed,
            fps=round(self._rate(source.name, state.frames, now), 1),
            last_frame_age_s=None if state.last_frame_at is None else round(max(0.0, now - state.last_frame_at), 1),
            reconnects=state.reconnects,
            error=state.error,
        )

    def _rate(self, name: str, frames: int, now: float) -> float:
        since, before, rate = self._before.get(name, (self._started_at, 0, 0.0))
        elapsed = now - since
        if elapsed < _RATE_OVER_S and name in self._before:
            return rate
        rate = (frames - before) / max(elapsed, 0.1)
        if elapsed >= _RATE_OVER_S:
            self._before[name] = (now, frames, rate)
        return rate
