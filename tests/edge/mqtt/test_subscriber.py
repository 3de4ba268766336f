"""What a listener bears once it has been connected, and what it does not at the start."""

from __future__ import annotations

import pytest

from edge.errors import ConfigError
from edge.mqtt import subscriber as subscriber_module
from edge.mqtt.subscriber import receive
from edge.settings import MqttSettings

RENEWED = ConfigError("mqtt.ca_file: is empty")


class Lost:
    """A connection that is lost at once."""

    refused_subscription = None

    def subscribe(self, _: str) -> None: ...

    def poll(self, _: float) -> bool:
        return False

    def close(self) -> None: ...


def listen(monkeypatch: pytest.MonkeyPatch, *found: Lost | ConfigError) -> int:
    """How often a connection was tried before all that was to be found had been."""
    left = list(found)

    def connect(*_: object) -> Lost:
        each = left.pop(0)
        if isinstance(each, ConfigError):
            raise each
        return each

    monkeypatch.setattr(subscriber_module, "connect", connect)
    monkeypatch.setattr(subscriber_module, "_wait", lambda *_: None)
    receive(MqttSettings(), ["maskgate/+/event"], lambda *_: None, lambda: not left)
    return len(found) - len(left)


def test_certificates_that_are_renewed_just_now_end_no_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    assert listen(monkeypatch, Lost(), RENEWED, RENEWED, Lost()) == 4


def test_certificates_that_are_wrong_from_the_start_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"mqtt\.ca_file: is empty"):
        listen(monkeypatch, RENEWED, Lost())
