"""Which files of a watched folder are whole, as far as events of the folder and repeated looks at it can tell."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import inotify_simple

log = logging.getLogger(__name__)

SETTLED_AFTER_S = 1.0
CLAIM_AFTER_CLOSE_S = 0.3
"""For programs that copy in two steps: Python's `shutil.copy` sets the mode after it has closed the file."""
OPEN_SETTLED_AFTER_S = 30.0
"""For a file that was seen being written: its writer may pause, and will say when it closes it."""
IGNORED_SUFFIXES = (".part", ".tmp", ".crdownload")
_UNTOUCHED_NS = 2 * 10**9
"""A file that nobody has touched for this long before the start needs no watching."""
_FLAGS = inotify_simple.flags
DONE_WRITING = _FLAGS.CLOSE_WRITE | _FLAGS.MOVED_TO
WRITING = _FLAGS.CREATE | _FLAGS.MODIFY


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a look at a file tells. Times are of the file system's clock, in nanoseconds."""

    mode: int
    links: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, entry: os.DirEntry[str]) -> Self | None:
        """None if it is gone: the pipeline claims files while they are looked at."""
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        return cls(found.st_mode, found.st_nlink, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def is_file(mode: int) -> bool:
    """Whether it is something to take: a symbolic link is, and gets a record that says why it is not followed."""
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def is_left_alone(name: str) -> bool:
    """Whether a name says that the file is hidden or not yet whole."""
    return name.startswith(".") or name.lower().endswith(IGNORED_SUFFIXES)


class Readiness:
    """The names of files, from first sight to `take`. Not safe for several threads by itself.

    A file is ready when its writer closed or moved it, or, where no event told so, when two looks at least
    `SETTLED_AFTER_S` apart saw the same size and time. All `now` are seconds of a monotonic clock.

    Args:
        lay_there: what was in the folder when the program began. What nobody had touched for a while then, and nobody
            has touched since, is whole at the first look.
        begun_ns: when that was, by the clock of the file system, which may step afterwards.
    """

    def __init__(self, lay_there: Mapping[str, FileFacts], begun_ns: int) -> None:
        untouched = {name: facts for name, facts in lay_there.items() if facts.changed_ns < begun_ns - _UNTOUCHED_NS}
        self._untouched = untouched
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}
        self._ready: dict[str, None] = {}  # in order, each once
        self._closed: dict[str, float] = {}
        """Files that their writer has closed, and when; ready a moment later."""
        self._open: set[str] = set()
        """Files that were seen being written and not yet closed."""

    def note(self, events: Iterable[inotify_simple.Event], now: float) -> None:
        """Takes in what happened; a file that is written again is no longer ready."""
        for event in events:
            if not event.name or is_left_alone(event.name):
                continue
            if event.mask & DONE_WRITING:
                self._open.discard(event.name)
                self._closed[event.name] = now
            elif event.mask & WRITING:
                self._open.add(event.name)
                self._closed.pop(event.name, None)
                self._ready.pop(event.name, None)

    def promote(self, now: float) -> bool:
        """Makes ready what was closed long enough ago; whether there is any."""
        ready = [name for name, since in self._closed.items() if now - since >= CLAIM_AFTER_CLOSE_S]
        for name in ready:
            del self._closed[name]
            self._ready.setdefault(name)
        return bool(ready)

    def look(self, files: Mapping[str, FileFacts], now: float) -> None:
        """Takes in all files that are there now, by name; what became ready comes in the order of modification."""
        seen = {}
        ready = []
        for name, facts in files.items():
            signature = (facts.size, facts.modified_ns)
            before, since = self._seen.get(name, (None, now))
            if before != signature:
                since = now
            seen[name] = (signature, since)
            if name not in self._ready and name not in self._closed and self._is_settled(name, facts, now - since):
                ready.append(name)
        self._seen = seen
        self._untouched = {}
        self._open &= files.keys()
        for name in sorted(ready, key=lambda name: (files[name].modified_ns, name)):
            self._ready[name] = None

    def take(self) -> str | None:
        """The next ready name, once; None if there is none."""
        if not self._ready:
            return None
        name = next(iter(self._ready))
        del self._ready[name]
        self._seen.pop(name, None)
        return name

    def _is_settled(self, name: str, facts: FileFacts, unchanged_s: float) -> bool:
        # A link, hard or symbolic, is whole when it appears, and nobody closes it.
        is_open = name in self._open and stat.S_ISREG(facts.mode) and facts.links == 1
        if not is_open and facts == self._untouched.get(name):
            return True
        return unchanged_s >= (OPEN_SETTLED_AFTER_S if is_open else SETTLED_AFTER_S)


def events_of(folder: Path, stack: ExitStack) -> inotify_simple.INotify | None:
    """Those of a folder, until `stack` ends; None where the system has none to give: then scanning alone must do."""
    try:
        notify = stack.enter_context(inotify_simple.INotify())
        notify.add_watch(folder, DONE_WRITING | WRITING | _FLAGS.MOVE_SELF | _FLAGS.ONLYDIR)
    except OSError as error:
        log.info("%s: no events of this folder (%s); it is looked at now and again", folder, error.strerror)
        return None
    return notify
