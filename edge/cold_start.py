"""How long the daemon takes from the start of its process to READY, as systemd hears it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import edge
from edge.errors import UnavailableError
from edge.settings import Settings

_LIMIT_S = 60.0
_TICK_S = 0.2


def cold_start_s(settings: Settings) -> float:
    """Starts a daemon with the models of `settings` on the demo scene, without a broker, and ends it.

    What it reads from the disk may still be in memory from the last time; the first start after a boot takes longer.

    Raises:
        UnavailableError: it does not get ready; why, as it says itself.
    """
    address = f"maskgate-bench-{os.getpid()}"
    with (
        tempfile.TemporaryDirectory(prefix="maskgate-bench-") as name,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear,
        ExitStack() as ending,
    ):
        ear.bind(f"\0{address}")  # no path, for that of a temporary folder can be too long
        ear.settimeout(_TICK_S)
        config = Path(name) / "maskgate.toml"
        config.write_text(_config(settings, Path(name)), encoding="utf-8")
        began = time.monotonic()
        with _held(signal.SIGTERM, signal.SIGINT):
            daemon = subprocess.Popen(
                [sys.executable, "-m", "edge", "run", "--config", str(config)],
                cwd=Path(edge.__file__).parents[1],
                env=_environment(f"@{address}"),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            ending.callback(_end, daemon)
        _await_ready(daemon, ear, began + _LIMIT_S)
        return time.monotonic() - began


@contextmanager
def _held(*numbers: signal.Signals) -> Iterator[None]:
    """Signals come when the block has ended: within `Popen`, one would leave behind what has just been started."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda caught, _: came.append(caught)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for caught in came:
            signal.raise_signal(caught)


def _await_ready(daemon: subprocess.Popen[str], ear: socket.socket, deadline: float) -> None:
    while time.monotonic() < deadline:
        with suppress(TimeoutError):
            if b"READY=1" in ear.recv(4096).splitlines():
                return
        if daemon.poll() is not None:
            said = (daemon.communicate()[1].strip().splitlines() or ["nothing"])[-1]
            raise UnavailableError(
                f"the daemon ended with {daemon.returncode} before it was ready; its last word: {said}"
            )
    raise UnavailableError(f"the daemon did not get ready in {_LIMIT_S:.0f} s")


def _end(daemon: subprocess.Popen[str]) -> None:
    daemon.terminate()
    try:
        daemon.communicate(timeout=_LIMIT_S)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.communicate()


def _config(settings: Settings, folder: Path) -> str:
    """A string of JSON is one of TOML, too."""
    return "\n".join(
        [
            f'device_id = "bench"\nstate_dir = {json.dumps(str(folder / "state"))}',
            f"[detector]\nmodel = {json.dumps(_absolute(settings.detector.model))}",
            f"[classifier]\nmodel = {json.dumps(_absolute(settings.classifier.model))}",
            '[mqtt]\nhost = ""',
            '[[sources]]\nname = "demo"\nkind = "camera"\nurl = "demo:"',
        ]
    )


def _absolute(model: str) -> str:
    """The daemon runs in another folder than this process."""
    return str(Path(model).resolve()) if Path(model).suffix else model


def _environment(ear: str) -> dict[str, str]:
    """Nothing of it configures the daemon."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MASKGATE_") and name not in ("CREDENTIALS_DIRECTORY", "WATCHDOG_USEC")
    }
    return kept | {"NOTIFY_SOCKET": ear}
