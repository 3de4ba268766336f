"""`maskgate demo` beside an installed service. The rest: tests/edge/cli/test_commands.py."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from edge.daemon.demo import free_port, run_demo
from edge.sources.demo import DEMO_URL

OF_THE_BOARD = """
[decision]
min_frames = 500
[web]
enabled = true
port = {taken}
"""


def test_what_a_board_is_configured_to_do_is_not_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as service:
        (tmp_path / "maskgate.toml").write_text(OF_THE_BOARD.format(taken=service.getsockname()[1]))
        monkeypatch.setattr("edge.settings.loading.DEFAULT_CONFIG", tmp_path / "maskgate.toml")

        received = run_demo(DEMO_URL, free_port(), 30, events.append, lambda: bool(events))

    assert received == len(events) > 0
