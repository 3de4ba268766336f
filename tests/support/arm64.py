"""Boards that are not here: a Debian for arm64 and the locked aarch64 wheels, run by qemu-user on this machine.

Nothing is emulated but the processor: files, network and kernel are those of this machine, so there is no container and
no root is needed. Debian and wheels are made once and kept in the user's cache.
"""

from __future__ import annotations

import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy import bundle
from support.components import end, require_program
from support.container import made_once
from support.daemon import ENVIRONMENT

CPUS = ("cortex-a53", "cortex-a72", "cortex-a76")
"""Of the Raspberry Pi 3 and Zero 2 W, of the 4, and of the 5. Not qemu's default, `max`, which has the matrix extension
SME: with it the int8 kernels of LiteRT 2.1.6 go wrong under qemu 7.2, and no such board is on sale."""
SUITES = {"3.11": "bookworm", "3.13": "trixie"}
"""The Debian whose Python it is."""
_PACKAGES = "libc6,libstdc++6,libgcc-s1,zlib1g,libgomp1,python3,python3-minimal,libpython{python}-stdlib"
_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
_MAKE_LIMIT_S = 300
_PROGRAM = "qemu-aarch64-static"


@dataclass(frozen=True)
class Board:
    """A system with an interpreter, and unpacked, all packages of the lock for it and the project's own wheel."""

    python: str
    root: Path
    wheels: Path
    packages: Path
    project: Path

    def run(self, cpu: str, *arguments: str | Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Runs the interpreter to its end."""
        return subprocess.run(
            self._command(*arguments),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=self._environment(cpu),
            cwd=self.project,
            check=False,
        )

    @contextmanager
    def daemon(self, cpu: str, config: Path, limit_s: float) -> Iterator[subprocess.Popen[str]]:
        """`maskgate run`; its log goes beside the configuration, as `daemon.log`."""
        with (config.parent / "daemon.log").open("a") as log:
            process = subprocess.Popen(
                self._command("-m", "edge", "run", "--config", config),
                stdout=log,
                stderr=log,
                text=True,
                env=self._environment(cpu),
                cwd=self.project,
            )
        try:
            yield process
        finally:
            end(process, limit_s)

    def _command(self, *arguments: str | Path) -> list[str]:
        interpreter = self.root / "usr" / "bin" / f"python{self.python}"
        return [
            require_program(_PROGRAM, "qemu-user-static"),
            "-L",
            str(self.root),
            str(interpreter),
            *map(str, arguments),
        ]

    def _environment(self, cpu: str) -> dict[str, str]:
        return ENVIRONMENT | {"QEMU_CPU": cpu, "PYTHONPATH": f"{self.project}:{self.packages}", "PYTHONNOUSERSITE": "1"}


def board(python: str, project: Path) -> Board:
    """The board whose system has this version of Python.

    Args:
        python: a key of `SUITES`.
        project: where this checkout's wheel has been unpacked.
    """
    require_program(_PROGRAM, "qemu-user-static")
    fetched = _fetched(python)
    return Board(python, _debian(python), fetched / "wheels", fetched / "unpacked", project)


def unpack(wheels: Path, folder: Path) -> None:
    """Unpacks all wheels of a folder: what pip does but for commands, which nobody needs here."""
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)


def _debian(python: str) -> Path:
    """Unpacked only: what runs in it needs no maintainer script, and those would take minutes."""
    program = require_program("mmdebstrap", "mmdebstrap")
    require_program("arch-test", "arch-test")
    suite, included = SUITES[python], _PACKAGES.format(python=python)

    def make(folder: Path) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".sources") as sources:
            here = _SOURCES.read_text() if _SOURCES.exists() else ""
            sources.write(here.replace("bookworm", suite))
            sources.flush()
            command = [program, "--arch=arm64", "--variant=extract", f"--include={included}", suite, str(folder)]
            command += [sources.name] if "bookworm" in here else []
            subprocess.run(command, check=True, timeout=_MAKE_LIMIT_S, capture_output=True)
        if not (folder / "lib").exists():
            (folder / "lib").symlink_to("usr/lib")  # its package is not needed otherwise

    return made_once(f"arm64-{suite}", included, make)


def _fetched(python: str) -> Path:
    def make(folder: Path) -> None:
        (folder / "wheels").mkdir()
        bundle.fetch_wheels(folder / "wheels", "aarch64", python)
        unpack(folder / "wheels", folder / "unpacked")

    return made_once(f"aarch64-{python}", bundle.LOCK.read_text(), make)
