"""What is taken back from a broker, whatever ends in between; tests/system/test_discovery.py has a real one."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from edge.mqtt.announcer import Announcer
from edge.mqtt.connection import Connection, Receipt
from edge.settings import HomeAssistantSettings, MqttSettings, Settings


class Broker:
    """Takes what it is given, but for topics that it refuses; answers when it is asked to."""

    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.retained: dict[str, str] = {}
        self._sent: list[tuple[str, str]] = []

    def publish(self, topic: str, payload: str, *, retain: bool = False, schema: str = "") -> int:
        assert retain
        assert not schema
        self._sent.append((topic, payload))
        return len(self._sent)

    def subscribe(self, topic: str) -> None:
        assert topic == "homeassistant/status"

    def answer(self, announcer: Announcer) -> None:
        for number, (topic, payload) in enumerate(self._sent, 1):
            refusal = "Not authorized" if topic in self.refused else None
            if refusal is None:
                self.retained[topic] = payload
            assert announcer.settles(Receipt(number, refusal, heard=True))
        self._sent = []

    @property
    def devices(self) -> set[str]:
        return {topic.split("/")[2] for topic, payload in self.retained.items() if payload}


def connected(folder: Path, device: str, broker: Broker, *, answers: bool = True, discovery: bool = True) -> None:
    """A run of the device that connects once."""
    settings = Settings(
        device_id=device,
        state_dir=folder,
        mqtt=MqttSettings(host="broker"),
        homeassistant=HomeAssistantSettings(discovery=discovery),
    )
    announcer = Announcer(settings)
    announcer.begin(cast("Connection", broker))
    if answers:
        broker.answer(announcer)


def test_a_device_that_was_renamed_takes_its_old_name_back_though_a_run_ends_in_between(tmp_path: Path) -> None:
    broker = Broker()
    connected(tmp_path, "old", broker)
    connected(tmp_path, "new", Broker(), answers=False)
    connected(tmp_path, "new", broker)

    assert broker.devices == {"new"}


def test_what_the_broker_does_not_let_be_taken_back_is_tried_again_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = "homeassistant/device/old/config"
    broker = Broker()
    connected(tmp_path, "old", broker)
    broker.refused = (old,)
    connected(tmp_path, "new", broker)
    connected(tmp_path, "newer", broker)
    assert broker.devices == {"old", "newer"}
    assert caplog.text.count(f"allow this user to write {old}") == 2
    broker.refused = ()
    connected(tmp_path, "newer", broker)

    assert broker.devices == {"newer"}
    connected(tmp_path, "newer", Broker(old), discovery=True)
    assert caplog.text.count(f"allow this user to write {old}") == 2, "it is taken back once"


def test_who_gets_an_earlier_name_again_keeps_it(tmp_path: Path) -> None:
    broker = Broker("homeassistant/device/old/config")
    broker.retained["homeassistant/device/old/config"] = "{}"
    connected(tmp_path, "old", Broker())
    connected(tmp_path, "new", broker)
    broker.refused = ()
    connected(tmp_path, "old", broker)

    assert broker.devices == {"old"}


def test_switched_off_all_names_are_taken_back(tmp_path: Path) -> None:
    broker = Broker()
    connected(tmp_path, "old", broker)
    broker.refused = ("homeassistant/device/old/config",)
    connected(tmp_path, "new", broker)
    broker.refused = ()
    connected(tmp_path, "new", broker, discovery=False)

    assert broker.devices == set()
    assert not (tmp_path / "homeassistant.json").exists()
