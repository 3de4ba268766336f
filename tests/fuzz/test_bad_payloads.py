"""`maskgate listen` and messages that no maskgate sent: anyone may publish on a broker."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edge.cli import listen as listen_module
from edge.heard import Heard, as_records, as_table
from edge.mqtt import subscriber
from edge.settings import MqttSettings
from fuzz import SEED, cases
from fuzz.mutation import mutated
from support.messages import an_event


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def listened(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `maskgate listen` with these payloads coming from the broker, and a good one behind them."""

    def run(payloads: list[bytes], *options: str) -> Result:
        def receive(settings: MqttSettings, topic: str, on_message: Callable[[str, bytes], None], *_: object) -> None:
            for payload in [*payloads, an_event().to_json().encode()]:
                on_message("maskgate/lobby-1/event", payload)

        monkeypatch.setattr(subscriber, "receive", receive)
        return CliRunner().invoke(listen_module.listen, list(options))

    return run


def as_json(**changes: object) -> bytes:
    """An event with some of its fields replaced."""
    return json.dumps(json.loads(an_event().to_json()) | changes).encode()


_ODD = {
    "nothing": b"",
    "no JSON": b"hello",
    "no UTF-8": b"\xff\xfe",
    "a number": b"3",
    "null": b"null",
    "a list": b"[]",
    "an empty object": b"{}",
    "a hundred thousand brackets": b"[" * 100_000,
    "five thousand digits": b"9" * 5000,
    "a probability that is none": as_json(p_mask="high"),
    "a probability that is no number": as_json(p_mask=float("nan")),
    "a probability beyond any": as_json(p_mask=float("inf")),
    "a probability of 401 digits": as_json(p_mask=10**400),
    "numbers of 4,300 digits": as_json(time=10**4299, seq=-(10**4299), p_mask=10**4299),
    "neither person nor picture": as_json(track=None, image=None),
    "a picture without a name": as_json(image={}),
    "a device that is a list": as_json(device=[1]),
    "a type that is an object": as_json(event_type={}),
    "half of a surrogate pair": as_json(device="\ud800"),
}


@pytest.mark.parametrize("name", _ODD)
def test_an_odd_message_does_not_end_listening(listened: Callable[..., Result], name: str) -> None:
    result = listened([_ODD[name]])

    assert result.exception is None
    assert "lobby-1" in result.output.splitlines()[-1]


@pytest.mark.parametrize("name", _ODD)
def test_an_odd_message_does_not_end_listening_for_json(listened: Callable[..., Result], name: str) -> None:
    result = listened([_ODD[name]], "--json")

    assert result.exception is None
    assert json.loads(result.output.splitlines()[-1])["device"] == "lobby-1"


def test_a_message_cannot_send_commands_to_the_terminal(listened: Callable[..., Result]) -> None:
    result = listened([as_json(device="\x1b]0;owned\x07", source="\x9b2J", time="a\rb\nc")])

    assert result.exception is None
    assert not set(result.output) & set("\x1b\x07\x9b\r")


def test_a_message_cannot_send_commands_to_the_terminal_for_json_either(listened: Callable[..., Result]) -> None:
    odd = json.dumps({"a": "\x7f\x9b2J\u202e\U000e0001"}, indent=1, ensure_ascii=False)
    result = listened([odd.encode(), b"\x1b]0;owned\x07\nlast\r"], "--json")

    first, second, _ = result.output.splitlines()
    assert json.loads(first) == json.loads(odd)
    assert first.isprintable()
    assert second.isprintable()


def test_numbers_that_are_too_long_to_be_written_do_not_end_counting() -> None:
    heard = Heard()
    for number, seq in enumerate((-9 * 10**4299, 9 * 10**4299, 1, 2**63 - 1, 1)):
        heard.take("maskgate/lobby-1/event", as_json(id=str(number), seq=seq))

    assert "lobby-1" in as_table(heard)
    assert [record["device"] for record in as_records(heard)] == ["lobby-1"]


def test_damaged_events_do_not_end_listening(listened: Callable[..., Result]) -> None:
    rng = np.random.default_rng([SEED, 20])
    sound = [an_event().to_json().encode(), as_json(track=None, image={"path": "a.jpg", "sha256": "00"})]

    result = listened([mutated(rng, sound[number % 2]) for number in range(cases(2000))])

    assert result.exception is None
    assert "lobby-1" in result.output.splitlines()[-1]
