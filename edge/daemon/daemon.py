"""The daemon's life: start the threads, say READY, watch over them, and end in order."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from edge.daemon.clock import Clock
from edge.daemon.notify import notify, watchdog_interval_s
from edge.daemon.page import make_page
from edge.daemon.parts import assemble
from edge.daemon.worker import Worker
from edge.errors import MaskgateError, UnavailableError
from edge.mqtt.embedded import EMBEDDED, EmbeddedBroker
from edge.settings import Settings

log = logging.getLogger(__name__)

FIRST_LOOK_LIMIT_S = 10.0
"""READY waits this long for the first source to be tried."""
# What has not turned for so long hangs, and the watchdog is no longer fed. The pipeline turns many times a second and
# waits for nothing, so the interval of feeding is enough, and the time that a lane asks for. The recorder waits for a
# disk, which on an SD card can take its time; the publisher up to a minute for its next try, and for a name server.
PIPELINE_HUNG_AFTER_S, RECORDER_HUNG_AFTER_S, PUBLISHER_HUNG_AFTER_S = 2.0, 30.0, 180.0
STATUS_EVERY_S = 60.0
_TICK_S = 0.25
# Together under the 5 s that a stop may take. A source may hang in its driver; it has its time while the others stop.
_STOP_PIPELINE_S, _STOP_RECORDER_S, _STOP_PUBLISHER_S, _STOP_BROKER_S = 1.0, 0.5, 2.8, 0.3
_STOP_RECORDER_LAST_S = _STOP_RECORDER_S + _STOP_PUBLISHER_S + _STOP_BROKER_S
"""What these leave is the recorder's, whose disk may be slow."""
_STOP_SOURCE_S = 0.3
_STOP_PAGE_S = 0.5
"""Asked first, with the sources, and so waited for while the others stop."""


class Stop(Protocol):
    """`threading.Event` is one; `StopSignals` is what a signal may set."""

    def wait(self, timeout: float) -> bool:
        """Whether to stop; says so at once when it is known, and otherwise after `timeout` seconds."""
        ...


class Daemon:
    """Made from the configuration (see `assemble` for what can be wrong with it), then `run` once."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._parts = assemble(settings, self._clock)
        self._broker = EmbeddedBroker(settings.mqtt.port) if settings.mqtt.host == EMBEDDED else None
        self._page = make_page(settings, self._parts, self._clock, lambda: self._turning(self._clock.monotonic()))
        self._sources: list[Worker] = []
        self._inner: dict[str, Worker] = {}

    def run(self, stop: Stop) -> None:
        """Works until `stop` is set, then ends within 5 s; what was produced is in the outbox.

        Raises:
            MaskgateError: a thread died; all others have been stopped.
            UnavailableError: the built-in broker cannot be started.
        """
        try:
            self._start()
            self._watch_over(stop)
            self._parts.recorder.ends_in_order = all(worker.died_of is None for worker in self._workers())
        finally:
            self._end()

    def _start(self) -> None:
        parts = self._parts
        if self._page is not None:
            self._page.server.listen()  # before anything is begun that a port which is taken would break off
        if self._broker is not None:
            self._inner["broker"] = Worker("broker", self._broker.run, _STOP_BROKER_S)
            self._broker.wait_until_ready()
        if parts.publisher is not None:
            self._inner["publisher"] = Worker("publisher", parts.publisher.run, _STOP_PUBLISHER_S)
        self._inner["recorder"] = Worker("recorder", parts.recorder.run, _STOP_RECORDER_S)
        self._inner["pipeline"] = Worker("pipeline", parts.pipeline.run, _STOP_PIPELINE_S)
        for name, (source, _) in parts.sources.items():
            self._sources.append(
                Worker(f"source {name}", partial(source.watch, wake=parts.pipeline.wake), _STOP_SOURCE_S)
            )
        if self._page is not None:
            self._inner["page"] = Worker("page", self._page.server.run, _STOP_PAGE_S)
            self._inner["judge"] = Worker("judge", self._page.judge.run, _STOP_PAGE_S)

    def _watch_over(self, stop: Stop) -> None:
        ready_by = self._clock.monotonic() + FIRST_LOOK_LIMIT_S
        ready, said, said_at, fed_at = False, None, 0.0, 0.0
        feed_every_s = watchdog_interval_s()
        while not stop.wait(_TICK_S):
            now = self._clock.monotonic()
            for worker in self._workers():
                if worker.died_of is not None:
                    raise _end_of(worker.name, worker.died_of) from worker.died_of
            problems = self._parts.report.problems()
            if not ready and (self._tried() or now >= ready_by):
                ready = True
                notify("READY=1")
                log.info("ready")
            if ready and (problems != said or now - said_at >= STATUS_EVERY_S):
                said, said_at = problems, now
                self._say(problems)
            if feed_every_s is not None and now - fed_at >= feed_every_s and self._turning(now):
                fed_at = now
                notify("WATCHDOG=1")

    def _workers(self) -> tuple[Worker, ...]:
        return (*self._sources, *self._inner.values())

    def _tried(self) -> bool:
        """Whether any source has come up or has said why it does not."""
        states = [source.state() for source, _ in self._parts.sources.values()]
        return any(state.state != "waiting" or state.error is not None for state in states)

    def _turning(self, now: float) -> bool:
        parts = self._parts
        turns = [
            (parts.pipeline.turned_at, PIPELINE_HUNG_AFTER_S + parts.pipeline.patience_s),
            (parts.recorder.turned_at, RECORDER_HUNG_AFTER_S),
        ]
        if parts.publisher is not None:
            turns.append((parts.publisher.turned_at, PUBLISHER_HUNG_AFTER_S))
        return all(now - turned_at < hung_after_s for turned_at, hung_after_s in turns)

    def _say(self, problems: list[str]) -> None:
        notify(f"STATUS={'; '.join(problems) or 'running'}")
        if self._parts.publisher is not None:
            self._parts.publisher.set_status(self._parts.report.make(stopping=False).to_json())

    def _end(self) -> None:
        """Stops what produces before what takes: sources, pipeline, recorder, publisher, broker."""
        notify("STOPPING=1")
        log.info("stopping")
        parts = self._parts
        for worker in (*self._sources, *(self._inner[name] for name in ("page", "judge") if name in self._inner)):
            worker.ask_to_stop()
        self._stop("pipeline", parts.pipeline.wake)
        self._stop("recorder", parts.recorder.wake)
        if parts.publisher is not None:
            parts.publisher.set_status(parts.report.make(stopping=True).to_json())
            self._stop("publisher", parts.publisher.wake)
        self._stop("broker", lambda: None)
        self._stop("page", lambda: None)
        self._stop("judge", lambda: None)
        for source in self._sources:
            source.join()
        if "recorder" in self._inner:
            self._inner["recorder"].join(_STOP_RECORDER_LAST_S)
        parts.close()

    def _stop(self, name: str, wake: Callable[[], None]) -> None:
        worker = self._inner.get(name)
        if worker is not None:
            worker.ask_to_stop()
            wake()
            worker.join()


def _end_of(name: str, died_of: BaseException) -> MaskgateError:
    """What a thread's death ends the daemon with: never 78, for after that systemd does not start it again.

    The configuration and the models have been good at the start, so another one can help.
    """
    if isinstance(died_of, UnavailableError):
        return died_of
    return MaskgateError(f"the {name} thread died: {died_of!r}")
