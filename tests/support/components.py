"""Things that must be installed. Where they are not, the test is skipped with a cure; in CI that is a failure."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"

T = TypeVar("T")


def require(there: object, cure: str) -> None:
    """Skips the test if something is missing, with what to do about it; fails it in CI."""
    if not there:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have it: {cure}")
        pytest.skip(cure)


def require_program(name: str, package: str) -> str:
    """The path of a program of the system."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    require(path, f"{name} is missing: apt-get install {package}")
    assert path is not None
    return path


def require_shared(*parts: str) -> Path:
    """A file or folder of ../shared, which holds pictures that cannot be published with the project."""
    path = SHARED.joinpath(*parts)
    require(path.exists(), f"needs pictures of ../shared: {Path(*parts)}")
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(what: Callable[[], T], limit_s: float = 15.0) -> T:
    """Asks until the answer is true; the answer. Fails with the last one after the limit."""
    deadline = time.monotonic() + limit_s
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"still {answer!r} after {limit_s} s"
        time.sleep(0.05)


def end(process: subprocess.Popen[str], limit_s: float = 10.0) -> int:
    """SIGTERM, then the exit code; SIGKILL and a failure if it does not end."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
