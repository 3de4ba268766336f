"""The AsyncAPI 3 document: which message comes on which topic, retained or not, at which quality of service."""

from __future__ import annotations

from typing import Any

from edge import __version__
from edge.messages import json_schema

_PARAMETERS = {
    "source": {"description": "name of the source"},
    "homeassistant": {"description": "homeassistant.prefix", "default": "homeassistant"},
    "prefix": {"description": "mqtt.prefix", "default": "maskgate"},
    "device": {"description": "device_id"},
}
_TOPICS: tuple[tuple[str, str, int, bool, str], ...] = (
    (
        "event",
        "{prefix}/{device}/event",
        1,
        False,
        "One verdict a person at a camera, one a face in a dropped-in file.",
    ),
    ("image", "{prefix}/{device}/image", 1, False, "One record a dropped-in file, also when it cannot be read."),
    ("status", "{prefix}/{device}/status", 1, True, "The device's state, on change and every 60 s."),
    ("availability", "{prefix}/{device}/availability", 1, True, "online or offline; offline is also the Last Will."),
    (
        "snapshot",
        "{prefix}/{device}/snapshot/{source}",
        0,
        False,
        "A JPEG of a source, only if privacy.snapshots is on.",
    ),
    (
        "discovery",
        "{homeassistant}/device/{device}/config",
        1,
        True,
        "Home Assistant device discovery, only if homeassistant.discovery is on; empty when it is taken back.",
    ),
)
_PAYLOADS: dict[str, dict[str, Any]] = {
    "availability": {"contentType": "text/plain", "payload": {"type": "string", "enum": ["online", "offline"]}},
    "snapshot": {"contentType": "image/jpeg", "payload": {"type": "string", "format": "binary"}},
    "discovery": {"contentType": "application/json", "payload": {"type": "object"}},
    "birth": {"contentType": "text/plain", "payload": {"type": "string"}},
}


def asyncapi_document() -> dict[str, Any]:
    """Everything that the daemon publishes, and the one topic that it listens to."""
    schemas: dict[str, Any] = {}
    for name in ("event", "image", "status"):
        schema = json_schema(name, "#/components/schemas/{model}")
        schemas |= schema.pop("$defs")
        schemas[name] = schema
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for name, address, qos, retain, summary in _TOPICS:
        channels[name] = _channel(name, address)
        operations[f"send_{name}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": summary,
            "bindings": {"mqtt": {"qos": qos, "retain": retain, "bindingVersion": "0.2.0"}},
        }
        messages[name] = _PAYLOADS.get(
            name, {"contentType": "application/json", "payload": {"$ref": f"#/components/schemas/{name}"}}
        )
    channels["birth"] = _channel("birth", "{homeassistant}/status")
    messages["birth"] = _PAYLOADS["birth"]
    operations["receive_birth"] = {
        "action": "receive",
        "channel": {"$ref": "#/channels/birth"},
        "summary": "On `online` the discovery is sent again; listened to only if homeassistant.discovery is on.",
        "bindings": {"mqtt": {"qos": 1, "bindingVersion": "0.2.0"}},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "maskgate",
            "version": __version__,
            "description": "Mask and no_mask verdicts at a door. Delivered at least once: drop doubles by id.",
        },
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }


def _channel(name: str, address: str) -> dict[str, Any]:
    return {
        "address": address,
        "parameters": {key: about for key, about in _PARAMETERS.items() if f"{{{key}}}" in address},
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }
