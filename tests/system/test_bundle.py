"""What `make bundle` packs, and its installation on a system without any network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import bundle
from edge import __version__
from support import picamera2
from support.components import ROOT, eventually, require
from support.container import OFFLINE, PYTHON, Container, booted, cached_root

UNIT, STATE = "maskgate.service", "/var/lib/private/maskgate"
STICK, UNPACKED = "/srv/stick", "/var/tmp/maskgate"  # noqa: S108
SYSTEM_PACKAGES = "/usr/lib/python3/dist-packages"
DOOR_AND_INBOX = """
[[sources]]
name = "door"
kind = "camera"
url = "picamera:0"
max_fps = 4
[[sources]]
name = "inbox"
kind = "folder"
path = "/var/lib/maskgate/inbox"
[mqtt]
host = ""
"""


def locked(machine: str, python: str) -> dict[str, str]:
    """Version by name of what a board gets."""
    lines = bundle.locked_for(bundle.LOCK.read_text(), machine, python)
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+( --hash=sha256:[0-9a-f]{64})+", line) for line in lines)
    packages = dict(re.findall(r"^(\S+)==(\S+)", "\n".join(lines), re.M))
    assert len(packages) == len(lines)
    return packages


@pytest.mark.parametrize("python", bundle.PYTHONS)
@pytest.mark.parametrize("machine", bundle.MACHINES)
def test_a_board_gets_one_runtime_and_the_numpy_that_goes_with_it(machine: str, python: str) -> None:
    packages = locked(machine, python)

    assert {"pydantic", "paho-mqtt", "opencv-python-headless", "numpy"} <= packages.keys()
    assert "colorama" not in packages
    old = machine == "aarch64" and python == "3.11"
    assert ("tflite-runtime" in packages, "ai-edge-litert" in packages) == (old, not old)
    assert packages["numpy"].split(".")[0] == ("1" if old else "2")
    assert packages["opencv-python-headless"].startswith("4.11.") == old


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive for the container, as the command of `make bundle` packs it."""
    cached_root()  # says what is missing here before anything is fetched
    require(sys.version_info[:2] == PYTHON, f"the container's packages need Python {PYTHON[0]}.{PYTHON[1]} here too")
    folder = tmp_path_factory.mktemp("stick")
    command = [sys.executable, "deploy/bundle.py", "--machine", "x86_64", "--python", "3.11", "--output", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    (archive,) = folder.iterdir()
    assert done.stdout.startswith(f"{archive}: ")
    assert archive.name == f"maskgate-{__version__}-x86_64.tar"
    return archive


@pytest.fixture(scope="module")
def board(packed: Path) -> Iterator[Container]:
    """A system that reaches nobody, with the archive beside it and packages of its own, older ones and picamera2."""
    with booted("maskgate-offline", {packed.parent: STICK}, OFFLINE) as container:
        for name, version in (("numpy", "1.24.2"), ("mdurl", locked("x86_64", "3.11")["mdurl"])):
            container.write(f"{SYSTEM_PACKAGES}/{name}/__init__.py", 'raise ImportError("that of the system")\n')
            metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            container.write(f"{SYSTEM_PACKAGES}/{name}-{version}.dist-info/METADATA", metadata)
            container.write(f"{SYSTEM_PACKAGES}/{name}-{version}.dist-info/RECORD", "")
        shutil.copy(picamera2.__file__, container.root / SYSTEM_PACKAGES.lstrip("/"))
        container.write("/etc/maskgate/maskgate.toml", DOOR_AND_INBOX)
        container.run("mkdir", UNPACKED)
        container.run("tar", "-x", "-C", UNPACKED, "--strip-components=1", "-f", f"{STICK}/{packed.name}")
        yield container


def install(container: Container) -> str:
    return container.run(f"{UNPACKED}/deploy/systemd/install.sh", timeout_s=300).stdout


@pytest.fixture(scope="module")
def said(board: Container) -> str:
    """What the first installation had to say."""
    assert board.run("cat", "/proc/net/route").stdout.count("\n") == 1, "there is a way out"
    return install(board)


def test_a_bundle_is_installed_by_one_command_without_a_network(board: Container, said: str) -> None:
    assert "building the wheel" not in said
    assert "ok      classifier: mask_classifier@" in said
    assert "service: active, " in said
    assert f"maskgate, version {__version__}" in board.run("/opt/maskgate/bin/maskgate", "--version").stdout


@pytest.mark.usefixtures("said")
def test_what_was_installed_judges_a_picture(board: Container, pictures: Path) -> None:
    record = board.root / STATE.lstrip("/") / "inbox" / "done" / "masked.png.json"
    shutil.copyfile(pictures / "masked.png", board.root / STATE.lstrip("/") / "inbox" / "masked.png")

    eventually(record.exists, 30)
    assert json.loads(record.read_text())["summary"] == "mask"


@pytest.mark.usefixtures("said")
def test_the_service_takes_picamera2_from_the_system_and_all_else_from_the_lock(board: Container) -> None:
    code = "import picamera2, numpy, mdurl; print(*(m.__file__ for m in (picamera2, numpy, mdurl)), sep='\\n')"
    places = board.run("/opt/maskgate/current/bin/python", "-c", code).stdout.splitlines()

    assert places[0] == f"{SYSTEM_PACKAGES}/picamera2.py"
    assert all(place.startswith("/opt/maskgate/") for place in places[1:])
    journal = board.run("journalctl", "-u", UNIT, "-o", "cat").stdout
    assert "source door: frames of 1280 x 720 pixels" in journal


@pytest.mark.usefixtures("said")
def test_installing_the_bundle_again_changes_nothing(board: Container) -> None:
    before = board.show(UNIT, "InvocationID")

    assert "is installed and runs; nothing was changed" in install(board)
    assert board.show(UNIT, "InvocationID") == before


@pytest.mark.usefixtures("said")
def test_a_wheel_that_is_not_the_locked_one_is_refused(board: Container) -> None:
    (wheel,) = (board.root / UNPACKED.lstrip("/") / "wheels").glob("mdurl-*.whl")
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    lock = board.root / UNPACKED.lstrip("/") / "requirements.lock"
    lock.write_text(lock.read_text() + "\n")  # another release, which is installed anew

    done = board.run(f"{UNPACKED}/deploy/systemd/install.sh", check=False, timeout_s=300)

    assert done.returncode == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
    assert "what runs was not touched" in done.stderr
    assert board.show(UNIT, "ActiveState") == "active"
