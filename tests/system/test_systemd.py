"""install.sh, the unit and uninstall.sh in a Debian with a systemd of its own; the broker wants a password."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from edge import __version__
from support.broker import Mosquitto, Received, Subscriber, subscribed
from support.components import ROOT, eventually, free_port, require_program
from support.container import Container, booted, cached_root, locked_wheels, project_wheel

log = logging.getLogger(__name__)

SOURCE = "/srv/maskgate"
"""Where the container sees a checkout and, in wheels/, all that it needs."""
CONFIG, PASSWORD, UNIT = "/etc/maskgate/maskgate.toml", "/etc/maskgate/mqtt__password", "maskgate.service"
CHECK_UNIT = "maskgate-check.service"
PASSWORD_DROPIN = f"/etc/systemd/system/{UNIT}.d/mqtt-password.conf"
TEST_DROPIN = f"/etc/systemd/system/{UNIT}.d/test.conf"
STATE = "/var/lib/private/maskgate"
USER, SECRET = "door", "correct horse"
INSTALL_LIMIT_S = 300
DYNAMIC_USERS = range(61184, 65520)
"""systemd.exec(5), DynamicUser=."""
DOOR_AND_INBOX = """
device_id = "door-1"
[[sources]]
name = "door"
kind = "camera"
url = "demo:"
max_fps = 4
[[sources]]
name = "inbox"
kind = "folder"
path = "/var/lib/maskgate/inbox"
[mqtt]
host = "127.0.0.1"
port = {port}
username = "{user}"
"""


@dataclass(frozen=True)
class Device:
    """A board with maskgate on it, and the broker that it talks to."""

    container: Container
    broker: Mosquitto
    folder: Path
    files_before: set[str]
    first_install: str
    second_install: str

    @property
    def config(self) -> str:
        return DOOR_AND_INBOX.format(port=self.broker.port, user=USER)

    def subscribed(self) -> AbstractContextManager[Subscriber]:
        return subscribed(self.folder, self.broker.port, "-u", USER, "-P", SECRET)

    def main_pid(self) -> int:
        return int(self.container.show(UNIT, "MainPID"))

    def is_active(self) -> bool:
        return self.container.show(UNIT, "ActiveState") == "active"

    @contextmanager
    def late_journal(self) -> Iterator[None]:
        """What is said meanwhile is written down at the end of the block."""
        stop, go_on = (("systemctl", "kill", "-s", name, "systemd-journald") for name in ("STOP", "CONT"))
        self.container.run(*stop)
        try:
            yield
        finally:
            self.container.run(*go_on)

    def runs_again(self, before: int) -> bool:
        """Whether another process than `before` has said READY."""
        return self.is_active() and self.main_pid() not in (0, before)

    def restart(self, check: bool = True) -> None:
        self.container.run("systemctl", "daemon-reload")
        self.container.run("systemctl", "reset-failed", UNIT, check=False)
        self.container.run("systemctl", "restart", UNIT, check=check)

    def drop(self, picture: Path, *names: str) -> None:
        for name in names:
            shutil.copyfile(picture, self.container.root / STATE.lstrip("/") / "inbox" / name)

    def version(self) -> str:
        return self.container.run("/opt/maskgate/bin/maskgate", "--version").stdout.split()[-1]

    def releases(self) -> list[str]:
        return sorted(path.name for path in (self.container.root / "opt/maskgate/releases").iterdir())


def install(container: Container, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [f"{SOURCE}/deploy/systemd/install.sh", "--wheels", f"{SOURCE}/wheels", *arguments]
    return container.run(*command, check=check, timeout_s=INSTALL_LIMIT_S)


def uninstall(container: Container, *arguments: str) -> str:
    return container.run(f"{SOURCE}/deploy/systemd/uninstall.sh", *arguments).stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the container sees as `SOURCE`. Other wheels can be added."""
    cached_root()  # says what is missing here before anything is fetched
    folder = tmp_path_factory.mktemp("source")
    folder.chmod(0o755)
    shutil.copytree(ROOT / "deploy" / "systemd", folder / "deploy" / "systemd")
    shutil.copy(ROOT / "requirements.lock", folder)
    shutil.copytree(locked_wheels(), folder / "wheels")
    shutil.copy(project_wheel(folder / "built"), folder / "wheels")
    return folder


@pytest.fixture(scope="module")
def strict_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    folder = tmp_path_factory.mktemp("broker")
    passwords = folder / "passwords"
    program = require_program("mosquitto_passwd", "mosquitto")
    subprocess.run([program, "-b", "-c", str(passwords), USER, SECRET], check=True, timeout=10, capture_output=True)
    broker = Mosquitto(folder, f"allow_anonymous false\npassword_file {passwords}")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def installed(source: Path, strict_broker: Mosquitto) -> Iterator[Device]:
    """A fresh system where install.sh ran twice: as it comes, and again with a configuration and a password."""
    with booted("maskgate-test", {source: SOURCE}) as container:
        device = Device(container, strict_broker, strict_broker.folder, container.files(), "", "")
        container.write(TEST_DROPIN, f"[Service]\nEnvironment=MASKGATE_MQTT__PORT={strict_broker.port}\n")
        first = install(container).stdout
        container.remove(TEST_DROPIN)
        container.write(CONFIG, device.config)
        container.write(PASSWORD, f"{SECRET}\n", 0o644)
        second = install(container).stdout
        yield replace(device, first_install=first, second_install=second)


@pytest.fixture
def device(installed: Device) -> Iterator[Device]:
    """The same, running as configured before and after each test."""
    container = installed.container
    before = container.show(UNIT, "InvocationID")
    assert installed.is_active()
    yield installed
    container.remove(TEST_DROPIN)
    container.write(CONFIG, installed.config)
    container.write(PASSWORD, f"{SECRET}\n", 0o600)
    if container.show(UNIT, "InvocationID") != before or not installed.is_active():
        installed.restart()


def by_id(messages: list[Received]) -> dict[str, dict[str, Any]]:
    return {message.json()["id"]: message.json() for message in messages}


def test_a_door_without_a_camera_and_a_broker_that_refuses_is_installed_and_says_so(installed: Device) -> None:
    said = installed.first_install

    assert f"{CONFIG}: made from the sample" in said
    assert "ok      classifier: mask_classifier@" in said
    assert "service: active, " in said
    assert "source door: /dev/video0: there is no such device or file" in said
    assert "Not authorized" in said


def test_a_password_that_was_put_there_is_taken_up(installed: Device) -> None:
    assert (installed.container.root / PASSWORD_DROPIN.lstrip("/")).exists()
    assert "made from the sample" not in installed.second_install
    assert "service: active, " in installed.second_install
    assert "Not authorized" not in installed.second_install
    assert (installed.container.root / PASSWORD.lstrip("/")).stat().st_mode & 0o777 == 0o600


def test_a_password_that_was_taken_away_does_not_keep_the_unit_from_starting(device: Device) -> None:
    device.container.remove(PASSWORD)

    said = install(device.container).stdout

    assert "service: active, " in said
    assert "Not authorized" in said
    assert not (device.container.root / PASSWORD_DROPIN.lstrip("/")).exists()
    device.container.write(PASSWORD, SECRET)
    assert "Not authorized" not in install(device.container).stdout


def test_a_password_with_which_the_service_cannot_run_stops_nothing(device: Device) -> None:
    device.container.remove(PASSWORD)
    device.container.write(CONFIG, device.config.replace(f'username = "{USER}"', ""))
    install(device.container)
    before = device.main_pid()
    device.container.write(PASSWORD, SECRET)

    refused = install(device.container, check=False)

    assert refused.returncode == 1
    assert "mqtt: password is only sent together with a username" in refused.stderr
    assert f"with {PASSWORD} it cannot run, for the reason above; what runs was not touched" in refused.stderr
    assert (device.is_active(), device.main_pid()) == (True, before)
    device.container.write(CONFIG, device.config)
    assert "Not authorized" not in install(device.container).stdout


def test_the_program_is_found_by_its_name(device: Device) -> None:
    assert device.container.run("maskgate", "--version").stdout.split()[-1] == __version__


def test_events_reach_a_broker_that_wants_the_password(device: Device, pictures: Path) -> None:
    with device.subscribed() as subscriber:
        device.drop(pictures / "bare.jpg", "bare.jpg")
        records = subscriber.wait_for("door-1/image")
        subscriber.wait_for("door-1/event", 2)
        events = subscriber.received("door-1/event")
        status = subscriber.received("door-1/status")[-1].json()

    assert records[0].json()["summary"] == "no_mask"
    assert {event.json()["source"] for event in events} == {"door", "inbox"}
    assert (status["state"], status["version"]) == ("running", __version__)
    environment = device.container.run("cat", f"/proc/{device.main_pid()}/environ").stdout
    assert "CREDENTIALS_DIRECTORY=" in environment
    assert SECRET not in environment


def test_the_process_is_nobody_in_particular_and_holds_nothing(device: Device) -> None:
    facts = dict(
        line.split(":\t", 1)
        for line in device.container.run("cat", f"/proc/{device.main_pid()}/status").stdout.splitlines()
        if ":\t" in line
    )

    assert int(facts["Uid"].split()[0]) in DYNAMIC_USERS
    assert (int(facts["CapEff"], 16), facts["NoNewPrivs"], facts["Seccomp"]) == (0, "1", "2")
    assert (device.container.root / "var/lib/maskgate").readlink() == Path("private/maskgate")
    owner, mode = device.container.run("stat", "-c", "%u %a", STATE).stdout.split()
    assert (owner, mode) == (facts["Uid"].split()[0], "750")


def test_systemd_has_nothing_to_say_about_the_installed_unit(device: Device) -> None:
    verified = device.container.run("systemd-analyze", "verify", UNIT)
    judged = device.container.run("systemd-analyze", "security", "--threshold=15", "--no-pager", UNIT)

    assert (verified.stdout, verified.stderr) == ("", "")
    assert "Overall exposure level" in judged.stdout


def test_installing_the_same_again_changes_nothing(device: Device) -> None:
    def everything() -> str:
        places = ["/opt/maskgate", "/etc/maskgate", "/etc/systemd/system"]
        return device.container.run("find", *places, "-not", "-type", "d", "-printf", "%p %l %i %m %T@\n").stdout

    files, process = everything(), device.main_pid()

    said = install(device.container).stdout

    assert "is installed and runs; nothing was changed" in said
    assert everything() == files
    assert device.main_pid() == process


# How a process can end or hang, and within how many seconds another one must have said READY, with the unit as it is
# shipped. A quiet machine does all of them in under 10 s; a hang, which the watchdog has to find, gets 2 s more here.
FAULTS = [
    pytest.param("kill", "SIGKILL", 10, id="killed"),
    pytest.param("kill", "SIGSEGV", 10, id="crashed"),
    pytest.param("kill", "SIGSTOP", 12, id="stopped"),
    pytest.param("hang", "main", 12, id="main thread hangs"),
    pytest.param("hang", "work", 12, id="work hangs"),
]


@pytest.mark.parametrize(("how", "what", "limit_s"), FAULTS)
def test_the_unit_runs_again_and_no_message_is_lost_or_doubled(
    device: Device, pictures: Path, how: str, what: str, limit_s: float
) -> None:
    names = [f"{what}-{number:02}.jpg" for number in range(24)]
    with device.subscribed() as subscriber:
        device.drop(pictures / "bare.jpg", *names[:12])
        subscriber.wait_for("door-1/image", 3)
        before = device.main_pid()
        began = time.monotonic()
        if how == "kill":
            device.container.run("systemctl", "kill", f"--signal={what}", UNIT)
            device.drop(pictures / "masked.png", *names[12:])
            eventually(lambda: device.runs_again(before), limit_s)
        else:
            with device.container.stopped_threads(*threads(device, before, what)):
                device.drop(pictures / "masked.png", *names[12:])
                eventually(lambda: device.runs_again(before), limit_s)
        took_s = time.monotonic() - began
        eventually(lambda: {record["path"] for record in by_id(subscriber.received("/image")).values()} >= set(names))
        records = by_id(subscriber.received("/image"))
        eventually(lambda: len(from_files(subscriber)) == len(names))
        events = by_id(subscriber.received("/event"))

    log.info("%s: READY again after %.1f s", what, took_s)
    assert sorted(record["path"] for record in records.values()) == names
    assert sorted(event["image"]["path"] for event in events.values() if event["image"]) == names
    seqs = sorted(message["seq"] for message in (*records.values(), *events.values()))
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def threads(device: Device, process: int, which: str) -> list[int]:
    """The main thread, which watches over the others, or the others, which work."""
    found = [int(name) for name in device.container.run("ls", f"/proc/{process}/task").stdout.split()]
    return [process] if which == "main" else [thread for thread in found if thread != process]


def from_files(subscriber: Subscriber) -> list[dict[str, Any]]:
    return [event for event in by_id(subscriber.received("/event")).values() if event["image"]]


def test_a_wrong_configuration_is_not_tried_again(device: Device) -> None:
    device.container.write(CONFIG, device.config.replace("port =", "prot ="))
    device.restart(check=False)
    time.sleep(3)

    facts = [device.container.show(UNIT, name) for name in ("ActiveState", "Result", "ExecMainStatus", "NRestarts")]

    assert facts == ["failed", "exit-code", "78", "0"]
    assert "mqtt.prot: no such key; did you mean port?" in device.container.run("journalctl", "-u", UNIT).stdout


def test_a_stop_is_clean_and_numbers_go_on_after_it(device: Device, pictures: Path) -> None:
    with device.subscribed() as subscriber:
        device.drop(pictures / "bare.jpg", "before-the-stop.jpg")
        subscriber.wait_for("door-1/image")
        began = time.monotonic()
        device.container.run("systemctl", "stop", UNIT)
        took_s = time.monotonic() - began
        facts = [device.container.show(UNIT, name) for name in ("ActiveState", "Result", "ExecMainStatus")]
        said = subscriber.received("door-1/availability")
        device.drop(pictures / "bare.jpg", "while-stopped.jpg")
        device.container.run("systemctl", "start", UNIT)
        subscriber.wait_for("door-1/image", 2)
        messages = by_id([*subscriber.received("/image"), *subscriber.received("/event")]).values()

    assert facts == ["inactive", "success", "0"]
    assert took_s < 6
    assert said[-1].payload == "offline"
    seqs = sorted(message["seq"] for message in messages)
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def dropin_of(page: str, setting: str) -> str:
    """What a page of docs/ says to put into the unit about a setting, without a group that must be made first."""
    found = re.search(rf"^```ini\n(\[Service\]\n{setting}=.*\n)", (ROOT / "docs" / page).read_text(), re.M)
    assert found is not None
    return found[1]


def test_old_pictures_can_be_left_to_systemd(device: Device, pictures: Path) -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    lines = re.findall(r"^echo '(e /var/lib/private/maskgate/inbox/\w+ - - - 7d)'", page, re.M)
    assert len(lines) == 2
    device.container.write("/etc/tmpfiles.d/maskgate.conf", "\n".join([*lines, ""]).replace("7d", "1s"))
    inbox = device.container.root / STATE.lstrip("/") / "inbox"
    device.drop(pictures / "bare.jpg", "old.jpg")
    (inbox / "empty.jpg").touch()
    for name in ("done/old.jpg.json", "failed/empty.jpg.json"):
        eventually((inbox / name).exists, 30)
    time.sleep(2)

    device.container.run("systemd-tmpfiles", "--clean", "/etc/tmpfiles.d/maskgate.conf")

    device.container.remove("/etc/tmpfiles.d/maskgate.conf")
    assert [path for name in ("done", "failed") for path in (inbox / name).iterdir()] == []
    device.drop(pictures / "bare.jpg", "new.jpg")
    eventually((inbox / "done/new.jpg").exists, 30)


def test_a_folder_outside_that_is_missing_keeps_no_camera_from_work_and_is_taken_up(device: Device) -> None:
    device.container.write(CONFIG, device.config.replace("/var/lib/maskgate/inbox", "/srv/photos"))
    device.container.write(TEST_DROPIN, dropin_of("install.md", "ReadWritePaths"))
    device.restart()

    eventually(lambda: "source inbox: /srv/photos: " in device.container.show(UNIT, "StatusText"))
    assert device.is_active()
    device.container.run("mkdir", "/srv/photos")
    device.container.run("mount", "-t", "tmpfs", "-o", "mode=777", "tmpfs", "/srv/photos")
    try:
        eventually(lambda: device.container.show(UNIT, "StatusText") == "running")
    finally:
        device.container.run("umount", "--lazy", "/srv/photos")
        device.container.run("rmdir", "/srv/photos")


def test_sources_can_be_given_where_nobody_else_reads_their_passwords(device: Device) -> None:
    device.container.write(CONFIG, re.sub(r"\[\[sources\]\][^\[]*", "", device.config))
    device.container.write("/etc/maskgate/sources", '[{"name": "gate", "kind": "camera", "url": "demo:"}]', 0o600)
    device.container.write(TEST_DROPIN, dropin_of("raspberry-pi.md", "LoadCredential"))
    with device.subscribed() as subscriber:
        device.restart()
        eventually(lambda: "gate" in {event.json()["source"] for event in subscriber.received("door-1/event")})

    device.container.remove("/etc/maskgate/sources")


def test_an_upgrade_that_does_not_reach_ready_is_taken_back(device: Device, source: Path) -> None:
    broken = project_wheel(source / "broken", version="9.0.1", broken="edge/daemon/daemon.py")
    releases = device.releases()

    done = install(device.container, f"{SOURCE}/broken/{broken.name}", check=False)

    assert done.returncode == 1
    assert "broken on purpose" in done.stderr
    assert "runs again; configuration and state are as they were" in done.stderr
    assert (device.version(), device.releases(), device.is_active()) == (__version__, releases, True)


CUTS = {
    "before the restart": "kill -9 $PPID",
    "while it waits for READY": '/usr/bin/systemctl "$@"; kill -9 $PPID',
}


@pytest.mark.parametrize("cut", CUTS)
def test_an_upgrade_that_was_cut_off_is_taken_back_by_the_next_one(device: Device, source: Path, cut: str) -> None:
    folder = cut.replace(" ", "-")
    broken = project_wheel(source / folder, version="9.0.5", broken="edge/daemon/daemon.py")
    wheel = f"{SOURCE}/{folder}/{broken.name}"
    releases = device.releases()
    stub = f'#!/bin/sh\n[ "$*" != "restart maskgate" ] || {{ {CUTS[cut]}; exit 1; }}\nexec /usr/bin/systemctl "$@"\n'
    device.container.write("/stubs/systemctl", stub, 0o755)
    script = f"PATH=/stubs:$PATH exec {SOURCE}/deploy/systemd/install.sh --wheels {SOURCE}/wheels {wheel}"

    cut_off = device.container.run("sh", "-c", script, check=False, timeout_s=INSTALL_LIMIT_S)
    device.container.run("rm", "-r", "/stubs")
    assert (cut_off.returncode, device.version()) == (-9, "9.0.5")
    done = install(device.container, wheel, check=False)

    assert done.returncode == 1
    assert "runs again; configuration and state are as they were" in done.stderr
    assert (device.version(), device.releases(), device.is_active()) == (__version__, releases, True)
    assert not (device.container.root / "opt/maskgate/previous").is_symlink()


def test_another_user_cannot_keep_an_installation_from_its_lock(device: Device) -> None:
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    theirs = "exec 9>/run/lock/maskgate-install; flock 9; ! touch /run/maskgate-install.lock; exec sleep 100"
    lock = ["systemd-run", "--quiet", "--unit=greedy", *nobody, "sh", "-c", theirs]
    device.container.run(*lock)

    said = install(device.container).stdout

    device.container.run("systemctl", "stop", "greedy")
    assert "is installed and runs; nothing was changed" in said


def test_an_upgrade_that_cannot_run_at_all_does_not_even_stop_what_runs(device: Device, source: Path) -> None:
    useless = project_wheel(source / "useless", version="9.0.2", broken="edge/vision/classifier.py")
    releases, process = device.releases(), device.main_pid()

    done = install(device.container, f"{SOURCE}/useless/{useless.name}", check=False)

    assert done.returncode == 1
    assert "broken on purpose" in done.stderr
    assert "what runs was not touched" in done.stderr
    assert (device.main_pid(), device.releases()) == (process, releases)
    owners = device.container.run("stat", "-c", "%u", STATE, f"{STATE}/outbox.sqlite3", f"/proc/{process}").stdout
    assert len(set(owners.split())) == 1


def test_an_upgrade_that_systemd_cannot_even_start_says_why(device: Device, source: Path) -> None:
    """And if the journal is late: what a process said that has gone belongs to no unit any more."""
    newer = project_wheel(source / "unstarted", version="9.0.4")
    process = device.main_pid()
    device.container.write(TEST_DROPIN, "[Service]\nLoadCredential=web__token:/etc/maskgate/nothing\n")
    device.container.run("systemctl", "reset-failed")

    with ThreadPoolExecutor() as pool:
        with device.late_journal():
            installing = pool.submit(install, device.container, f"{SOURCE}/unstarted/{newer.name}", check=False)
            eventually(lambda: device.container.show(CHECK_UNIT, "ActiveState") == "failed", INSTALL_LIMIT_S)
        done = installing.result()

    assert done.returncode == 1
    assert "Failed to set up credentials" in done.stderr
    assert "what runs was not touched" in done.stderr
    assert device.main_pid() == process


def test_an_upgrade_for_which_packages_are_missing_leaves_nothing_behind(device: Device, source: Path) -> None:
    project_wheel(source / "alone", version="9.0.3")
    files, process = sorted((device.container.root / "opt/maskgate").glob("*/*")), device.main_pid()
    command = [f"{SOURCE}/deploy/systemd/install.sh", "--wheels", f"{SOURCE}/alone"]

    done = device.container.run(*command, check=False, timeout_s=INSTALL_LIMIT_S)

    assert done.returncode == 1
    assert "requirements.lock cannot be installed; what runs was not touched" in done.stderr
    assert sorted((device.container.root / "opt/maskgate").glob("*/*")) == files
    assert device.main_pid() == process


def test_all_that_is_missing_is_said_at_once(device: Device) -> None:
    stubs = {
        "uname": "echo armv7l",
        "getconf": '[ "$1" = LONG_BIT ] && echo 32 || echo glibc 2.27',
        "df": "echo Avail; echo 1024",
        **dict.fromkeys(["python3", "python3.11", "python3.12", "python3.13"], "exit 1"),
    }
    for name, what in stubs.items():
        device.container.write(f"/stubs/{name}", f"#!/bin/sh\n{what}\n", 0o755)
    script = f"PATH=/stubs:$PATH exec setpriv --reuid=65534 --clear-groups {SOURCE}/deploy/systemd/install.sh"

    done = device.container.run("sh", "-c", script, check=False)

    device.container.run("rm", "-r", "/stubs")
    assert done.returncode == 69
    for said in (
        "must run as root: sudo",
        "this processor is armv7l",
        "is a 32-bit one: install the 64-bit Raspberry Pi OS",
        "Python 3.11, 3.12 or 3.13 is missing",
        "glibc 2.28 or later is missing, this is glibc 2.27",
        "MB must be free in /opt/maskgate and 1 MB are",
    ):
        assert said in done.stderr
    assert len(done.stderr.splitlines()) == 6


@pytest.mark.parametrize("arguments", [["--whels"], ["--wheels", "/nowhere"], ["a.whl"], ["--wheels"]])
def test_a_wrong_command_line_is_refused(device: Device, arguments: list[str]) -> None:
    done = device.container.run(f"{SOURCE}/deploy/systemd/install.sh", *arguments, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: install.sh [--wheels DIR] [WHEEL]" in done.stderr


# The last ones, in this order: they take away what the others need.


def test_an_upgrade_keeps_configuration_and_state(device: Device, source: Path, pictures: Path) -> None:
    newer = project_wheel(source / "newer", version="9.0.0")
    before = device.container.run("cat", CONFIG).stdout
    with device.subscribed() as subscriber:
        device.drop(pictures / "bare.jpg", "before.jpg")
        subscriber.wait_for("door-1/image")
        install(device.container, f"{SOURCE}/newer/{newer.name}")
        device.drop(pictures / "bare.jpg", "after.jpg")
        subscriber.wait_for("door-1/image", 2)
        messages = by_id([*subscriber.received("/image"), *subscriber.received("/event")]).values()
        status = subscriber.received("door-1/status")[-1].json()

    assert (device.version(), status["version"]) == ("9.0.0", "9.0.0")
    assert len(device.releases()) == 1
    assert device.container.run("cat", CONFIG).stdout == before
    seqs = sorted(message["seq"] for message in messages)
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


# As docs/page.md and docs/fleet.md have it: what the service alone is given.
SECRETS_DROPIN = """
[Service]
LoadCredential=web__token:/etc/maskgate/web__token
LoadCredential=client.key:/etc/maskgate/client.key
Environment=MASKGATE_MQTT__KEY_FILE=%d/client.key
"""
PAGE_AND_TLS = """
tls = true
ca_file = "/etc/maskgate/client.crt"
cert_file = "/etc/maskgate/client.crt"
[web]
enabled = true
host = "0.0.0.0"
port = {port}
"""


def test_an_upgrade_is_tried_with_the_secrets_that_the_unit_alone_is_given(
    device: Device, source: Path, tmp_path: Path
) -> None:
    newer = project_wheel(source / "newest", version="9.1.0")
    pair = certificate(tmp_path)
    for file, text in {"client.crt": pair[0], "client.key": pair[1], "web__token": "nobody guesses this\n"}.items():
        device.container.write(f"/etc/maskgate/{file}", text, 0o644 if file == "client.crt" else 0o600)
    device.container.write(CONFIG, device.config + PAGE_AND_TLS.format(port=free_port()))
    device.container.write(TEST_DROPIN, SECRETS_DROPIN)

    done = install(device.container, f"{SOURCE}/newest/{newer.name}")
    by_hand = ["systemd-run", "--pipe", "--wait", "--quiet", "-p", "LoadCredential=web__token:/etc/maskgate/web__token"]
    by_hand += ["-E", "MASKGATE_MQTT__KEY_FILE=/etc/maskgate/client.key", "/opt/maskgate/bin/maskgate", "check"]
    checked = device.container.run(*by_hand, "--offline").stdout

    assert (device.version(), device.is_active()) == ("9.1.0", True)
    assert re.findall(r"^(\w+) +(\w+):", done.stdout, re.M) == [("ok", what) for what in CHECKED]
    assert re.findall(r"^(\w+) +(\w+):", checked, re.M) == [("ok", what) for what in CHECKED]
    assert device.container.run("ls", "/run/systemd/system").stdout.split() == []


CHECKED = ["configuration", "runtime", "detector", "classifier", "verdicts", "tls", "page"]


def certificate(folder: Path) -> tuple[str, str]:
    """One that signs itself, and its key."""
    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=door-1"]
    files = folder / "client.crt", folder / "client.key"
    command = [require_program("openssl", "openssl"), *new, "-out", str(files[0]), "-keyout", str(files[1])]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return files[0].read_text(), files[1].read_text()


def test_uninstalling_leaves_configuration_and_state_for_the_next_time(installed: Device) -> None:
    container = installed.container
    said = uninstall(container)

    assert "left (gone with --purge): /etc/maskgate /var/lib/private/maskgate /var/lib/maskgate" in said
    left = {path for path in container.files() - installed.files_before if "maskgate" in path}
    assert {path for path in left if not path.startswith((STATE, "/var/lib/maskgate", "/etc/maskgate"))} == set()
    assert {CONFIG, PASSWORD, f"{STATE}/outbox.sqlite3"} <= left


def test_purging_leaves_nothing(installed: Device) -> None:
    said = uninstall(installed.container, "--purge")

    assert "gone with --purge" not in said
    assert {path for path in installed.container.files() - installed.files_before if not of_the_system(path)} == set()
    assert uninstall(installed.container, "--purge") == said


def of_the_system(path: str) -> bool:
    """What systemd and Python keep for themselves, whatever ran."""
    return re.match(r"/var/(log|cache|lib/private$|lib/systemd)|/usr/lib/python3.*\.pyc$", path) is not None
