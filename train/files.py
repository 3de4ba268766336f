"""Files that are there whole or not at all, and the file's name in what is said where one cannot be written."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from edge.errors import UnavailableError, UsageError
from edge.plain import shown

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems without locks answer: then there is none."""

_LEFT_S = 60.0
"""A draft that was not touched for so long, and whose writer is no process here, was left by one that was killed."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft beside `path` that takes its place once the block has ended; until then the old file is untouched.

    The draft ends as `path` does: Keras and NumPy go by the suffix. Each writer has one of its own; of several at once
    the last to end has its way. Drafts that killed writers have left are deleted.

    Raises:
        OSError: it cannot be written; `filename` is `path`, also where the disk is full and Python names no file.
    """
    draft = _draft_of(path)
    _delete_left(path)
    with _naming(path, draft):
        try:
            yield draft
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def _draft_of(path: Path) -> Path:
    return path.with_name(f".draft-{os.getpid()}-{secrets.token_hex(4)}-{path.name}")


def _delete_left(path: Path) -> None:
    drafts = re.compile(rf"\.draft-(?:(\d+)-[0-9a-f]{{8}}-)?{re.escape(path.name)}")
    with suppress(OSError):  # It is no reason not to write.
        for file in list(path.parent.iterdir()):
            draft = drafts.fullmatch(file.name)
            if draft and time.time() - file.stat().st_mtime > _LEFT_S and not _lives(draft[1]):
                file.unlink()


def _lives(process: str | None) -> bool:
    if process is None:  # Earlier versions did not say whose a draft is.
        return False
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # It is somebody else's.
    return True


@contextmanager
def _naming(path: Path, draft: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.filename in (None, str(draft)):
            error.filename, error.filename2 = str(path), None
        raise


def write_output(path: Path, content: str | bytes) -> None:
    """Writes what somebody asked for: a file whole or not at all, and a pipe or a device as it is.

    Where `path` is a symbolic link, what it points to is replaced.

    Raises:
        OSError: it cannot be written.
    """
    write_outputs({path: content})


def write_outputs(contents: Mapping[Path, str | bytes]) -> None:
    """Writes files that are worth something together only, each as `write_output` does.

    All are written beside their places first, and then put there one right after the other.

    Raises:
        OSError: one cannot be written; where none is a pipe or a device, the old ones are still there.
    """
    with ExitStack() as stack:
        for path, content in contents.items():
            draft = path if _is_pipe_or_device(path) else stack.enter_context(replacing(_target(path)))
            draft.write_bytes(content.encode() if isinstance(content, str) else content)


def _is_pipe_or_device(path: Path) -> bool:
    return path.is_relative_to("/dev") or (path.exists() and not path.is_file())


def _target(path: Path) -> Path:
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def check_output(path: Path, *read: Path) -> None:
    """Refuses an output before the work for it is done.

    Args:
        path: the file that will be written.
        read: files that the work reads, which it must not be.

    Raises:
        UsageError: it is one of these.
        OSError: nothing can be written there.
    """
    if path.exists() and any(each.exists() and path.samefile(each) for each in read):
        raise UsageError(f"{path} is read here and would be written over; give another file")
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if _is_pipe_or_device(path):
        return
    target = _target(path)
    draft = _draft_of(target)
    with _naming(path, draft):
        draft.touch()
        draft.unlink()


def check_name(path: Path) -> None:
    """Refuses the place of a model that no runtime could open.

    Raises:
        UsageError: the path, as it was given, is not UTF-8.
    """
    if str(path).encode(errors="ignore") != os.fsencode(path):
        raise UsageError(
            f"{shown(path)} is not UTF-8, so no runtime can open a model there: rename it, or give another"
        )


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keeps a folder from others who claim it until the block ends; the kernel gives it back however the process ends.

    One that was made for it and stayed empty is gone afterwards.

    Raises:
        UnavailableError: somebody else has it.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
        try:
            yield
        finally:
            if made:
                with suppress(OSError):  # it is not empty
                    folder.rmdir()


@contextmanager
def taking_turns(folder: Path) -> Iterator[None]:
    """Waits until nobody else is inside such a block for the same folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder, fcntl.LOCK_EX):
        yield


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError as error:
            raise UnavailableError(
                f"{folder} is in use by another maskgate-train: wait until it ends, or give another folder with -o"
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield
    finally:
        os.close(descriptor)
