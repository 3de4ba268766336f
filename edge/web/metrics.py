"""`/metrics`: the status in the form that Prometheus reads, asked anew at each scrape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)

from edge.history import LATENCY_BOUNDS_S, Latency
from edge.messages import SourceStatus, Status
from edge.vision.classifier import Label
from edge.web.facts import Facts

CONTENT_TYPE = CONTENT_TYPE_LATEST
_MEGABYTE = 1e6


class Metrics:
    """Owns a registry, so that nothing of other libraries gets into it."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: the registry would ask for the status at the start."""
        return ()

    def collect(self) -> Iterator[Metric]:
        status = self._facts.status()
        yield from _counts(status)
        yield from _sources(status.sources)
        yield from _outbox(status)
        broker = self._facts.broker()
        if broker.address is not None:
            yield GaugeMetricFamily("maskgate_broker_up", "1 while the broker takes messages.", broker.problem is None)
        yield from _device(status)
        yield _latency(self._facts.history.latency())


def _counts(status: Status) -> Iterator[Metric]:
    counts = status.counts.model_dump()
    verdicts = CounterMetricFamily("maskgate_verdicts", "Verdicts on people and faces.", labels=["label"])
    for label in Label:
        verdicts.add_metric([label], counts[label])
    yield verdicts
    yield CounterMetricFamily("maskgate_too_small", "Faces too small to judge.", counts["too_small"])
    images = CounterMetricFamily("maskgate_images", "Dropped-in pictures.", labels=["result"])
    images.add_metric(["ok"], counts["images"])
    images.add_metric(["failed"], counts["failed_images"])
    yield images


def _sources(sources: Iterable[SourceStatus]) -> Iterator[Metric]:
    labels = ["source", "kind"]
    up = GaugeMetricFamily("maskgate_source_up", "1 while the source is as it should be.", labels=labels)
    frames = CounterMetricFamily("maskgate_source_frames", "Frames or files that came.", labels=labels)
    analysed = CounterMetricFamily("maskgate_source_analysed", "Of these, analysed.", labels=labels)
    fps = GaugeMetricFamily("maskgate_source_fps", "Frames a second, lately.", labels=labels)
    age = GaugeMetricFamily("maskgate_source_last_frame_age_seconds", "Since the last frame.", labels=labels)
    reconnects = CounterMetricFamily("maskgate_source_reconnects", "Times it was lost and came back.", labels=labels)
    for source in sources:
        names = [source.name, source.kind]
        up.add_metric(names, source.state == "ok")
        frames.add_metric(names, source.frames)
        analysed.add_metric(names, source.analysed)
        fps.add_metric(names, source.fps)
        reconnects.add_metric(names, source.reconnects)
        if source.last_frame_age_s is not None:
            age.add_metric(names, source.last_frame_age_s)
    yield from (up, frames, analysed, fps, age, reconnects)


def _outbox(status: Status) -> Iterator[Metric]:
    outbox = status.outbox
    yield GaugeMetricFamily("maskgate_outbox_pending", "Messages that wait for the broker.", outbox.pending)
    yield CounterMetricFamily("maskgate_outbox_dropped", "Messages lost to the outbox's limits.", outbox.dropped)
    if outbox.oldest_age_s is not None:
        yield GaugeMetricFamily("maskgate_outbox_oldest_age_seconds", "Of the oldest message.", outbox.oldest_age_s)


def _device(status: Status) -> Iterator[Metric]:
    models = {f"model_{number}": f"{model.name}@{model.sha256[:8]}" for number, model in enumerate(status.models, 1)}
    info = {"device": status.device, "version": status.version, "runtime": status.runtime}
    yield InfoMetricFamily("maskgate", "What runs.", info | models)
    yield GaugeMetricFamily("maskgate_running", "0 while something is wrong, see the page.", status.state == "running")
    yield GaugeMetricFamily("maskgate_uptime_seconds", "Since the start.", status.uptime_s)
    yield GaugeMetricFamily("maskgate_resident_memory_bytes", "Memory in use.", status.rss_mb * _MEGABYTE)
    if status.temperature_c is not None:
        yield GaugeMetricFamily("maskgate_temperature_celsius", "Of the processor.", status.temperature_c)
    if status.throttled is not None:
        yield GaugeMetricFamily(
            "maskgate_throttled", "1 while the firmware reports weak power or less speed.", status.throttled
        )


def _latency(latency: Latency) -> Metric:
    bounds = [f"{bound:g}" for bound in LATENCY_BOUNDS_S]
    buckets = [*zip(bounds, latency.within, strict=True), ("+Inf", latency.count)]
    name, text = "maskgate_event_latency_seconds", "From the frame to the event."
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=latency.sum_s)
