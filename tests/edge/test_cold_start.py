"""`maskgate bench` starts a daemon; here one that cannot run. The rest: tests/edge/cli/test_commands.py."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge import cold_start
from edge.cold_start import cold_start_s
from edge.errors import UnavailableError
from edge.settings import load_settings
from support.components import end, eventually
from support.daemon import ENVIRONMENT


def test_a_daemon_that_ends_at_once_is_not_waited_for_and_says_why(tmp_path: Path) -> None:
    config = tmp_path / "maskgate.toml"
    config.write_text('[detector]\nmodel = "there_is_none"\n')

    began = time.monotonic()
    with pytest.raises(UnavailableError, match=r"ended with 78 before it was ready.*there_is_none"):
        cold_start_s(load_settings(config))
    assert time.monotonic() - began < 30  # far below its limit


def children(process: int) -> list[str]:
    return [
        child for task in Path(f"/proc/{process}/task").iterdir() for child in (task / "children").read_text().split()
    ]


def test_a_bench_that_is_ended_leaves_no_daemon_and_no_folder_behind(tmp_path: Path) -> None:
    bench = subprocess.Popen(
        [sys.executable, "-m", "edge", "bench", "--seconds", "0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT | {"TMPDIR": str(tmp_path)},
    )
    try:
        (daemon,) = eventually(lambda: children(bench.pid), 60)
        bench.terminate()
        assert bench.wait(30) == 128 + signal.SIGTERM
        assert not Path(f"/proc/{daemon}").exists()
        assert not list(tmp_path.iterdir())
    finally:
        end(bench)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_nor_does_one_that_is_ended_while_it_starts_the_daemon(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    started: list[subprocess.Popen[str]] = []

    def ended(*_: object) -> None:
        raise KeyboardInterrupt

    def popen(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
        started.append(subprocess.Popen(*arguments, **options))
        signal.raise_signal(number)
        return started[0]

    monkeypatch.setattr(cold_start, "subprocess", SimpleNamespace(**vars(subprocess) | {"Popen": popen}))
    before = signal.signal(number, ended)
    try:
        with pytest.raises(KeyboardInterrupt):
            cold_start_s(load_settings(None))
    finally:
        signal.signal(number, before)
        is_left = started[0].poll() is None
        end(started[0])
    assert not is_left


def test_a_long_temporary_folder_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))

    assert cold_start_s(load_settings(None)) > 0
