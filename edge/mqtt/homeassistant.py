"""What Home Assistant is told, so that the device appears there by itself: one message with all its entities.

Its keys are those of https://www.home-assistant.io/integrations/mqtt/ (device discovery). Home Assistant passes over
keys that it does not know, so the tests let it read the message.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge import __version__
from edge.mqtt.topics import Topics
from edge.settings import CameraSource, FolderSource, Settings

ALARM_S = 30
"""How long `no_mask_seen` stays on after each person without a mask."""
LATE_S = 60
"""An event older than this, which an outage held up, does not switch it on."""

_NO_MASK_NOW = (
    "{% set late = value_json.clock_synced and now() - as_datetime(value_json.time) > timedelta(seconds="
    + str(LATE_S)
    + ") %}"
    "{{ 'ON' if value_json.event_type == 'no_mask' and not late }}"
)
_SOURCE = "{{% set source = value_json.sources | selectattr('name', 'eq', '{name}') | first | default(none) %}}"
_CONNECTED = _SOURCE + "{{{{ 'ON' if source and source.state == 'ok' else 'OFF' }}}}"
_WHY = _SOURCE + "{{{{ {{'state': source.state, 'error': source.error}} | tojson if source else '{{}}' }}}}"
_FPS = _SOURCE + "{{{{ source.fps if source else none }}}}"


def discovery_topic(settings: Settings) -> str:
    return f"{settings.homeassistant.prefix}/device/{settings.device_id}/config"


def birth_topic(settings: Settings) -> str:
    """Where Home Assistant says `online` once it listens."""
    return f"{settings.homeassistant.prefix}/status"


def discovery_payload(settings: Settings) -> dict[str, Any]:
    """The device with its entities, as the configuration makes them.

    Entities are known for ever by `unique_id`, so the keys of the components must stay as they are.
    """
    topics = Topics(settings.mqtt.prefix, settings.device_id)
    identity = f"maskgate_{settings.device_id}"
    components = {
        key: {**component, "unique_id": f"{identity}_{key}"} for key, component in _components(settings, topics)
    }
    return {
        "device": {
            "identifiers": [identity],
            "name": f"maskgate {settings.device_id}",
            "manufacturer": "maskgate",
            "model": "Face-mask sensor",
            "sw_version": __version__,
        },
        "origin": {"name": "maskgate", "sw_version": __version__},
        "availability_topic": topics.of("availability"),
        "components": components,
    }


def _components(settings: Settings, topics: Topics) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from _verdicts(topics.of("event"), with_uncertain=settings.decision.publish_uncertain)
    yield from _counts(topics.of("status"), with_images=any(isinstance(s, FolderSource) for s in settings.sources))
    yield from _machine(topics.of("status"))
    for source in settings.sources:
        yield from _source(source.name, topics.of("status"))
        if isinstance(source, CameraSource):
            yield from _camera(source.name, topics, with_snapshots=settings.privacy.snapshots != "off")


def _verdicts(topic: str, *, with_uncertain: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    yield (
        "verdict",
        {
            "platform": "event",
            "name": "Verdict",
            "state_topic": topic,
            "qos": 1,
            "event_types": ["mask", "no_mask", *(["uncertain"] if with_uncertain else [])],
            "icon": "mdi:face-mask",
        },
    )
    yield (
        "no_mask_seen",
        {
            "platform": "binary_sensor",
            "name": "No mask seen",
            "device_class": "problem",
            "state_topic": topic,
            "qos": 1,
            "value_template": _NO_MASK_NOW,
            "off_delay": ALARM_S,
        },
    )


def _counts(topic: str, *, with_images: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    names = {"mask": "Mask count", "no_mask": "No mask count", "uncertain": "Uncertain count"}
    if with_images:
        names |= {"images": "Picture count", "failed_images": "Failed picture count"}
    for key, name in names.items():
        yield (
            f"count_{key}",
            {
                "platform": "sensor",
                "name": name,
                "state_topic": topic,
                "value_template": f"{{{{ value_json.counts.{key} }}}}",
                "state_class": "total_increasing",
                "icon": "mdi:counter",
            },
        )


def _machine(topic: str) -> Iterator[tuple[str, dict[str, Any]]]:
    def sensor(name: str, path: str, **more: object) -> dict[str, Any]:
        return {
            "platform": "sensor",
            "name": name,
            "state_topic": topic,
            "value_template": f"{{{{ value_json.{path} }}}}",
            "entity_category": "diagnostic",
            **more,
        }

    yield "state", sensor("State", "state", device_class="enum", options=["running", "degraded", "stopping"])
    yield (
        "temperature",
        sensor(
            "Temperature",
            "temperature_c",
            device_class="temperature",
            unit_of_measurement="°C",
            state_class="measurement",
        ),
    )
    yield "outbox_pending", sensor("Messages waiting", "outbox.pending", state_class="measurement")
    yield "outbox_dropped", sensor("Messages lost", "outbox.dropped", state_class="total_increasing")


def _source(name: str, topic: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield (
        f"source_{name}",
        {
            "platform": "binary_sensor",
            "name": f"Source {name}",
            "device_class": "connectivity",
            "state_topic": topic,
            "value_template": _CONNECTED.format(name=name),
            "json_attributes_topic": topic,
            "json_attributes_template": _WHY.format(name=name),
            "entity_category": "diagnostic",
        },
    )


def _camera(name: str, topics: Topics, *, with_snapshots: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    yield (
        f"rate_{name}",
        {
            "platform": "sensor",
            "name": f"Frame rate {name}",
            "state_topic": topics.of("status"),
            "value_template": _FPS.format(name=name),
            "unit_of_measurement": "fps",
            "state_class": "measurement",
            "entity_category": "diagnostic",
        },
    )
    if with_snapshots:
        yield (
            f"snapshot_{name}",
            {
                "platform": "image",
                "name": f"Snapshot {name}",
                "image_topic": topics.of(f"snapshot/{name}"),
                "content_type": "image/jpeg",
            },
        )
