"""A real Home Assistant core reads what the daemon announces: its schemas, its entities, an automation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.messages import Event
from edge.mqtt import homeassistant
from edge.settings import (
    CameraSource,
    DecisionSettings,
    FolderSource,
    HomeAssistantSettings,
    PrivacySettings,
    Settings,
    Source,
)
from edge.vision.classifier import Label
from support.broker import Mosquitto, publish, subscribed
from support.components import ROOT, eventually
from support.daemon import running, write_config
from support.home_assistant import HomeAssistant, home_assistant
from support.messages import an_event

DOOR = '[[sources]]\nname = "door"\nkind = "camera"\nurl = "demo:"'
DISCOVERY = "[homeassistant]\ndiscovery = true"
VERDICT = "event.maskgate_lobby_1_verdict"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("house")


@pytest.fixture(scope="module")
def broker(folder: Path) -> Iterator[Mosquitto]:
    mosquitto = Mosquitto(folder)
    mosquitto.start()
    yield mosquitto
    mosquitto.stop()


@pytest.fixture(scope="module")
def automation(folder: Path) -> Path:
    """The one of docs/home-assistant.md."""
    page = (ROOT / "docs" / "home-assistant.md").read_text()
    shown = re.search(r"^```yaml automation\n(.*?)^```$", page, re.M | re.S)
    assert shown is not None
    path = folder / "automation.yaml"
    path.write_text(shown[1])
    return path


@pytest.fixture(scope="module")
def home(folder: Path, broker: Mosquitto, automation: Path) -> Iterator[HomeAssistant]:
    with home_assistant(folder, broker.port, automation) as assistant:
        yield assistant


def settings(device: str, *sources: Source, snapshots: str = "off", uncertain: bool = False) -> Settings:
    return Settings(
        device_id=device,
        sources=sources,
        decision=DecisionSettings(publish_uncertain=uncertain),
        homeassistant=HomeAssistantSettings(discovery=True),
        privacy=PrivacySettings(snapshots=snapshots),
    )


def event_json(device: str, age_s: float = 0, label: Label = Label.NO_MASK, **changes: object) -> str:
    stamp = datetime.now(UTC) - timedelta(seconds=age_s)
    event: Event = an_event(label).model_copy(update={"device": device, "time": stamp, **changes})
    return event.to_json()


def announce(port: int, chosen: Settings) -> None:
    """As the daemon would, from outside, with an availability that nobody takes back."""
    publish(port, f"maskgate/{chosen.device_id}/availability", "online", "-r")
    payload = json.dumps(homeassistant.discovery_payload(chosen))
    publish(port, homeassistant.discovery_topic(chosen), payload, "-r")


@pytest.mark.parametrize("snapshots", ["off", "blurred"])
def test_its_schemas_know_every_key(home: HomeAssistant, snapshots: str) -> None:
    door = CameraSource(kind="camera", name="door", url="demo:")
    inbox = FolderSource(kind="folder", name="in-box_2", path=Path("inbox"))
    payload = homeassistant.discovery_payload(settings("lobby-9", door, inbox, snapshots=snapshots, uncertain=True))

    assert home.ask("complaints", payload) == []
    payload["components"]["verdict"]["availabilty_topic"] = "misspelt"
    assert home.ask("complaints", payload) != []


def test_no_mask_is_a_problem_for_a_while_and_what_comes_late_is_none(
    home: HomeAssistant, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(homeassistant, "ALARM_S", 2)
    announce(broker.port, settings("alarm-1"))
    topic, alarm = "maskgate/alarm-1/event", "binary_sensor.maskgate_alarm_1_no_mask_seen"
    verdict = "event.maskgate_alarm_1_verdict"
    home.wait(verdict, "unknown")

    publish(broker.port, topic, event_json("alarm-1", age_s=120))
    home.wait(verdict, lambda state: state != "unknown")
    assert home.state(alarm) == "unknown"
    publish(broker.port, topic, event_json("alarm-1"))
    home.wait(alarm, "on")
    publish(broker.port, topic, event_json("alarm-1", label=Label.MASK))
    eventually(lambda: home.attribute(verdict, "event_type") == "mask")
    home.wait(alarm, "off")
    publish(broker.port, topic, event_json("alarm-1", age_s=120, clock_synced=False))
    home.wait(alarm, "on")


def test_the_automation_that_is_shown_runs_once_an_event(home: HomeAssistant, broker: Mosquitto) -> None:
    announce(broker.port, settings("lobby-1"))
    home.wait(VERDICT, "unknown")
    topic = "maskgate/lobby-1/event"

    once = event_json("lobby-1", source="gate")
    for payload in (
        event_json("lobby-1", label=Label.MASK),
        once,
        once,
        event_json("lobby-1", age_s=300, source="late"),
        event_json("lobby-1", source="last"),
    ):
        publish(broker.port, topic, payload)
    eventually(lambda: any("at last" in note for note in home.ask("notifications")))
    notes = home.ask("notifications")

    assert [re.search(r"at (\w+)", note)[1] for note in notes] == ["gate", "last"]  # type: ignore[index]
    publish(broker.port, "homeassistant/device/lobby-1/config", "", "-r")
    eventually(lambda: VERDICT not in home.entities())


def test_the_life_of_a_device(folder: Path, broker: Mosquitto, automation: Path, home: HomeAssistant) -> None:
    inbox = f'[[sources]]\nname = "inbox"\nkind = "folder"\npath = "{folder / "inbox"}"'
    lost = '[[sources]]\nname = "yard"\nkind = "camera"\nurl = "/dev/video77"'
    with running(write_config(folder, broker.port, DOOR, inbox, lost, DISCOVERY)):
        eventually(lambda: home.attribute(VERDICT, "source") == "door", 30)
        home.wait("binary_sensor.maskgate_lobby_1_source_door", "on")
        home.wait("binary_sensor.maskgate_lobby_1_source_yard", "off")
        home.wait("sensor.maskgate_lobby_1_state", "degraded")
        shown = home.entities()
        assert shown["binary_sensor.maskgate_lobby_1_source_inbox"]["state"] == "on"
        assert "video77" in shown["binary_sensor.maskgate_lobby_1_source_yard"]["attributes"]["error"]
        for name in ("no_mask_count", "messages_waiting", "messages_lost", "picture_count", "frame_rate_door"):
            assert float(shown[f"sensor.maskgate_lobby_1_{name}"]["state"]) >= 0
        assert not any(entity.startswith("image.maskgate_lobby") for entity in shown)
    home.wait(VERDICT, "unavailable")

    with running(write_config(folder, broker.port, DOOR, DISCOVERY)):  # two sources fewer
        home.wait(VERDICT, lambda state: state != "unavailable")
        eventually(lambda: not {e for e in home.entities() if "inbox" in e or "yard" in e or "picture" in e}, 20)

    with running(write_config(folder, broker.port, DOOR)):  # switched off
        eventually(lambda: not {e for e in home.entities() if "lobby_1" in e}, 20)
        with subscribed(folder, broker.port, topic="homeassistant/device/lobby-1/#") as late:
            assert late.received() == []
    assert not (folder / "state" / "homeassistant.json").exists()
    assert home.ask("warnings") == []


def test_when_it_starts_anew_it_is_told_again(folder: Path, broker: Mosquitto, home: HomeAssistant) -> None:
    """By its own birth message: what is retained is taken away before."""
    door = "binary_sensor.maskgate_lobby_1_source_door"
    with running(write_config(folder, broker.port, DOOR, DISCOVERY)):
        home.wait(door, "on")
        publish(broker.port, "homeassistant/device/lobby-1/config", "", "-r")
        eventually(lambda: home.state(door) is None)
        home.ask("restart")
        home.wait(door, "on")
