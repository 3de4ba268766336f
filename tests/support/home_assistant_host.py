"""A Home Assistant core with its MQTT integration, run by the Python of .venv-homeassistant and asked over its stdin.

`home_assistant_host.py FOLDER PORT [AUTOMATION.yaml]`; each line on stdin is `[question, ...arguments]` as JSON and
gets a line of JSON on stdout. It is made of the same calls as `hass` itself makes, without the frontend.
"""

import asyncio
import base64
import json
import logging
import socket
import sys
from importlib import import_module
from typing import Any

import voluptuous as vol
from homeassistant import auth, bootstrap, config_entries, core, loader
from homeassistant.components import mqtt
from homeassistant.components.mqtt.schemas import DEVICE_DISCOVERY_SCHEMA
from homeassistant.helpers import device_registry, entity_registry
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import load_yaml_dict


class Warnings(logging.Handler):
    """What Home Assistant complains of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("homeassistant.components"):
            self.texts.append(record.getMessage())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def started(folder: str, port: int, automation: str | None) -> core.HomeAssistant:
    hass = core.HomeAssistant(folder)
    hass.config.skip_pip = True
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    loader.async_setup(hass)
    await bootstrap.async_load_base_functionality(hass)
    hass.auth = await auth.auth_manager_from_config(hass, [{"type": "homeassistant"}], [])
    automations = [load_yaml_dict(automation)] if automation else []
    sections = {"http": {"server_host": "127.0.0.1", "server_port": free_port()}, "automation": automations}
    for component in ("http", "persistent_notification", "automation"):
        assert await async_setup_component(hass, component, {component: sections.get(component, {})}), component
    await hass.config_entries.async_add(
        config_entries.ConfigEntry(
            data={"broker": "127.0.0.1", "port": port, "protocol": "5"},
            discovery_keys={},
            domain="mqtt",
            version=mqtt.CONFIG_ENTRY_VERSION,
            minor_version=mqtt.CONFIG_ENTRY_MINOR_VERSION,
            options={},
            source="user",
            subentries_data=None,
            title="",
            unique_id=None,
        )
    )
    await hass.async_start()
    return hass


def entities(hass: core.HomeAssistant) -> dict[str, Any]:
    """Those of MQTT: state, attributes, and the name of the device that they are of."""
    devices = device_registry.async_get(hass)
    found = {}
    for entry in entity_registry.async_get(hass).entities.values():
        state = hass.states.get(entry.entity_id)
        device = devices.async_get(entry.device_id) if entry.device_id else None
        found[entry.entity_id] = {
            "state": state and state.state,
            "attributes": state and dict(state.attributes),
            "category": entry.entity_category,
            "device": device and device.name,
        }
    return found


def notifications(hass: core.HomeAssistant) -> list[str]:
    return [each["message"] for each in hass.data.get("persistent_notification", {}).values()]


def complaints(payload: dict[str, Any]) -> list[str]:
    """What Home Assistant's schemas have against a discovery payload; those of YAML refuse unknown keys too."""
    found = []
    try:
        DEVICE_DISCOVERY_SCHEMA(json.loads(json.dumps(payload)))
    except vol.Invalid as error:
        found.append(str(error))
    for key, component in payload["components"].items():
        config = {name: value for name, value in component.items() if name != "platform"}
        schema = import_module(f"homeassistant.components.mqtt.{component['platform']}").PLATFORM_SCHEMA_MODERN
        try:
            schema(config)
        except vol.Invalid as error:
            found.append(f"{key}: {error}")
    return found


async def picture(hass: core.HomeAssistant, entity_id: str) -> dict[str, str] | None:
    image = hass.data["image"].get_entity(entity_id)
    content = await image.async_image()
    return content and {"content_type": image.content_type, "content": base64.b64encode(content).decode()}


async def main() -> None:
    warnings = Warnings()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    logging.getLogger().addHandler(warnings)
    hass = await started(sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
    say = lambda answer: print(json.dumps(answer, default=str), flush=True)  # noqa: E731, T201
    say("started")
    while line := await asyncio.to_thread(sys.stdin.readline):
        question, *arguments = json.loads(line)
        if question == "entities":
            say(entities(hass))
        elif question == "notifications":
            say(notifications(hass))
        elif question == "warnings":
            say(warnings.texts)
        elif question == "complaints":
            say(complaints(*arguments))
        elif question == "restart":
            say(await hass.config_entries.async_reload(hass.config_entries.async_entries("mqtt")[0].entry_id))
        elif question == "picture":
            say(await picture(hass, *arguments))
    await hass.async_stop(force=True)


asyncio.run(main())
