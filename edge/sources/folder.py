"""A watched folder: files are claimed by renaming, and end in done/ or failed/, or are deleted once published.

The folder itself is the queue. inotify only wakes; a scan decides what is there, so a missed or overflowed event, a
network mount without events, and a restart are all the same case. `edge.sources.readiness` knows which files are whole.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

import inotify_simple

from edge.errors import ConfigError, UnavailableError
from edge.paths import make_folder
from edge.plain import shown
from edge.settings import DONE, FAILED, PROCESSING, FolderSource
from edge.sources import Monotonic, SourceState, Wake
from edge.sources.dropped import NOT_READ, Dropped
from edge.sources.names import Claim, complete_records, put_away
from edge.sources.ownership import Ownership
from edge.sources.readiness import FileFacts, Readiness, events_of, is_file, is_left_alone

log = logging.getLogger(__name__)

SCAN_EVERY_S = 2.0
_READ_MS = 100
_FLAGS = inotify_simple.flags
_GONE = _FLAGS.IGNORED | _FLAGS.MOVE_SELF
MAX_ATTEMPTS = 4
"""A picture that has ended so many runs (for want of memory, say) would end all that follow."""


class Folder:
    """One folder source. `take` and `finish` are for the pipeline and the recorder, `watch` for the source's thread."""

    kind: Literal["folder"] = "folder"

    def __init__(self, settings: FolderSource, clock: Monotonic) -> None:
        self.name = settings.name
        self.on_done = settings.on_done
        self._inbox = settings.path
        self._clock = clock
        self._lock = threading.Lock()
        self._ownership = Ownership()
        self._claimed: deque[str] = deque()
        self._files = Readiness({}, begun_ns=0)
        self._frames = 0
        self._last_frame_at: float | None = None
        self._error: str | None = None
        self._refused: dict[str, str] = {}
        """The file that could not be claimed, and why."""
        self._entry_error: str | None = None
        self._scanned = False
        self._finished: Callable[[], frozenset[str]] | None = None
        """Set while the folder has not been usable since the start."""
        self.counted: set[str] = set()
        """Claims whose attempts this run has counted."""

    def begin(self, finished: Callable[[], frozenset[str]]) -> None:
        """`recover`s with what `finished` says then; while the disk does not let it, `watch` tries that again.

        Raises:
            ConfigError: what is there is no folder.
            UnavailableError: see `recover`.
        """
        try:
            self.recover(finished())
        except (FileExistsError, NotADirectoryError) as error:
            raise ConfigError(f"sources: {self.name}: {error.filename} cannot be used: {error.strerror}") from error
        except OSError as error:
            self._finished = finished
            self._fail(error)

    # The source's thread

    def watch(self, stop: threading.Event, wake: Wake) -> None:
        """Wakes the pipeline when a writer has closed or moved a file, and every `SCAN_EVERY_S` in any case."""
        while not stop.is_set():
            try:
                if self._finished is not None:
                    self.recover(self._finished())
                    self._finished = None
                self._make_folders()
                with ExitStack() as stack:
                    notify = events_of(self._inbox, stack)
                    self._scan()
                    wake()
                    self._wait_for_files(notify, stop, wake)
            except (OSError, UnavailableError) as error:
                self._fail(error)
                stop.wait(SCAN_EVERY_S)

    def _wait_for_files(self, notify: inotify_simple.INotify | None, stop: threading.Event, wake: Wake) -> None:
        scanned_at = self._clock()
        while not stop.is_set():
            if notify is None:
                stop.wait(SCAN_EVERY_S)
            events = [] if notify is None else notify.read(timeout=_READ_MS)
            overflowed = any(event.mask & _FLAGS.Q_OVERFLOW for event in events)
            gone = any(event.mask & _GONE for event in events)
            with self._lock:
                self._files.note(events, self._clock())
                promoted = self._files.promote(self._clock())
            if promoted:
                wake()
            if overflowed or gone or self._clock() - scanned_at >= SCAN_EVERY_S:
                scanned_at = self._clock()
                gone |= self._scan()
                wake()
            if gone:
                return

    def _scan(self) -> bool:
        """Looks at what is there; whether that is another folder than before. Raises OSError if it cannot be listed."""
        now = self._clock()
        is_another = self._make_folders()
        files = self._list()
        with self._lock:
            self._files.look(files, now)
            self._error, self._scanned = None, True
            self._refused = {name: why for name, why in self._refused.items() if name in files}
        return is_another

    def _list(self) -> dict[str, FileFacts]:
        """What lies there to be taken; one that a damaged disk refuses to show is no reason to leave the others."""
        files, problem = {}, None
        with os.scandir(self._inbox) as entries:
            for entry in entries:
                if is_left_alone(entry.name):
                    continue
                try:
                    facts = FileFacts.of(entry)
                except OSError as error:
                    problem = f"{shown(entry.name)} cannot be looked at: {error.strerror}"
                    continue
                if facts is not None and is_file(facts.mode):
                    files[entry.name] = facts
        if problem is not None and problem != self._entry_error:
            log.warning("source %s: %s", self.name, problem)
        self._entry_error = problem
        return files

    # The pipeline's thread

    def recover(self, finished: frozenset[str]) -> None:
        """Makes the folder this program's own and finds what an earlier run had claimed; `take` gives it first.

        Args:
            finished: claims whose record is already in the outbox; they are left to `finish` and `delete`.

        Raises:
            OSError: the folders cannot be made or read.
            UnavailableError: it is in use by another program or source.
        """
        make_folder(self._inbox, parents=True)
        self._make_folders()
        for target in (self._inbox / DONE, self._inbox / FAILED):
            complete_records(target)
        os.utime(self._inbox / PROCESSING)
        begun_ns = (self._inbox / PROCESSING).stat().st_ctime_ns
        left = sorted(path.name for path in (self._inbox / PROCESSING).iterdir())
        self._claimed.extend(claim for claim in left if claim not in finished)
        with suppress(OSError):  # a folder that cannot be listed is no reason not to start: `watch` reports it as lost
            self._files = Readiness(self._list(), begun_ns)

    def _make_folders(self) -> bool:
        """Those inside; an inbox that is away, an unmounted disk perhaps, is not made anew in its place.

        Returns:
            Whether there was another .processing before: somebody has removed it, or replaced or covered the inbox.
        """
        for name in (PROCESSING, DONE, FAILED):
            make_folder(self._inbox / name)
        return self._ownership.take(self._inbox / PROCESSING)

    def take(self) -> Dropped | None:
        """Claims and reads the next file, None if none is ready."""
        while True:
            if self._claimed:
                return self._read_again(self._claimed.popleft())
            with self._lock:
                name = self._files.take()
            if name is None:
                return None
            try:
                if not is_file((self._inbox / name).lstat().st_mode):
                    continue
            except OSError:
                continue  # taken away again by whoever put it there, or with the folder, which the next scan finds out
            try:
                claim = self._claim(Claim(name), self._inbox / name)
            except OSError as error:
                problem = f"{shown(name)} cannot be claimed: {error.strerror}"
                if not self._refused:
                    log.warning("source %s: %s", self.name, problem)
                self._refused = {name: problem}
                return None
            self._refused = {}
            return self._read(claim)

    def _claim(self, claim: Claim, path: Path) -> str:
        """Renames `path` to the claim, or to one with a number where that is taken; what it is called now."""
        while os.path.lexists(self._inbox / PROCESSING / claim.file_name):
            claim = replace(claim, number=claim.number + 1)
        path.rename(self._inbox / PROCESSING / claim.file_name)
        return claim.file_name

    def _read_again(self, claimed: str) -> Dropped:
        """Takes up what an earlier run had begun, unless it is this file that has ended the program again and again."""
        claim = Claim.parse(claimed)
        claim = replace(claim, attempts=claim.attempts + 1)
        try:
            name = self._claim(claim, self._inbox / PROCESSING / claimed)
        except OSError:  # too long a name, or a disk that refuses: then attempts are not counted
            return self._read(claimed)
        self.counted.add(name)
        if claim.attempts < MAX_ATTEMPTS:
            return self._read(name)
        error = f"the program ended {MAX_ATTEMPTS} times while it was at work on this file; it is not tried again"
        return Dropped(name, claim.name, NOT_READ, None, error, self._clock())

    def _read(self, claim: str) -> Dropped:
        path = self._inbox / PROCESSING / claim
        dropped = Dropped.read(path, self._clock())
        with self._lock:
            self._frames += 1
            self._last_frame_at = dropped.at
        return dropped

    # The recorder's thread

    def finish(self, claim: str, failed: bool, record: str) -> bool:  # noqa: FBT001
        """Moves a recorded file to done/ or failed/, its record beside it.

        Returns:
            False if it is not in .processing/ any more: a run that was killed right after had moved it.

        Raises:
            OSError: it cannot be moved now, or the folder is away.
        """
        if not self._is_claimed(claim):
            return False
        target = self._inbox / (FAILED if failed else DONE)
        put_away(self._inbox / PROCESSING / claim, target, Claim.parse(claim).name, record)
        return True

    def delete(self, claim: str) -> None:
        """Deletes a published file; raises OSError like `finish`."""
        if self._is_claimed(claim):
            (self._inbox / PROCESSING / claim).unlink()

    def _is_claimed(self, claim: str) -> bool:
        """Raises OSError where that cannot be known: a file on a disk that is away is still to be dealt with.

        Nor is it before `recover`, which puts right what an earlier run has left half done.
        """
        if self._finished is not None:
            raise OSError(errno.EAGAIN, "the folder has not been usable since the start")
        try:
            (self._inbox / PROCESSING / claim).lstat()
        except FileNotFoundError:
            (self._inbox / PROCESSING).lstat()
            return False
        return True

    def uncount(self, finished: frozenset[str]) -> None:
        """At an orderly stop: what was `counted`, and is not `finished` (recorded), has not ended the program."""
        for claim in self.counted - finished:
            parsed = Claim.parse(claim)
            with suppress(OSError):  # then it counts
                self._claim(replace(parsed, attempts=parsed.attempts - 1), self._inbox / PROCESSING / claim)

    def close(self) -> None:
        """Leaves the folder to others."""
        self._ownership.give_back()

    def state(self) -> SourceState:
        """`waiting` before the first look into the folder, `lost` while it cannot be listed."""
        with self._lock:
            error = self._error or self._entry_error or next(iter(self._refused.values()), None)
            state: Literal["ok", "waiting", "lost"] = "ok" if error is None else "lost"
            if not self._scanned:
                state = "waiting"
            return SourceState(state, self._frames, 0, self._last_frame_at, error)

    def _fail(self, error: OSError | UnavailableError) -> None:
        problem = f"{self._inbox}: {error.strerror}" if isinstance(error, OSError) else str(error)
        with self._lock:
            if problem != self._error:
                log.warning("source %s: %s", self.name, problem)
            self._error = problem
