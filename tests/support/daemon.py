"""The daemon as its user runs it: a process with a configuration file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.components import end

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("MASKGATE_")}


def maskgate(*arguments: str | Path, timeout_s: float = 60, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return ended([sys.executable, "-m", "edge", *map(str, arguments)], timeout_s=timeout_s, **variables)


def ended(
    command: list[str], folder: Path | None = None, timeout_s: float = 60, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs any program to its end, in a folder of its own if one is given."""
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=ENVIRONMENT | variables,
        check=False,
    )


@contextmanager
def running(config: Path, *by: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """`maskgate run`, by the command `by` if one is given; its log goes beside the configuration, as `daemon.log`."""
    with (config.parent / "daemon.log").open("a") as log:
        process = subprocess.Popen(
            [*by, sys.executable, "-m", "edge", "run", "--config", str(config)],
            stdout=log,
            stderr=log,
            text=True,
            env=ENVIRONMENT | variables,
        )
    try:
        yield process
    finally:
        end(process)


def write_config(folder: Path, port: int | str, *sections: str, detector: str = "face_detector") -> Path:
    """A configuration with a broker on `port` of localhost, its state in `folder`."""
    config = folder / "maskgate.toml"
    host = 'host = ""' if port == "" else f"port = {port}"
    config.write_text(
        "\n".join(
            [
                'device_id = "lobby-1"',
                f'state_dir = "{folder / "state"}"',
                *sections,
                f'[detector]\nmodel = "{detector}"',
                f"[mqtt]\n{host}",
            ]
        )
    )
    return config
