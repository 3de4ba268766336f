"""Many pictures, once: paths in, one record each out, in the order of the sorted paths."""

from __future__ import annotations

import fcntl
import glob
import os
import stat
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from ctypes import c_bool
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path

import cv2

from edge.assembly import Vision
from edge.errors import ImageError, UnavailableError, UsageError
from edge.messages import ImageRecord, failed_image_record, image_record
from edge.mirror import Mirror, write_copy
from edge.paths import is_folder
from edge.plain import shown
from edge.settings import Settings
from edge.vision.analyzer import Face
from edge.vision.drawing import annotated, thumbnail
from edge.vision.geometry import Image
from edge.vision.image import decode, read_bytes
from edge.vision.probe import looks_like_picture
from edge.workers import start_server

PICTURE_SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".avif"]
)
_HANDFUL = 4
"""Files that are handed out at once: to hand out a single one takes a twelfth of the time that it is worked on."""
_AHEAD = 3
"""Handfuls that are handed out ahead, for each process: enough to keep it busy, few enough to hold little."""
_THUMBNAIL_QUALITY = 70
"""Of JPEG: 320 pixels then take about 14 kB."""


def find_pictures(arguments: Iterable[str], *, recursive: bool) -> list[Path]:
    """The files that are meant, sorted, each once.

    A file that is named is taken whatever it is. In a folder those are taken that a picture's suffix or its first bytes
    give away; names that begin with a dot are not.

    Args:
        arguments: files, folders, and globs.
        recursive: whether folders are entered below the first level.

    Raises:
        UsageError: an argument matches nothing.
    """
    found: set[Path] = set()
    for argument in arguments:
        paths = [Path(argument)]
        if not os.path.lexists(argument):
            paths = [Path(match) for match in glob.glob(argument, recursive=True)]  # noqa: PTH207  Path.glob takes no absolute pattern
            if not paths and _is_out_of_sight(argument):
                paths = [Path(argument)]
            if not paths:
                raise UsageError(f"{argument}: no such file or folder")
        for path in paths:
            found.update(_in_folder(path, recursive=recursive) if is_folder(path) else [path])
    return sorted(found, key=os.fsencode)


def _is_out_of_sight(argument: str) -> bool:
    """Whether it lies in a folder that may not be entered: its record says so, if it is there."""
    try:
        os.lstat(argument)
    except PermissionError:
        return True
    except (OSError, ValueError):
        pass
    return False


def _in_folder(folder: Path, *, recursive: bool) -> Iterator[Path]:
    unreadable: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=lambda error: unreadable.append(Path(error.filename))):
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if recursive else []
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and _is_picture(path):
                yield path
    yield from unreadable  # each becomes a record that says why


def _is_picture(path: Path) -> bool:
    """By its name or its first bytes; what cannot be looked at, as a dead link, counts by its name, and is named."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        if path.suffix.lower() in PICTURE_SUFFIXES:
            return True
        with path.open("rb") as file:
            return looks_like_picture(file.read(16))
    except OSError:
        return path.suffix.lower() in PICTURE_SUFFIXES


@dataclass(frozen=True, slots=True)
class Job:
    """How pictures are classified; travels to the worker processes.

    Attributes:
        settings: of detector and classifier.
        whole_faces: whether each picture is one face.
        thumbnail_px: longer side of the thumbnails that are made; None makes none.
        mirror: where annotated copies go; None makes none.
    """

    settings: Settings
    whole_faces: bool
    thumbnail_px: int | None = None
    mirror: Mirror | None = None

    def vision(self) -> Vision:
        """Loads the models; raises ModelError."""
        return Vision.load_for_whole_faces(self.settings) if self.whole_faces else Vision.load(self.settings)


@dataclass(frozen=True, slots=True)
class Classified:
    """What came of one picture. A thumbnail is a JPEG with the faces drawn in, of a picture that could be read."""

    path: Path
    record: ImageRecord
    thumbnail: bytes | None = None


def classify(path: Path, vision: Vision, job: Job) -> Classified:
    """What came of one file; an unreadable one gives a record with an error.

    Raises:
        UnavailableError: the annotated copy cannot be written.
    """
    began = time.monotonic()
    try:
        image = decode(read_bytes(path))
        faces = vision.analyzer.analyze(image)
        elapsed_ms = (time.monotonic() - began) * 1000
        size = image.shape[1], image.shape[0]
        record = image_record(shown(path), size, faces, elapsed_ms, vision.identities)
        return Classified(path, record, _draw(path, image, faces, job))
    except ImageError as error:
        problem = str(error)
    except (cv2.error, MemoryError) as error:
        problem = f"cannot be analysed: {str(error) or 'out of memory'}"
    elapsed_ms = (time.monotonic() - began) * 1000
    return Classified(path, failed_image_record(shown(path), problem, elapsed_ms, vision.identities))


def _draw(path: Path, image: Image, faces: Sequence[Face], job: Job) -> bytes | None:
    """Writes the annotated copy and returns the thumbnail, as far as they are wanted."""
    if job.mirror is not None:
        write_copy(job.mirror.copy_of(path), annotated(image, faces))
    if job.thumbnail_px is None:
        return None
    quality = [cv2.IMWRITE_JPEG_QUALITY, _THUMBNAIL_QUALITY]
    return cv2.imencode(".jpg", thumbnail(image, faces, job.thumbnail_px), quality)[1].tobytes()


def classify_all(paths: Sequence[Path], job: Job, processes: int) -> Iterator[Classified]:
    """Yields what came of each, in the order of `paths`.

    Args:
        paths: of the pictures.
        job: how.
        processes: that work; with 1 the work is done in this one.

    Raises:
        ModelError: a model cannot be loaded.
        UnavailableError: a worker process was killed from outside, most often for want of memory; or an annotated copy
            cannot be written.
    """
    vision = job.vision()  # also where others will do the work: now is the time to find out that it cannot be loaded
    return (classify(path, vision, job) for path in paths) if processes == 1 else _in_processes(paths, job, processes)


def _in_processes(paths: Sequence[Path], job: Job, processes: int) -> Iterator[Classified]:
    context = start_server()
    ending = context.RawValue(c_bool, False)  # noqa: FBT003  as its type wants it
    pool = ProcessPoolExecutor(processes, context, _start_worker, (job, ending))
    length = max(1, min(_HANDFUL, len(paths) // (processes * _AHEAD)))
    waiting: deque[Future[_Done]] = deque()
    try:
        for at in range(0, len(paths), length):
            waiting.append(pool.submit(_classify_in_worker, paths[at : at + length]))
            if len(waiting) >= _AHEAD * processes:
                yield from _taken(waiting.popleft())
        while waiting:
            yield from _taken(waiting.popleft())
    except BrokenProcessPool as error:
        raise UnavailableError(
            "a worker process was killed, most often for want of memory; use fewer --jobs"
        ) from error
    finally:
        ending.value = True
        # To the end: workers that are left alone would hold our output open and wait for work for ever.
        pool.shutdown(wait=True, cancel_futures=True)


def _taken(done: Future[_Done]) -> Iterator[Classified]:
    """What came of a handful, and then the reason why there is no more of it."""
    classified, error = done.result()
    yield from classified
    if error is not None:
        raise error


@dataclass(frozen=True, slots=True)
class _Worker:
    """What a worker process keeps. `ending` is set by the one that started it, when no more is wanted."""

    vision: Vision
    job: Job
    ending: c_bool


_worker: _Worker | None = None
_Done = tuple[list[Classified], UnavailableError | None]


def _start_worker(job: Job, ending: c_bool) -> None:
    global _worker  # noqa: PLW0603  a process pool has no other place for what its workers keep
    _end_with_starter()
    cv2.setNumThreads(1)
    _worker = _Worker(job.vision(), job, ending)


def _end_with_starter() -> None:
    """Whoever is killed cannot shut its pool down, and workers would wait for its work for ever.

    When the other end of the pipe from there is closed, the kernel sends SIGIO, which ends a process.
    """
    starter = parent_process()
    if starter is None:
        raise RuntimeError("this is no worker process")
    fcntl.fcntl(starter.sentinel, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(starter.sentinel, fcntl.F_SETFL, os.O_ASYNC | fcntl.fcntl(starter.sentinel, fcntl.F_GETFL))
    if not starter.is_alive():  # since before it was asked for
        os._exit(1)


def _classify_in_worker(paths: Sequence[Path]) -> _Done:
    if _worker is None:
        raise RuntimeError("the worker was not started")
    done: list[Classified] = []
    for path in paths:
        if _worker.ending.value:
            break
        try:
            done.append(classify(path, _worker.vision, _worker.job))
        except UnavailableError as error:
            return done, error
    return done, None
