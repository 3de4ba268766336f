"""`maskgate bench` starts a daemon; here one that cannot run. The rest: tests/edge/cli/test_commands.py."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge.cold_start import cold_start_s
from edge.errors import UnavailableError
from edge.settings import load_settings


def test_a_daemon_that_ends_at_once_is_not_waited_for_and_says_why(tmp_path: Path) -> None:
    config = tmp_path / "maskgate.toml"
    config.write_text('[detector]\nmodel = "there_is_none"\n')

    began = time.monotonic()
    with pytest.raises(UnavailableError, match=r"ended with 78 before it was ready.*there_is_none"):
        cold_start_s(load_settings(config))
    assert time.monotonic() - began < 30  # far below its limit


def test_a_long_temporary_folder_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))

    assert cold_start_s(load_settings(None)) > 0
