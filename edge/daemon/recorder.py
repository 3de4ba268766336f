"""Takes what the pipeline found to the outbox and files to their end, so that analysis waits for no disk."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping

from edge.daemon.clock import Clock
from edge.mqtt.publisher import Publisher
from edge.outbox import Entry, Outbox
from edge.outbox_rows import FileDone
from edge.plain import shown
from edge.sources.folder import Folder

log = logging.getLogger(__name__)

HOUSE_EVERY_S = 1.0
CHECKPOINT_EVERY_S = 2.0
"""A checkpoint is two calls of fdatasync (measured with strace), so this is about one a second."""
QUEUE_LIMIT = 10_000
"""Entries that wait to be written; beyond this, when the disk hangs, the oldest are lost, and counted."""
BATCH = 500
FOLDER_LIMIT = 64
"""A folder is not read further while this many entries wait: its files are safer where they are."""


class Recorder:
    """The writing end of the outbox. `put` and `has_room` are for the pipeline, `run` is one thread.

    Args:
        outbox: takes the entries.
        publisher: is woken after each write; None when nothing is published, and then all counts as published.
        folders: by name, for the files that entries come from.
        clock: for stamps.
    """

    def __init__(
        self, outbox: Outbox, publisher: Publisher | None, folders: Mapping[str, Folder], clock: Clock
    ) -> None:
        self._outbox = outbox
        self._publisher = publisher
        self._folders = folders
        self._clock = clock
        self._waiting: deque[Entry] = deque()
        self._changed = threading.Condition()
        self._checkpoint_at = clock.monotonic()
        self.lost = 0
        """Messages."""
        self._passed_over = 0
        """How many of them had their numbers."""
        self.ends_in_order = False
        """To be set before a stop that no defect brings about: a picture that it interrupts has ended nothing."""
        self.turned_at = clock.monotonic()
        self._problems: dict[str, str] = {}

    @property
    def problem(self) -> str | None:
        """What cannot be written now and why, None while all goes well."""
        return self._outbox.problem or next(iter(self._problems.values()), None)

    def put(self, entry: Entry) -> None:
        """Queues an entry; never blocks."""
        with self._changed:
            if len(self._waiting) >= QUEUE_LIMIT:
                self.lost += len(self._waiting.popleft().messages)
            self._waiting.append(entry)
            self._changed.notify()

    def has_room(self) -> bool:
        """Whether a folder may be read further."""
        return len(self._waiting) < FOLDER_LIMIT

    def run(self, stop: threading.Event) -> None:
        """Writes until `stop`, and then what is still queued."""
        for folder in self._folders.values():
            self._end_files(folder)
        house_at = self._clock.monotonic()
        while not stop.is_set():
            self.turned_at = self._clock.monotonic()
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or stop.is_set(), HOUSE_EVERY_S)
            self._write_waiting()
            if self._clock.monotonic() - house_at >= HOUSE_EVERY_S:
                house_at = self._clock.monotonic()
                self._keep_house()
        self._write_waiting()
        self._keep_house()
        self._outbox.checkpoint()
        for folder in self._folders.values():
            if self.ends_in_order and folder.counted:
                folder.uncount(frozenset(file.claim for file in self._outbox.files(folder.name)))
            folder.close()  # nobody moves files after this

    def wake(self) -> None:
        """Makes `run` look at `stop`."""
        with self._changed:
            self._changed.notify()

    def _write_waiting(self) -> None:
        while True:
            entries: list[Entry] = []
            with self._changed:
                while self._waiting and len(entries) < BATCH:
                    entries.append(self._waiting.popleft())
                lost = self.lost
            if not entries:
                return
            self.turned_at = self._clock.monotonic()
            # What was lost is older than what waits, so the gap comes first.
            numbered = self._outbox.add(entries, self._trusted_time(), lost - self._passed_over)
            self._passed_over = lost
            if self._publisher is None:
                self._outbox.confirm([message.seq for entry in numbered for message in entry.messages])
            else:
                self._publisher.wake()
            for name in {entry.source for entry in numbered if entry.claim is not None}:
                self._end_files(self._folders[name])

    def _trusted_time(self) -> float | None:
        """Seconds since 1970; None while nothing keeps the clock right, when ages mean nothing."""
        return self._clock.now().timestamp() if self._clock.synced() else None

    def _keep_house(self) -> None:
        self._outbox.recover()
        dropped = self._outbox.trim(self._trusted_time())
        if dropped:
            log.warning("outbox: %d of the oldest messages dropped at its limits", dropped)
        now = self._clock.monotonic()
        if now - self._checkpoint_at >= CHECKPOINT_EVERY_S:
            self._checkpoint_at = now
            self._outbox.checkpoint()
        for folder in self._folders.values():
            if folder.on_done == "delete" or folder.name in self._problems:
                self._end_files(folder)

    def _end_files(self, folder: Folder) -> None:
        """Moves recorded files to where they belong; deletes those that are to go once the broker has their record.

        A file whose record the broker never got, because the limits of the outbox cost it, is kept in done/.
        """
        if folder.on_done == "delete":
            files = self._outbox.published_files(folder.name)
        else:
            files = self._outbox.files(folder.name)
        for file in files:
            self.turned_at = self._clock.monotonic()
            try:
                self._end_file(folder, file)
            except OSError as error:
                problem = f"source {folder.name}: {shown(file.claim)} cannot leave .processing: {_reason(error)}"
                if folder.name not in self._problems:
                    log.error("%s", problem)  # noqa: TRY400  the reason is in the text
                self._problems[folder.name] = problem
                return  # the rest would fail likewise; all are tried again about once a second
        self._problems.pop(folder.name, None)

    def _end_file(self, folder: Folder, file: FileDone) -> None:
        if folder.on_done == "delete" and not file.dropped:
            folder.delete(file.claim)
        elif not folder.finish(file.claim, file.failed, file.record):
            log.info("source %s: %s has left .processing before", folder.name, file.claim)
        self._outbox.forget_file(file.source, file.claim)


def _reason(error: OSError) -> str:
    """What was refused, and of which file: what is in done/ or failed/ can be in the way."""
    return f"{error.strerror}: {shown(error.filename)}" if error.filename else str(error)
