"""The choice of a version, with brokers that are a list of what each try meets."""

from __future__ import annotations

from typing import cast

import pytest

from edge.errors import UnavailableError
from edge.mqtt.connection import Connection, RefusedVersionError, UnsupportedProtocolError
from edge.mqtt.subscriber import receive
from edge.mqtt.versions import connect
from edge.settings import MqttSettings

SAYS_NO, SILENT, AWAY = RefusedVersionError, UnsupportedProtocolError, UnavailableError
"""What a try can meet beside a connection: an answer, a connection that ends or is ignored, none at all."""


class Opened:
    """A connection that knows its version, and whether it was taken leave of."""

    def __init__(self, version: str) -> None:
        self.version, self.ends = version, ""

    def disconnect(self) -> None:
        self.ends += "disconnected "

    def close(self) -> None:
        self.ends += "closed"


class Broker:
    """Meets each try with the next of `answers`: an error, or None for a connection."""

    def __init__(self, *answers: type[UnavailableError] | None) -> None:
        self._answers = list(answers)
        self.tried: list[str] = []
        self.opened: list[Opened] = []

    def open_with(self, version: str) -> Connection:
        self.tried.append(version)
        answer = self._answers.pop(0)
        if answer is not None:
            raise answer("no")
        self.opened.append(Opened(version))
        return cast("Connection", self.opened[-1])


@pytest.mark.parametrize(
    ("answers", "tried"),
    [
        ([None], ["5"]),
        ([SAYS_NO, None], ["5", "3.1.1"]),
        ([SILENT, None, None], ["5", "3.1.1", "5"]),
        ([SILENT, None, SILENT, None], ["5", "3.1.1", "5", "3.1.1"]),
        ([SILENT, None, SAYS_NO, None], ["5", "3.1.1", "5", "3.1.1"]),
    ],
    ids=["knows 5", "says that it knows only 3.1.1", "was away a moment ago", "ends what is 5", "says so later"],
)
def test_3_1_1_is_spoken_where_5_fails_while_3_1_1_works(
    answers: list[type[UnavailableError] | None], tried: list[str]
) -> None:
    broker = Broker(*answers)
    connection = connect("auto", broker.open_with)

    assert broker.tried == tried
    assert connection.version == tried[-1]
    assert [each.ends for each in broker.opened] == ["disconnected closed"] * (len(broker.opened) - 1) + [""]


@pytest.mark.parametrize(
    ("answers", "tried"),
    [
        ([AWAY], ["5"]),
        ([SILENT, SILENT], ["5", "3.1.1"]),
        ([SILENT, AWAY], ["5", "3.1.1"]),
        ([SILENT, None, AWAY], ["5", "3.1.1", "5"]),
    ],
)
def test_where_none_is_made_the_next_call_begins_with_5_again(
    answers: list[type[UnavailableError] | None], tried: list[str]
) -> None:
    broker = Broker(*answers, None)
    with pytest.raises(UnavailableError):
        connect("auto", broker.open_with)

    assert connect("auto", broker.open_with).version == "5"
    assert broker.tried == [*tried, "5"]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("error", [SAYS_NO, SILENT, AWAY])
def test_what_the_configuration_names_is_the_only_one_tried(protocol: str, error: type[UnavailableError]) -> None:
    broker = Broker(error, None)
    with pytest.raises(error):
        connect(protocol, broker.open_with)

    assert connect(protocol, broker.open_with).version == protocol
    assert broker.tried == [protocol, protocol]


def test_who_has_been_told_to_end_tries_no_further_version(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def silent(_settings: object, version: str, *_: object, **__: object) -> Connection:
        asked.append(version)
        raise UnsupportedProtocolError("accepts the connection and says nothing")

    monkeypatch.setattr("edge.mqtt.subscriber.Connection", silent)
    receive(MqttSettings(), ["x"], lambda *_: None, lambda: bool(asked))
    assert asked == ["5"]
