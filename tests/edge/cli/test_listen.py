"""What a listener leaves of what it has counted, whatever ends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli.listen import listen
from edge.errors import UnavailableError
from edge.mqtt import subscriber


@pytest.mark.parametrize("heard", [0, 3])
def test_counts_are_told_though_an_error_ends_the_listener(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: int
) -> None:
    def receive(_: object, __: object, take: Callable[[str, bytes], None], ___: object) -> None:
        for seq in range(1, heard + 1):
            message = {"id": f"id {seq}", "seq": seq, "source": "door", "event_type": "mask"}
            take("maskgate/lobby-1/event", json.dumps(message).encode())
        raise UnavailableError("refuses to be subscribed")

    monkeypatch.setattr(subscriber, "receive", receive)
    config = tmp_path / "maskgate.toml"
    config.write_text("")

    done = CliRunner().invoke(listen, ["--counts", "--json", "--config", str(config)])

    assert isinstance(done.exception, UnavailableError)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [device["sources"][0]["mask"] for device in told] == [heard] * bool(heard)
