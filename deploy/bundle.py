"""Packs all that an installation takes into one archive, for boards without a network: docs/install.md.

    python deploy/bundle.py [--machine aarch64] [--python 3.11 ...] [--output dist]

The wheels are those of requirements.lock for the board, whatever machine packs them; pip checks each against its hash.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import click
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
MACHINES = ("aarch64", "x86_64")
PYTHONS = ("3.11", "3.12", "3.13")
"""Of Debian 12, Ubuntu 24.04 and Debian 13, and the Raspberry Pi OS that go by the same names as Debian."""

_GLIBC = range(5, 37)
"""Minor versions of glibc 2 whose wheels run on Debian 12, which has 2.36."""
_BUILD_LIMIT_S, _DOWNLOAD_LIMIT_S = 120, 600


def locked_for(lock: str, machine: str, python: str) -> list[str]:
    """The lines of a lock file that hold for a Linux machine, each with its hashes and without its marker.

    pip itself evaluates markers with the interpreter that runs it, even under --platform and --python-version.

    Args:
        lock: text of a file made by `uv pip compile --generate-hashes`.
        machine: as `uname -m` says.
        python: major and minor version.
    """
    environment = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }
    lines = []
    for line in lock.replace("\\\n", " ").splitlines():
        what, *hashes = re.split(r"\s+--hash=", line.strip())
        if not what or what.startswith("#"):
            continue
        requirement = Requirement(what)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            lines.append(
                " ".join([f"{requirement.name}{requirement.specifier}", *(f"--hash={each}" for each in hashes)])
            )
    return lines


def fetch_wheels(folder: Path, machine: str, python: str) -> None:
    """Downloads the locked wheels for a machine and a version of Python.

    Raises:
        subprocess.CalledProcessError: pip says why on stderr; no network, or a wheel that the lock does not know.
    """
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in _GLIBC] + [f"manylinux2014_{machine}"]
    target = [word for platform in platforms for word in ("--platform", platform)]
    target += ["--python-version", python, "--implementation", "cp"]
    target += [word for abi in (f"cp{python.replace('.', '')}", "abi3", "none") for word in ("--abi", abi)]
    with tempfile.NamedTemporaryFile("w", suffix=".lock") as lock:
        lock.write("\n".join(locked_for(LOCK.read_text(), machine, python)))
        lock.flush()
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command = [*pip, "--only-binary=:all:", "--require-hashes", "-r", lock.name, "-d", str(folder), *target]
        subprocess.run(command, check=True, timeout=_DOWNLOAD_LIMIT_S)


def build_project_wheel(folder: Path) -> Path:
    """The wheel of this checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=_BUILD_LIMIT_S, capture_output=True)
    return next(folder.glob("maskgate-*.whl"))


def make_bundle(output: Path, machine: str, pythons: tuple[str, ...]) -> Path:
    """Makes the archive; what it holds has the places of a checkout, so that install.sh works in it as it stands."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output) as temporary:
        wheels = Path(temporary) / "wheels"
        wheels.mkdir()
        version = build_project_wheel(wheels).name.split("-")[1]
        for python in pythons:
            fetch_wheels(wheels, machine, python)
        shutil.copytree(ROOT / "deploy" / "systemd", Path(temporary) / "deploy" / "systemd")
        shutil.copy(LOCK, temporary)
        name = f"maskgate-{version}-{machine}"
        unfinished = output / f".{name}.tar"
        try:
            with tarfile.open(unfinished, "w") as archive:  # wheels are compressed already
                archive.add(temporary, name, filter=_owned_by_root)
            return unfinished.rename(output / f"{name}.tar")
        finally:
            unfinished.unlink(missing_ok=True)


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


@click.command(help=__doc__)
@click.option("--machine", type=click.Choice(MACHINES), default="aarch64", show_default=True)
@click.option("--python", "pythons", type=click.Choice(PYTHONS), multiple=True, help="May be repeated; all of them.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=ROOT / "dist", help="dist/")
def main(machine: str, pythons: tuple[str, ...], output: Path) -> None:
    try:
        bundle = make_bundle(output, machine, pythons or PYTHONS)
    except (subprocess.SubprocessError, OSError) as error:
        raise click.ClickException(f"there is no bundle: {error}") from error
    click.echo(f"{bundle}: {bundle.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
