"""Pictures classified on many machines, over Dask: what `edge.batch` gives, in the same order.

Workers read the pictures themselves, so each path must lead to the same file there. A worker that dies loses nothing:
Dask does its chunks again elsewhere. To Dask everything that was handed to a dying worker is suspect. So a chunk that
was there too often is taken apart: when nothing else of ours is at work, its pictures are done one by one, and the one
that kills workers even then ends as a failed record.
"""

from __future__ import annotations

import logging
import signal
import socket
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import __version__
from edge.assembly import Vision
from edge.batch import Classified, Job, classify
from edge.errors import MaskgateError, ModelError, UnavailableError, UsageError
from edge.messages import Models, failed_image_record
from edge.plain import shown
from edge.settings import Settings
from edge.vision.cards import file_sha256
from edge.workers import without_interrupts

if TYPE_CHECKING:
    from distributed import Client

Future = Any  # of distributed

CHUNK = 16
"""Pictures a task: long enough to outweigh what a task costs the scheduler, about a millisecond."""
_CHUNKS_AHEAD = 4
"""Tasks handed out for each thread of the workers."""
_LOCAL_DEATHS = 1
"""How many workers of a local cluster a task may cost before it counts as their killer, beyond the first."""
_CONNECT_LIMIT_S = 20.0
_WORKER_LIMIT_S = 60.0
"""How long there may be no worker at all."""
_SILENCE_LIMIT_S = 900.0
"""How long nothing may be finished, with workers there."""
_TICK_S = 1.0
_ANSWER_LIMIT_S = 10.0
_LOOK_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Promise:
    """What made the records: the program's version, and the hashes of each model and its card."""

    version: str
    files: tuple[tuple[str, str, str], ...]

    @classmethod
    def of(cls, vision: Vision) -> Promise:
        cards = [(file, file.path.with_suffix(".json")) for file in vision.files]
        hashes = [(file.name, file.sha256, file_sha256(card) if card.exists() else "") for file, card in cards]
        return cls(__version__, tuple(hashes))

    def difference(self, found: Promise) -> str | None:
        """What differs, in words."""
        if found.version != self.version:
            return f"has maskgate {found.version}, not {self.version}"
        for ours, theirs in zip(self.files, found.files, strict=True):
            if ours != theirs:
                return f"has another {ours[0]} (model {theirs[1][:8]}, not {ours[1][:8]}, or another card)"
        return None


_kept = threading.local()
"""Of each thread of a worker: the job that it has loaded models for, and these. They are not to be shared."""


def classify_chunk(folder: Path, paths: Sequence[Path], job: Job, promise: Promise) -> list[Classified] | MaskgateError:
    """Runs on a worker.

    Returns:
        The results, or what went wrong. As a value: an exception travels with its traceback, and Dask can lose one that
        is deep on the way, so that whoever waits for the result waits in vain.
    """
    try:
        vision = _vision(job, promise)
        return [_renamed(classify(folder / path, vision, job), path) for path in paths]
    except MaskgateError as error:
        return error
    except Exception as error:  # noqa: BLE001  raised again where the result is awaited
        where = f"the worker on {socket.gethostname()}, {shown(paths[0])} to {shown(paths[-1])}"
        return MaskgateError(f"{where}: internal error: {type(error).__name__}: {error}")


def _vision(job: Job, promise: Promise) -> Vision:
    """Of this thread, loaded once.

    Raises:
        ModelError: program or models are not those of `promise`.
    """
    if getattr(_kept, "job", None) != (job, promise):
        import cv2

        cv2.setNumThreads(1)
        vision = job.vision()
        difference = promise.difference(Promise.of(vision))
        if difference is not None:
            raise ModelError(f"the worker on {socket.gethostname()} {difference}: install the same release everywhere")
        _kept.job, _kept.vision = (job, promise), vision
    kept: Vision = _kept.vision
    return kept


def _renamed(result: Classified, path: Path) -> Classified:
    """As the path was given, and not as the worker has opened it."""
    return replace(result, path=path, record=result.record.model_copy(update={"path": shown(path)}))


def classify_on_cluster(paths: Sequence[Path], job: Job, scheduler: str | None, processes: int) -> Iterator[Classified]:
    """Yields what came of each picture, in the order of `paths`.

    Args:
        paths: of the pictures, as seen from the folder that the program was started in.
        job: how.
        scheduler: address of a Dask scheduler; None starts a cluster on this machine, for the time being.
        processes: workers of that cluster.

    Raises:
        ModelError: a model cannot be loaded here, or a worker has another.
        UnavailableError: Dask is not installed, or the scheduler or all workers are away for too long.
    """
    # Passwords of the broker, the page and the cameras have no business there: only what the work needs leaves.
    needed = Settings.model_construct(detector=job.settings.detector, classifier=job.settings.classifier)
    job = replace(job, settings=needed)
    vision = job.vision()
    cluster = _Cluster(scheduler, processes, job, Promise.of(vision), vision.identities)
    return cluster.classified(paths)


class _Cluster:
    """The connection, and what is handed out."""

    def __init__(self, scheduler: str | None, processes: int, job: Job, promise: Promise, identities: Models) -> None:
        self._folder = Path.cwd()
        with ExitStack() as closing:
            self._client = _connect(closing, scheduler, processes)
            self._closing = closing.pop_all()
        self._identities = identities
        self._arguments = job, promise
        self._ahead: deque[tuple[Sequence[Path], Future]] = deque()
        self._threads, self._looked_at = 1, float("-inf")
        self._seen_at = self._finished_at = time.monotonic()
        self._finished = 0

    def classified(self, paths: Sequence[Path]) -> Iterator[Classified]:
        """See `classify_on_cluster`; closes the cluster at the end."""
        chunks = (paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK))
        with self._closing:
            while True:
                for chunk in islice(chunks, max(0, self._room())):
                    self._ahead.append((chunk, self._submit(chunk)))
                if not self._ahead:
                    return
                yield from self._settled(*self._ahead.popleft())

    def _room(self) -> int:
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            self._threads = max(1, self._count_threads())
        return _CHUNKS_AHEAD * self._threads - len(self._ahead)

    def _submit(self, chunk: Sequence[Path]) -> Future:
        return self._client.submit(classify_chunk, self._folder, chunk, *self._arguments, pure=False)

    def _settled(self, chunk: Sequence[Path], future: Future) -> Iterator[Classified]:
        """The chunk's results; where it is suspect, those of its pictures one by one."""
        from distributed import KilledWorker

        try:
            results = self._result(future)
        except KilledWorker:
            for _, other in self._ahead:
                self._wait(other)
            for path in chunk:
                yield self._alone(path)
        else:
            yield from results

    def _alone(self, path: Path) -> Classified:
        """The result of a picture while nothing else of ours is handed out, so that a death is of its making."""
        from distributed import KilledWorker

        try:
            return self._result(self._submit([path]))[0]
        except KilledWorker as error:
            died = error.allowed_failures + 1
            why = f"the worker process was killed {died} times while it was at work on this file; it is not tried again"
            return Classified(path, failed_image_record(shown(path), why, 0, self._identities))

    def _wait(self, future: Future) -> None:
        """Until there is a result, or an error; whatever that is comes up when it is this one's turn."""
        while not future.done():
            try:
                future.exception(timeout=_TICK_S)
            except TimeoutError:
                self._look()
            except CancelledError:
                return

    def _result(self, future: Future) -> list[Classified]:
        while True:
            try:
                answer: list[Classified] | MaskgateError = future.result(timeout=_TICK_S)
            except TimeoutError:  # not there yet, or lost with the worker that had it, and done again
                self._look()
            except CancelledError as error:
                raise UnavailableError("the Dask scheduler went away; continue with --resume") from error
            except ImportError as error:
                raise UnavailableError(f"the workers cannot run maskgate: {error}: install the same release") from error
            else:
                break
        if isinstance(answer, MaskgateError):
            raise answer
        self._seen_at = self._finished_at = time.monotonic()
        return answer

    def _look(self) -> None:
        """Nothing waits for ever.

        Raises:
            UnavailableError: no worker, or no result, for too long.
        """
        now = time.monotonic()
        if self._count_threads():
            self._seen_at = now
        finished = sum(future.done() for _, future in self._ahead)
        if finished != self._finished:
            self._finished, self._finished_at = finished, now
        if now - self._seen_at > _WORKER_LIMIT_S:
            raise UnavailableError(f"no Dask worker for {_WORKER_LIMIT_S:.0f} s; continue with --resume")
        if now - self._finished_at > _SILENCE_LIMIT_S:
            raise UnavailableError(
                f"nothing was finished for {_SILENCE_LIMIT_S / 60:.0f} minutes; continue with --resume"
            )

    def _count_threads(self) -> int:
        """Of all workers; 0 if the scheduler does not answer."""
        client: Any = self._client
        try:
            return sum(client.sync(client.scheduler.ncores, workers=None, callback_timeout=_ANSWER_LIMIT_S).values())
        except (OSError, TimeoutError, RuntimeError):
            return 0


def _connect(closing: ExitStack, scheduler: str | None, processes: int) -> Client:
    """A client of the scheduler, or of a cluster that is started here; `closing` ends both."""
    try:
        import dask
        import distributed
    except ImportError as error:
        raise UnavailableError("--engine dask needs an extra: pip install 'maskgate[cluster]'") from error
    library: Any = distributed  # which has types for half of itself
    for name in [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "distributed"]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is raised
    where: Any = scheduler
    if scheduler is None:
        dask.config.set(
            {"distributed.scheduler.allowed-failures": _LOCAL_DEATHS, "logging": {"distributed": "critical"}}
        )
        scratch = closing.enter_context(tempfile.TemporaryDirectory(prefix="maskgate-dask-"))
        with without_interrupts():
            where = library.LocalCluster(
                n_workers=processes,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=None,
                worker_dashboard_address=None,
                silence_logs=logging.CRITICAL,
                local_directory=scratch,
            )
        closing.callback(where.close, timeout=_ANSWER_LIMIT_S)
        # Workers that are started anew come from that thread, and inherit what it blocks: Ctrl-C is not for them.
        where.loop.add_callback(signal.pthread_sigmask, signal.SIG_BLOCK, [signal.SIGINT])
    try:
        client: Client = library.Client(where, timeout=_CONNECT_LIMIT_S)
    except (OSError, TimeoutError) as error:
        place = "on this machine" if scheduler is None else f"at {scheduler}"
        raise UnavailableError(f"no Dask scheduler answers {place}") from error
    except ValueError as error:
        raise UsageError(f"--scheduler: {error}") from error
    closing.callback(client.close, timeout=_ANSWER_LIMIT_S)
    return client
