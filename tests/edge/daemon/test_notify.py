"""What systemd is told: one line a message, whatever somebody has called a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.daemon.notify import notify
from support.notify import NotifySocket


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NotifySocket]:
    with NotifySocket(tmp_path) as listening:
        monkeypatch.setenv("NOTIFY_SOCKET", listening.address)
        yield listening


def test_lines_come_as_they_are(systemd: NotifySocket) -> None:
    notify("READY=1", "STATUS=running at 40 °C")

    assert systemd.received() == ["READY=1", "STATUS=running at 40 °C"]


def test_text_cannot_give_systemd_commands(systemd: NotifySocket) -> None:
    notify("STATUS=x\nWATCHDOG=trigger\ny.jpg")

    assert systemd.received() == ["STATUS=x\\nWATCHDOG=trigger\\ny.jpg"]


def test_a_name_that_is_no_utf8_can_be_told(systemd: NotifySocket) -> None:
    notify("STATUS=" + os.fsdecode(b"M\xfcller.jpg"))

    assert systemd.received() == ["STATUS=M\\udcfcller.jpg"]
