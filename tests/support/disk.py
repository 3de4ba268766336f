"""A small disk to be filled and made read-only, and an outbox on it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from edge.outbox import Entry, Outbox
from support.components import require
from support.messages import an_event, an_image_record


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own, mounted at `folder`."""
    require(os.geteuid() == 0, "mounting a small file system needs root")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True, timeout=10)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=10)


def fill(disk: Path) -> Path:
    """Leaves no byte free."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True, timeout=10)


def opened(disk: Path) -> contextlib.closing[Outbox]:
    return contextlib.closing(Outbox(disk / "outbox.sqlite3", 10_000, 1e9))


def add_events(outbox: Outbox, number: int) -> None:
    for _ in range(number):
        outbox.add([Entry((an_event(),))], 1.0)


def add_file(outbox: Outbox, claim: str) -> None:
    outbox.add([Entry((an_event(), an_image_record(claim)), "inbox", claim)], 1.0)


def seqs(outbox: Outbox) -> list[int]:
    return [message.seq for message in outbox.batch(0, 1000)]


def claims(outbox: Outbox) -> list[str]:
    return [file.claim for file in outbox.files("inbox")]


def fill_until_refused(disk: Path, outbox: Outbox) -> Path:
    """Leaves no byte free, not even in the log, so that the outbox keeps new messages in memory."""
    ballast = fill(disk)
    while outbox.problem is None:
        add_events(outbox, 1)
    return ballast
