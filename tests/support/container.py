"""A Debian with a systemd of its own, booted by systemd-nspawn. Shares the network, so a broker on loopback is reached.

Its root is made once by mmdebstrap and kept in the user's cache, as are the packages that are installed in it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.components import ROOT, eventually, require, require_program

PACKAGES = "systemd,systemd-sysv,dbus,libpam-systemd,python3,python3-venv"
SUITE, PYTHON = "bookworm", (3, 11)
OFFLINE = "--private-network"
"""A network of its own with loopback alone: nothing else can be reached, not even this machine."""
HOSTS = "127.0.0.1 localhost\n"
_MAKE_LIMIT_S, _DOWNLOAD_LIMIT_S, _BOOT_LIMIT_S, _POWER_OFF_LIMIT_S = 900, 600, 30, 20
_POWER_OFF = signal.SIGRTMIN + 4
"""What systemd as process 1 takes for `poweroff` (systemd(1))."""
_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LANG": "C.UTF-8"}

# A thread that sleeps holds no lock of the interpreter; with one, it would stop all others.
_STOP_THREADS = """
import ctypes, os, sys, time
def sleeps(thread):
    with open(f"/proc/{thread}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "S"
SEIZE, INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
for thread in map(int, sys.argv[1:]):
    while not sleeps(thread):
        time.sleep(0.0005)
    for request in SEIZE, INTERRUPT:
        if ptrace(request, thread, None, None):
            raise OSError(ctypes.get_errno(), f"thread {thread}")
print("stopped", flush=True)
while True:
    try:
        os.waitpid(-1, WALL)
    except ChildProcessError:
        break
"""


@dataclass(frozen=True)
class Container:
    """A booted system. `root` is its file system, seen from here; `init` its first process."""

    root: Path
    init: int

    def run(self, *command: str | Path, check: bool = True, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Runs a command inside to its end. Its output is in the failure if it fails and `check` is set."""
        done = subprocess.run(
            self._inside(*command),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=_ENVIRONMENT,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Makes a file inside, with its folders."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def remove(self, path: str) -> None:
        """Removes a file inside, if it is there."""
        (self.root / path.lstrip("/")).unlink(missing_ok=True)

    def files(self) -> set[str]:
        """All files and links, apart from what lives only as long as the system runs."""
        passing = [word for path in ("/proc", "/sys", "/run", "/dev", "/tmp", "/srv") for word in ("-path", path, "-o")]  # noqa: S108
        return set(self.run("find", "/", "(", *passing[:-1], ")", "-prune", "-o", "-print").stdout.splitlines())

    @contextmanager
    def stopped_threads(self, *threads: int) -> Iterator[None]:
        """Threads of a process stand still while its others go on: what a hang in a driver looks like."""
        command = self._inside("python3", "-c", _STOP_THREADS, *map(str, threads))
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_ENVIRONMENT) as tracer:
            try:
                assert tracer.stdout is not None
                assert tracer.stdout.readline() == "stopped\n"
                yield
            finally:
                tracer.kill()

    def _inside(self, *command: str | Path) -> list[str]:
        nsenter = require_program("nsenter", "util-linux")
        return [nsenter, "-t", str(self.init), "-a", *map(str, command)]


@contextmanager
def booted(name: str, binds: Mapping[Path, str], *options: str) -> Iterator[Container]:
    """A fresh system, powered off and forgotten at the end of the block.

    Args:
        name: of the machine.
        binds: folders of here that are seen there, read-only.
        options: of systemd-nspawn, such as `OFFLINE`.
    """
    program = require_program("systemd-nspawn", "systemd-container")
    fresh = cached_root()
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=cache()) as folder:
        root = Path(folder) / "root"
        subprocess.run(["cp", "-a", "--reflink=auto", str(fresh), str(root)], check=True, timeout=120)
        command = [program, "-q", "-D", str(root), "-M", name, "--register=no", "--keep-unit", "--boot", *options]
        command += [f"--bind-ro={here}:{there}" for here, there in binds.items()]
        with (Path(folder) / "console.log").open("w") as log:
            nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            container = Container(root, eventually(lambda: _init(nspawn), _BOOT_LIMIT_S))
            eventually(lambda: _state(container) == "running", _BOOT_LIMIT_S)
            yield container
            os.kill(container.init, _POWER_OFF)
            nspawn.wait(_POWER_OFF_LIMIT_S)
        finally:
            nspawn.kill()
            nspawn.wait()


def _init(nspawn: subprocess.Popen[bytes]) -> int:
    """The process that is number 1 inside; 0 as long as there is only the one that makes it."""
    assert nspawn.poll() is None, f"systemd-nspawn ended with {nspawn.returncode}"
    for child in Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split():
        numbers = re.search(r"^NSpid:\s+(.*)$", _status(child), re.M)
        if numbers is not None and numbers[1].split()[1:][-1:] == ["1"]:
            return int(child)
    return 0


def _status(process: str) -> str:
    try:
        return Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it has just ended


def _state(container: Container) -> str:
    return container.run("systemctl", "is-system-running", check=False).stdout.strip()


def cache() -> Path:
    """Where things that take long to make are kept between runs."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(home) / "maskgate-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cached_root() -> Path:
    """The file system of a Debian that has just been installed."""
    require(os.geteuid() == 0, "a container needs root: run the tests with sudo")
    program = require_program("mmdebstrap", "mmdebstrap")
    sources = [str(_SOURCES)] if _SOURCES.exists() and SUITE in _SOURCES.read_text() else []

    def make(folder: Path) -> None:
        command = [program, "--variant=minbase", f"--include={PACKAGES}", SUITE, str(folder), *sources]
        subprocess.run(command, check=True, timeout=_MAKE_LIMIT_S, capture_output=True)
        (folder / "etc" / "hosts").write_text(HOSTS)
        (folder / "etc" / "machine-id").write_text("")

    return made_once("root", f"{SUITE} {PACKAGES} {HOSTS}", make)


def locked_wheels() -> Path:
    """A folder with all that requirements.lock asks for on the container's Python."""
    require(sys.version_info[:2] == PYTHON, f"the container's packages need Python {PYTHON[0]}.{PYTHON[1]} here too")
    lock = ROOT / "requirements.lock"

    def make(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--require-hashes"]
        command = [*pip, "-r", str(lock), "-d", str(folder)]
        subprocess.run(command, check=True, timeout=_DOWNLOAD_LIMIT_S, capture_output=True)

    return made_once("wheels", lock.read_text(), make)


def made_once(kind: str, definition: str, make: Callable[[Path], None]) -> Path:
    """The folder that `make` fills, from the cache if it was made by the same definition before."""
    folder = cache() / f"{kind}-{hashlib.sha256(definition.encode()).hexdigest()[:12]}"
    if not folder.exists():
        unfinished = Path(tempfile.mkdtemp(prefix=f"{kind}-unfinished-", dir=cache()))
        try:
            unfinished.chmod(0o755)
            make(unfinished)
            unfinished.rename(folder)
        except BaseException:
            shutil.rmtree(unfinished)
            raise
    return folder


def project_wheel(folder: Path, version: str | None = None, broken: str | None = None) -> Path:
    """The wheel of this checkout in `folder`.

    Args:
        folder: is made, and holds nothing else.
        version: instead of the real one.
        broken: a module that cannot be imported any more, such as `edge/daemon/daemon.py`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary)
        for name in ("edge", "train", "models"):
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        if version is not None:
            (source / "edge" / "__init__.py").write_text(f'__version__ = "{version}"\n')
        if broken is not None:
            (source / broken).write_text('raise RuntimeError("broken on purpose")\n')
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        subprocess.run(command, cwd=source, check=True, timeout=120, capture_output=True)
    (built,) = folder.glob("maskgate-*.whl")
    return built
