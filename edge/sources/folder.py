"""A watched folder: files are claimed by renaming, and end in done/ or failed/, or are deleted once published.

The folder itself is the queue. inotify only wakes; a scan decides what is there, so a missed or overflowed event, a
network mount without events, and a restart are all the same case. A file is ready when its writer closed or moved it,
or, where no event told so, when two scans at least `SETTLED_AFTER_S` apart saw the same size and time.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import Literal

import inotify_simple

from edge.errors import ImageError
from edge.settings import FolderSource
from edge.sources import Monotonic, SourceState, Wake
from edge.sources.names import UNFINISHED, Claim, complete_records, free_name
from edge.vision.geometry import Image
from edge.vision.image import decode, read_bytes

log = logging.getLogger(__name__)

SCAN_EVERY_S = 2.0
SETTLED_AFTER_S = 1.0
IGNORED_SUFFIXES = (".part", ".tmp", ".crdownload")
_UNTOUCHED_NS = 2 * 10**9
"""A file that nobody has touched for this long before the start needs no watching."""
PROCESSING, DONE, FAILED = ".processing", "done", "failed"
_EVENTS = inotify_simple.flags.CLOSE_WRITE | inotify_simple.flags.MOVED_TO | inotify_simple.flags.ONLYDIR
MAX_ATTEMPTS = 4
"""A picture that has ended so many runs (for want of memory, say) would end all that follow."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A claimed file. Exactly one of `image` and `error` is not None.

    `name` is the file's name as it was dropped in; `claim` is what it is called in .processing/ and unique there.
    """

    claim: str
    name: str
    sha256: str
    image: Image | None
    error: str | None
    at: float


class Folder:
    """One folder source. `take` and `finish` are for the pipeline and the recorder, `watch` for the source's thread."""

    kind: Literal["folder"] = "folder"

    def __init__(self, settings: FolderSource, clock: Monotonic) -> None:
        self.name = settings.name
        self.on_done = settings.on_done
        self._inbox = settings.path
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}
        self._claimed: deque[str] = deque()
        self._ready: dict[str, None] = {}  # in order, each once
        self._begun_ns = 0
        """When the program began, by the clock of the file system, with which the times of files compare."""
        self._frames = 0
        self._last_frame_at: float | None = None
        self._error: str | None = None
        self._scanned = False

    # The source's thread

    def watch(self, stop: threading.Event, wake: Wake) -> None:
        """Wakes the pipeline when a writer has closed or moved a file, and every `SCAN_EVERY_S` in any case."""
        while not stop.is_set():
            try:
                with inotify_simple.INotify() as notify:
                    notify.add_watch(self._inbox, _EVENTS)
                    self._scan()
                    wake()
                    self._wait_for_files(notify, stop, wake)
            except OSError as error:
                self._fail(f"{self._inbox}: {error.strerror}")
                stop.wait(SCAN_EVERY_S)

    def _wait_for_files(self, notify: inotify_simple.INotify, stop: threading.Event, wake: Wake) -> None:
        scanned_at = self._clock()
        while not stop.is_set():
            events = notify.read(timeout=200)
            closed = [event.name for event in events if event.name]
            overflowed = any(event.mask & inotify_simple.flags.Q_OVERFLOW for event in events)
            gone = any(event.mask & inotify_simple.flags.IGNORED for event in events)
            if closed:
                self._take_in(closed)
                wake()
            if overflowed or gone or self._clock() - scanned_at >= SCAN_EVERY_S:
                scanned_at = self._clock()
                self._scan()
                wake()
            if gone:
                return

    def _take_in(self, closed: list[str]) -> None:
        """Files that their writer has closed or moved here are ready at once, in the order of the events."""
        wanted = [name for name in closed if not _is_left_alone(name)]
        with self._lock:
            for name in wanted:
                self._ready.setdefault(name)

    def _scan(self) -> None:
        """Finds what is ready. Raises OSError if the folder cannot be listed."""
        now = self._clock()
        with os.scandir(self._inbox) as entries:
            facts = {
                entry.name: entry.stat(follow_symlinks=False) for entry in entries if not _is_left_alone(entry.name)
            }
            facts = {name: fact for name, fact in facts.items() if _is_file(fact.st_mode)}
        with self._lock:
            seen, ready = {}, []
            for name, fact in facts.items():
                signature = (fact.st_size, fact.st_mtime_ns)
                before, since = self._seen.get(name, (None, now))
                if before != signature:
                    since = now
                seen[name] = (signature, since)
                untouched = fact.st_ctime_ns < self._begun_ns - _UNTOUCHED_NS
                if name not in self._ready and (untouched or now - since >= SETTLED_AFTER_S):
                    ready.append(name)
            self._seen = seen
            for name in sorted(ready, key=lambda name: (facts[name].st_mtime_ns, name)):
                self._ready[name] = None
            self._error, self._scanned = None, True

    # The pipeline's thread

    def recover(self, finished: frozenset[str]) -> list[str]:
        """Makes the sub-folders and looks for what an earlier run had claimed.

        Args:
            finished: claims whose record is already in the outbox.

        Returns:
            Those of `finished` that still lie in .processing/ and are to be finished; the others will be taken again.

        Raises:
            OSError: the folders cannot be made or read.
        """
        for folder in (self._inbox, *(self._inbox / name for name in (PROCESSING, DONE, FAILED))):
            folder.mkdir(parents=True, exist_ok=True)
        for target in (self._inbox / DONE, self._inbox / FAILED):
            complete_records(target)
        os.utime(self._inbox / PROCESSING)
        self._begun_ns = (self._inbox / PROCESSING).stat().st_ctime_ns
        left = sorted(path.name for path in (self._inbox / PROCESSING).iterdir())
        self._claimed.extend(claim for claim in left if claim not in finished)
        return [claim for claim in left if claim in finished]

    def take(self) -> Dropped | None:
        """Claims and reads the next file, None if none is ready."""
        while True:
            if self._claimed:
                return self._read_again(self._claimed.popleft())
            with self._lock:
                if not self._ready:
                    return None
                name = next(iter(self._ready))
                del self._ready[name]
                self._seen.pop(name, None)
            try:
                claim = self._claim(name)
            except FileNotFoundError:
                continue  # taken away again by whoever put it there, or no file
            except OSError as error:
                self._fail(f"{name} cannot be claimed: {error.strerror}")
                return None
            return self._read(claim)

    def _claim(self, name: str) -> str:
        processing = self._inbox / PROCESSING
        if not _is_file((self._inbox / name).lstat().st_mode):
            raise FileNotFoundError(name)
        claim = Claim(name)
        while os.path.lexists(processing / claim.file_name):
            claim = replace(claim, number=claim.number + 1)
        (self._inbox / name).rename(processing / claim.file_name)
        return claim.file_name

    def _read_again(self, claimed: str) -> Dropped:
        """Takes up what an earlier run had begun, unless it is this file that has ended the program again and again."""
        claim = Claim.parse(claimed)
        claim = replace(claim, attempts=claim.attempts + 1)
        try:
            (self._inbox / PROCESSING / claimed).rename(self._inbox / PROCESSING / claim.file_name)
        except OSError:  # too long a name, or a disk that refuses: then attempts are not counted
            return self._read(claimed)
        if claim.attempts < MAX_ATTEMPTS:
            return self._read(claim.file_name)
        error = f"the program ended {MAX_ATTEMPTS} times while it was at work on this file; it is not tried again"
        return Dropped(claim.file_name, claim.name, hashlib.sha256().hexdigest(), None, error, self._clock())

    def _read(self, claim: str) -> Dropped:
        path = self._inbox / PROCESSING / claim
        now = self._clock()
        image, error, sha256 = None, None, hashlib.sha256().hexdigest()
        try:
            data = read_bytes(path, flags=os.O_NOFOLLOW)
            sha256 = hashlib.sha256(data).hexdigest()
            image = decode(data)
        except ImageError as problem:
            error = str(problem)
        with self._lock:
            self._frames += 1
            self._last_frame_at = now
        return Dropped(claim, Claim.parse(claim).name, sha256, image, error, now)

    # The recorder's thread

    def finish(self, claim: str, failed: bool, record: str) -> None:  # noqa: FBT001
        """Moves a recorded file to done/ or failed/, its record beside it.

        Raises:
            OSError: it cannot be moved now; it is finished at the next start.
        """
        target = self._inbox / (FAILED if failed else DONE)
        name = free_name(target, Claim.parse(claim).name)
        unfinished = target / f".{name}{UNFINISHED}"
        unfinished.write_text(record + "\n", encoding="utf-8")
        (self._inbox / PROCESSING / claim).rename(target / name)
        unfinished.rename(target / f"{name}.json")

    def delete(self, claim: str) -> None:
        """Deletes a published file."""
        (self._inbox / PROCESSING / claim).unlink(missing_ok=True)

    def state(self) -> SourceState:
        """`waiting` before the first look into the folder, `lost` while it cannot be listed."""
        with self._lock:
            state: Literal["ok", "waiting", "lost"] = "ok" if self._error is None else "lost"
            if not self._scanned:
                state = "waiting"
            return SourceState(state, self._frames, 0, self._last_frame_at, self._error)

    def _fail(self, error: str) -> None:
        with self._lock:
            if error != self._error:
                log.warning("source %s: %s", self.name, error)
            self._error = error


def _is_left_alone(name: str) -> bool:
    return name.startswith(".") or name.endswith(IGNORED_SUFFIXES)


def _is_file(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)
