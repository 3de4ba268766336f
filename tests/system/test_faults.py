"""Bad days, end to end: disks, brokers and folders that fail under a running daemon."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.outbox import Entry, Outbox
from support.broker import Mosquitto, Subscriber, subscribed
from support.components import eventually, require, require_program
from support.daemon import running, write_config
from support.disk import fill, remount, small_disk
from support.messages import an_event
from support.notify import NotifySocket

DEMO = '[[sources]]\nname = "door"\nkind = "camera"\nurl = "demo:"\n'
INBOX = '[[sources]]\nname = "inbox"\nkind = "folder"\npath = "{path}"\n'


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "2m") as folder:
        yield folder


def last_state(subscriber: Subscriber) -> str:
    statuses = subscriber.received("/status")
    return str(statuses[-1].json()["state"]) if statuses else ""


def test_with_a_read_only_state_directory_events_flow_and_the_status_says_degraded(
    tmp_path: Path, broker: Mosquitto, disk: Path
) -> None:
    config = write_config(tmp_path, broker.port, DEMO)
    config.write_text(config.read_text().replace(str(tmp_path / "state"), str(disk)))
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, timeout=10)

    with subscribed(tmp_path, broker.port) as subscriber, running(config) as daemon:
        events = subscriber.wait_for("/event", 2, 40)
        eventually(lambda: last_state(subscriber) == "degraded")
        assert daemon.poll() is None

    assert [event.json()["seq"] for event in events[:2]] == [1, 2]
    assert "messages are kept in memory" in (tmp_path / "daemon.log").read_text()


def test_a_state_directory_that_fills_up_stops_nothing_and_recovers(
    tmp_path: Path, broker: Mosquitto, disk: Path, pictures: Path
) -> None:
    inbox = tmp_path / "inbox"
    config = write_config(tmp_path, broker.port, INBOX.format(path=inbox))
    config.write_text(config.read_text().replace(str(tmp_path / "state"), str(disk)))
    sent = 0

    def drop(number: int) -> int:
        for _ in range(number):
            nonlocal sent
            sent += 1
            shutil.copy(pictures / "bare.jpg", inbox / f"{sent:04d}.jpg")
        return sent

    with subscribed(tmp_path, broker.port) as subscriber, running(config):
        subscriber.wait_for("/availability")
        subscriber.wait_for("/image", drop(3))
        ballast = fill(disk)
        broker.kill()  # so that the backlog needs room
        deadline = time.monotonic() + 60
        while "kept in memory" not in (tmp_path / "daemon.log").read_text():
            assert time.monotonic() < deadline
            drop(20)
            time.sleep(0.5)
        broker.start()  # the subscriber finds it again by itself
        eventually(lambda: last_state(subscriber) == "degraded", 90)
        ballast.unlink()
        eventually(lambda: "the disk takes messages again" in (tmp_path / "daemon.log").read_text(), 30)
        drop(2)
        eventually(lambda: len({m.json()["path"] for m in subscriber.received("/image")}) == sent, 60)
        eventually(lambda: len([p for p in (inbox / "done").iterdir() if p.suffix == ".jpg"]) == sent, 60)
        assert not list((inbox / ".processing").iterdir())


def test_an_outbox_that_is_damaged_under_the_daemon_is_set_aside_and_events_go_on(
    tmp_path: Path, broker: Mosquitto
) -> None:
    config = write_config(tmp_path, broker.port, DEMO)
    database = tmp_path / "state" / "outbox.sqlite3"
    database.parent.mkdir()
    with contextlib.closing(Outbox(database, 100_000, 1e9)) as outbox:
        outbox.add([Entry((an_event(),)) for _ in range(20_000)], None)

    with subscribed(tmp_path, broker.port) as subscriber, running(config) as daemon:
        subscriber.wait_for("/event", 20, 40)
        with database.open("r+b") as file:
            file.seek(database.stat().st_size // 3)
            file.write(os.urandom(database.stat().st_size // 3))
        eventually(lambda: "the disk takes messages again" in (tmp_path / "daemon.log").read_text(), 90)
        eventually(lambda: any(event.json()["seq"] > 20_000 for event in subscriber.received("/event")), 40)
        eventually(lambda: last_state(subscriber) == "running")
        assert daemon.poll() is None

    assert len(list(database.parent.glob("outbox.sqlite3.damaged-*"))) == 1


def test_a_folder_on_a_full_disk_loses_no_file(tmp_path: Path, broker: Mosquitto, disk: Path, pictures: Path) -> None:
    inbox = disk / "inbox"
    inbox.mkdir()
    config = write_config(tmp_path, broker.port, INBOX.format(path=inbox))
    for number in range(3):
        shutil.copy(pictures / "bare.jpg", inbox / f"{number}.jpg")
    for name in (".processing", "done", "failed"):
        (inbox / name).mkdir()
    ballast = fill(disk)

    with subscribed(tmp_path, broker.port) as subscriber, running(config):
        records = subscriber.wait_for("/image", 3, 40)
        eventually(lambda: last_state(subscriber) == "degraded")
        assert len(list((inbox / ".processing").iterdir())) == 3
        ballast.unlink()
        eventually(lambda: sorted(p.name for p in (inbox / "done").glob("*.jpg")) == ["0.jpg", "1.jpg", "2.jpg"], 30)
        assert len(subscriber.received("/image")) == len(records) == 3


def test_a_folder_that_becomes_read_only_is_told_of_and_taken_up_again(
    tmp_path: Path, broker: Mosquitto, disk: Path, pictures: Path
) -> None:
    inbox = disk / "inbox"
    config = write_config(tmp_path, broker.port, INBOX.format(path=inbox))
    with subscribed(tmp_path, broker.port) as subscriber, running(config):
        eventually((inbox / ".processing").exists)
        shutil.copy(pictures / "bare.jpg", inbox / "before.jpg")
        subscriber.wait_for("/image")
        eventually((inbox / "done" / "before.jpg.json").exists)
        (inbox / "during.part").write_bytes((pictures / "bare.jpg").read_bytes())
        (inbox / "during.part").rename(inbox / "during.jpg")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, timeout=10)
        eventually(lambda: last_state(subscriber) == "degraded", 30)
        assert "ead-only file system" in (tmp_path / "daemon.log").read_text()
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True, timeout=10)
        shutil.copy(pictures / "bare.jpg", inbox / "after.jpg")
        eventually((inbox / "done" / "during.jpg.json").exists, 30)
        eventually((inbox / "done" / "after.jpg.json").exists, 30)
        eventually(lambda: last_state(subscriber) == "running", 30)

    assert sorted(message.json()["path"] for message in subscriber.received("/image")) == [
        "after.jpg",
        "before.jpg",
        "during.jpg",
    ]


def test_a_disk_that_is_read_only_from_the_start_keeps_no_camera_from_work_and_its_folder_comes_back(
    tmp_path: Path, broker: Mosquitto, disk: Path, pictures: Path
) -> None:
    """What an SD card does when it wears out, with the sample configuration: state and inbox are on one disk."""
    inbox = disk / "inbox"
    inbox.mkdir()
    shutil.copy(pictures / "bare.jpg", inbox / "waits.jpg")
    config = write_config(tmp_path, broker.port, DEMO, INBOX.format(path=inbox))
    config.write_text(config.read_text().replace(str(tmp_path / "state"), str(disk)))
    remount(disk, "ro")

    with subscribed(tmp_path, broker.port) as subscriber, running(config) as daemon:
        subscriber.wait_for("/event", 2, 40)
        eventually(lambda: last_state(subscriber) == "degraded")
        source = subscriber.received("/status")[-1].json()["sources"][1]
        assert (source["state"], source["error"]) == ("waiting", f"{inbox}: Read-only file system")
        assert daemon.poll() is None

        remount(disk, "rw")
        assert [record.json()["path"] for record in subscriber.wait_for("/image", 1, 30)] == ["waits.jpg"]
        eventually((inbox / "done" / "waits.jpg.json").exists, 30)


NOBODY = 65534
NAMES = {
    "no UTF-8": (b"M\xfcller.jpg", r"M\xfcller.jpg"),
    "lines for systemd": (b"x\nWATCHDOG=trigger\ny.jpg", r"x\nWATCHDOG=trigger\ny.jpg"),
}


@pytest.mark.parametrize("trouble", ["cannot be claimed: Operation not permitted", "cannot leave .processing: Perm"])
@pytest.mark.parametrize("name", NAMES)
def test_a_badly_named_file_that_cannot_be_moved_is_told_of_and_ends_nothing(
    tmp_path: Path, broker: Mosquitto, name: str, trouble: str
) -> None:
    require(os.geteuid() == 0, "giving files to somebody else needs root")
    raw, told = NAMES[name]
    inbox = tmp_path / "inbox"
    (inbox / "failed").mkdir(parents=True)
    if "claimed" in trouble:  # everybody may drop files there, and nobody may move those of others
        inbox.chmod(0o1777)
        os.chown(inbox, NOBODY, NOBODY)
    else:
        os.chown(inbox / "failed", NOBODY, NOBODY)
    unprivileged = [require_program("setpriv", "util-linux"), "--bounding-set=-fowner,-dac_override"]
    config = write_config(tmp_path, broker.port, INBOX.format(path=inbox))

    with (
        NotifySocket(tmp_path) as systemd,
        subscribed(tmp_path, broker.port) as subscriber,
        running(config, *unprivileged, NOTIFY_SOCKET=systemd.address) as daemon,
    ):
        systemd.wait_for("READY=1")
        (tmp_path / "dropped").write_bytes(b"abc")
        os.chown(tmp_path / "dropped", NOBODY, NOBODY)
        (tmp_path / "dropped").rename(inbox / os.fsdecode(raw))
        eventually(lambda: any(trouble in line for line in systemd.received()))
        eventually(lambda: last_state(subscriber) == "degraded")
        time.sleep(1)
        assert daemon.poll() is None
        lines = systemd.received()
        status = subscriber.received("/status")[-1].json()

    assert {line.split("=")[0] for line in lines} <= {"READY", "STATUS", "STOPPING"}
    assert any(line.startswith(f"STATUS=source inbox: {told} {trouble}") for line in lines)
    assert f"source inbox: {told} {trouble}" in (tmp_path / "daemon.log").read_text()
    if "claimed" in trouble:
        assert status["sources"][0]["error"] == f"{told} {trouble}"


def test_twenty_thousand_files_at_once_are_all_seen(tmp_path: Path) -> None:
    """More than the kernel's queue of events holds; the files are empty, so that it is quick."""
    inbox = tmp_path / "inbox"
    config = write_config(tmp_path, "", INBOX.format(path=inbox))
    with running(config):
        eventually((inbox / ".processing").exists)
        for number in range(20_000):
            (inbox / f"{number:05d}.jpg").touch()
        eventually(lambda: len(os.listdir(inbox / "failed")) == 40_000, 180)  # noqa: PTH208  a name each is enough
        assert not list(inbox.glob("*.jpg"))


def test_a_broker_that_forgets_everything_is_told_again(tmp_path: Path, broker: Mosquitto) -> None:
    with running(write_config(tmp_path, broker.port, DEMO)):
        with subscribed(tmp_path, broker.port) as subscriber:
            subscriber.wait_for("/status")
        broker.kill()
        broker.start()
        with subscribed(tmp_path, broker.port) as subscriber:
            assert subscriber.wait_for("/availability", limit_s=60)[0].payload == "online"
            assert subscriber.wait_for("/status")[0].json()["state"] in ("running", "degraded")


def test_a_half_open_connection_is_noticed_and_nothing_is_lost(tmp_path: Path, broker: Mosquitto) -> None:
    assert broker.process is not None
    with running(write_config(tmp_path, broker.port, DEMO)), subscribed(tmp_path, broker.port) as subscriber:
        subscriber.wait_for("/event", 1, 40)
        broker.process.send_signal(signal.SIGSTOP)
        noticed = re.compile("broker: the (connection was lost|broker confirms nothing)")
        eventually(lambda: noticed.search((tmp_path / "daemon.log").read_text()), 90)
        broker.process.send_signal(signal.SIGCONT)
        before = len(subscriber.received("/event"))
        eventually(lambda: len({m.json()["seq"] for m in subscriber.received("/event")}) >= before + 5, 120)
        time.sleep(1)
        seqs = {message.json()["seq"] for message in subscriber.received("/event")}

    assert seqs == set(range(1, max(seqs) + 1))


def test_a_stop_in_the_middle_of_a_backlog_keeps_it(tmp_path: Path, broker: Mosquitto, pictures: Path) -> None:
    inbox = tmp_path / "inbox"
    config = write_config(tmp_path, broker.port, INBOX.format(path=inbox))
    broker.kill()
    with running(config) as daemon:
        eventually((inbox / ".processing").exists)
        for number in range(30):
            shutil.copy(pictures / "bare.jpg", inbox / f"{number}.jpg")
        eventually(lambda: len(list((inbox / "done").glob("*.jpg"))) >= 10)
        began = time.monotonic()
        daemon.terminate()
        assert daemon.wait(10) == 0
        assert time.monotonic() - began < 5
    broker.start()
    with subscribed(tmp_path, broker.port) as subscriber, running(config):
        paths = {message.json()["path"] for message in subscriber.wait_for("/image", 30, 60)}
        assert paths == {f"{number}.jpg" for number in range(30)}
        assert len(subscriber.wait_for("/event", 30)) == 30
