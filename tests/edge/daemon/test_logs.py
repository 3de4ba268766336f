"""What is logged: a line a message."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from edge.daemon.logs import set_up_logs


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize("in_journal", [False, True])
def test_a_name_with_line_ends_makes_no_message_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], in_journal: bool
) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    if in_journal:
        monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    set_up_logs("info")

    logging.getLogger("edge").warning("source %s: %s cannot be claimed", "inbox", "x\nready\x1b[2J")

    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("source inbox: x\\nready\\x1b[2J cannot be claimed")


def test_a_traceback_keeps_its_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    set_up_logs("info")
    try:
        int("why")
    except ValueError:
        logging.getLogger("edge").exception("gone wrong")

    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["<3>gone wrong", "<3>Traceback (most recent call last):"]
    assert lines[-1].startswith("<3>ValueError: ")
