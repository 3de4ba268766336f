"""`maskgate classify` over a real Dask cluster of two workers, and its continuation after an interruption."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from support.components import eventually, free_port, require
from support.daemon import ENVIRONMENT, maskgate

Start = Callable[..., subprocess.Popen[str]]
PICTURES = 120


def require_dask() -> None:
    require(find_spec("distributed"), "Dask is missing: pip install 'maskgate[cluster]'")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """Pictures, one of which is empty."""
    folder = tmp_path_factory.mktemp("archive")
    for number in range(PICTURES):
        shutil.copy(pictures / ("bare.jpg" if number % 3 else "masked.png"), folder / f"{number:03d}.jpg")
    (folder / "100.jpg").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def local(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of one process without Dask."""
    output = tmp_path_factory.mktemp("local") / "local.jsonl"
    assert maskgate("classify", archive, "-o", output).returncode == 1
    return output


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Start]:
    """Starts programs, in process groups that are killed at the end whatever happens."""
    require_dask()
    started: list[subprocess.Popen[str]] = []

    def start(*command: str | Path, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*map(str, command)],
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT | variables,
            cwd=tmp_path,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=5)


def classify(archive: Path, output: Path, *options: str) -> list[str | Path]:
    return [sys.executable, "-m", "edge", "classify", archive, "--engine", "dask", "-o", output, *options]


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) | {"elapsed_ms": 0} for line in file.read_text().splitlines()]


def has_begun(output: Path) -> bool:
    return output.exists() and output.stat().st_size > 0


def begun(dask: Start, archive: Path, output: Path, *options: str) -> subprocess.Popen[str]:
    """A run that has written its first record."""
    process = dask(*classify(archive, output, *options))
    eventually(lambda: has_begun(output), 30)
    return process


def is_there(group: int) -> bool:
    """Whether a process of the group is left."""
    with suppress(ProcessLookupError):
        os.killpg(group, 0)
        return True
    return False


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task").glob("*/children")
    pids = [int(pid) for file in children for pid in _content(file).split()]
    return [pid for pid in pids if b"spawn_main" in _content(Path(f"/proc/{pid}/cmdline"))]


def _content(file: Path) -> bytes:
    """Of a file in /proc; nothing of a process or thread that has ended meanwhile."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return file.read_bytes()
    return b""


@dataclass(frozen=True)
class Own:
    """A cluster as one starts it by hand."""

    address: str
    scheduler: subprocess.Popen[str]
    nanny: subprocess.Popen[str]
    """Of the one worker."""


def cluster_of(dask: Start, tmp_path: Path, **variables: str) -> Own:
    program = Path(sys.executable).with_name("dask")
    address = f"tcp://127.0.0.1:{free_port()}"
    scheduler = dask(program, "scheduler", "--host", address, "--no-dashboard")
    options = ["--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path)]
    return Own(address, scheduler, dask(program, "worker", address, *options, **variables))


def test_a_worker_that_is_killed_midway_loses_nothing(dask: Start, archive: Path, local: Path, tmp_path: Path) -> None:
    output = tmp_path / "dask.jsonl"
    process = begun(dask, archive, output, "--jobs", "2")
    workers = workers_of(process)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 1, errors
    assert records(output) == records(local)
    assert "Traceback" not in errors


def test_a_cluster_of_ones_own_gives_the_same_even_if_its_worker_is_killed(
    dask: Start, archive: Path, local: Path, tmp_path: Path
) -> None:
    own = cluster_of(dask, tmp_path)
    output = tmp_path / "dask.jsonl"
    process = begun(dask, archive, output, "--scheduler", own.address)
    os.kill(workers_of(own.nanny)[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 1, errors
    assert records(output) == records(local)
    assert own.nanny.poll() is None, "the cluster is not ours to end"


@pytest.mark.parametrize(
    ("spoiled", "status", "problem"),
    [
        ("cluster.__version__ = '0.0.1'", 78, "has maskgate 0.0.1, not"),
        ("cluster.classify = lambda *_: cluster.classify()", 70, "RecursionError"),
    ],
)
def test_a_worker_that_is_not_fit_is_named(
    dask: Start, archive: Path, tmp_path: Path, spoiled: str, status: int, problem: str
) -> None:
    preload = tmp_path / "spoiled.py"
    preload.write_text(f"from edge import cluster\n{spoiled}\n")
    own = cluster_of(dask, tmp_path, DASK_DISTRIBUTED__WORKER__PRELOAD=str(preload))
    output = tmp_path / "dask.jsonl"
    process = dask(*classify(archive, output, "--scheduler", own.address))
    _, errors = process.communicate(timeout=60)

    assert process.returncode == status, errors
    assert "the worker on" in errors
    assert problem in errors
    assert not output.read_text()


def test_ctrl_c_leaves_what_is_done_and_no_process(dask: Start, archive: Path, local: Path, tmp_path: Path) -> None:
    output = tmp_path / "dask.jsonl"
    process = begun(dask, archive, output, "--jobs", "2")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
    _, errors = process.communicate(timeout=30)

    assert process.returncode == 128 + signal.SIGINT, errors
    assert "Traceback" not in errors
    done = records(output)
    assert 0 < len(done) < PICTURES
    assert done == records(local)[: len(done)]
    eventually(lambda: not is_there(process.pid), 10)  # what watches for leaks ends a moment after the rest


def test_ctrl_c_is_not_for_a_worker_that_was_started_anew(dask: Start, archive: Path, tmp_path: Path) -> None:
    process = begun(dask, archive, tmp_path / "dask.jsonl", "--jobs", "2")
    killed, stopped = workers_of(process)
    os.kill(stopped, signal.SIGSTOP)  # so that there is work left
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: set(workers_of(process)) - {killed, stopped}, 30)
    os.killpg(process.pid, signal.SIGINT)  # into the first imports of the new one
    os.kill(stopped, signal.SIGCONT)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 128 + signal.SIGINT, errors
    assert "Traceback" not in errors


def test_without_workers_it_ends_after_what_was_done(dask: Start, archive: Path, local: Path, tmp_path: Path) -> None:
    own = cluster_of(dask, tmp_path)
    output = tmp_path / "dask.jsonl"
    impatient = "from edge import cluster, cli; cluster._WORKER_LIMIT_S = 2.0; raise SystemExit(cli.main())"
    process = dask(sys.executable, "-c", impatient, *classify(archive, output, "--scheduler", own.address)[3:])
    eventually(lambda: has_begun(output), 30)
    os.killpg(own.nanny.pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 69, errors
    assert "no Dask worker for 2 s; continue with --resume" in errors
    done = records(output)
    assert 0 < len(done) < PICTURES
    assert done == records(local)[: len(done)]


def test_it_goes_on_where_it_was_when_the_scheduler_died(
    dask: Start, archive: Path, local: Path, tmp_path: Path
) -> None:
    own = cluster_of(dask, tmp_path)
    output = tmp_path / "dask.jsonl"
    process = begun(dask, archive, output, "--scheduler", own.address)
    os.killpg(own.scheduler.pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 69, errors
    assert "the Dask scheduler went away; continue with --resume" in errors
    assert "Traceback" not in errors
    assert 0 < len(records(output)) < PICTURES
    assert maskgate("classify", archive, "-o", output, "--resume").returncode == 1
    assert records(output) == records(local)


def test_a_picture_that_kills_every_worker_ends_as_a_failed_record(
    dask: Start, archive: Path, local: Path, tmp_path: Path
) -> None:
    preload = tmp_path / "poison.py"
    preload.write_text(
        "import os, signal\n"
        "from edge import cluster\n"
        "from edge.batch import classify as real\n"  # not the one of cluster: a preload can run twice
        "def classify(path, *rest):\n"
        "    if path.name == '007.jpg': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(path, *rest)\n"
        "cluster.classify = classify\n"
    )
    output = tmp_path / "dask.jsonl"
    process = dask(*classify(archive, output, "--jobs", "2"), DASK_DISTRIBUTED__WORKER__PRELOAD=str(preload))
    _, errors = process.communicate(timeout=90)

    assert process.returncode == 1, errors
    found = records(output)
    assert "was killed 2 times" in found[7]["error"]
    assert found[:7] + found[8:] == records(local)[:7] + records(local)[8:]


@pytest.mark.parametrize("engine", ["local", "dask"])
def test_what_is_done_is_not_done_again(archive: Path, local: Path, tmp_path: Path, engine: str) -> None:
    if engine == "dask":
        require_dask()
    output = tmp_path / "half.jsonl"
    lines = local.read_text().splitlines(keepends=True)
    marked = [re.sub(r'"elapsed_ms":[\d.]+', '"elapsed_ms":123456.7', line) for line in lines[:110]]
    output.write_text("".join(marked) + lines[110][:40])

    done = maskgate("classify", archive, "-o", output, "--resume", "--engine", engine, timeout_s=120)

    assert done.returncode == 1  # of the failure that was already there
    assert records(output) == records(local)
    assert output.read_text().startswith("".join(marked))


@pytest.mark.parametrize(
    ("before", "arguments", "problem"),
    [
        ("", ["--resume"], "--resume needs -o FILE"),
        ("", ["--resume", "-o", "/dev/stdout"], "/dev/stdout: File or stream is not seekable"),
        ("hello\n", ["--resume", "-o", "{output}"], "line 1 is no record"),
        (
            '{"path": "a", "error": null, "faces": [], "model": {}}\n',
            ["--resume", "-o", "{output}"],
            "made with other models",
        ),
        ("", ["--scheduler", "tcp://127.0.0.1:1"], "--scheduler needs --engine dask"),
        ("", ["--engine", "dask", "--report", "x.html"], "go with neither"),
    ],
)
def test_wrong_use_leaves_the_file_alone(
    pictures: Path, tmp_path: Path, before: str, arguments: list[str], problem: str
) -> None:
    output = tmp_path / "records.jsonl"
    output.write_text(before)

    done = maskgate("classify", pictures, *(argument.format(output=output) for argument in arguments))

    assert done.returncode == 2
    assert problem in done.stderr
    assert output.read_text() == before


@pytest.mark.parametrize(
    ("options", "changed", "problem"),
    [
        (["--faces", "whole"], {}, "made with other models"),
        ([], {"MASKGATE_CLASSIFIER__MASK_ABOVE": "1"}, "made with other thresholds"),
        ([], {"MASKGATE_CLASSIFIER__NO_MASK_BELOW": "0"}, "made with other thresholds"),
        ([], {"MASKGATE_DETECTOR__MIN_FACE_PX": "1000"}, "made with other thresholds or another min_face_px"),
    ],
)
def test_records_of_other_settings_are_not_gone_on_from(
    archive: Path, local: Path, tmp_path: Path, options: list[str], changed: dict[str, str], problem: str
) -> None:
    output = tmp_path / "records.jsonl"
    shutil.copy(local, output)

    done = maskgate("classify", archive, "-o", output, "--resume", *options, **changed)

    assert done.returncode == 2
    assert problem in done.stderr
    assert output.read_text() == local.read_text()


def test_a_worker_of_another_release_is_found_out() -> None:
    from edge.cluster import Promise

    ours = Promise("1", (("mask_classifier", "aa" * 32, "c"),))
    assert ours.difference(ours) is None
    assert ours.difference(Promise("2", ours.files)) == "has maskgate 2, not 1"
    assert "has another mask_classifier" in str(ours.difference(Promise("1", (("mask_classifier", "bb" * 32, "c"),))))


def test_what_is_handed_out_does_not_grow_with_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_dask()
    from edge import cluster
    from edge.messages import Models

    out: set[int] = set()
    most = 0

    class Done:
        def __init__(self, paths: Sequence[Path]) -> None:
            nonlocal most
            self._paths = paths
            out.add(id(self))
            most = max(most, len(out))

        def result(self, timeout: float) -> Sequence[Path]:  # noqa: ARG002
            out.discard(id(self))
            return self._paths

    monkeypatch.setattr(cluster, "_connect", lambda *_: None)
    monkeypatch.setattr(cluster._Cluster, "_count_threads", lambda _: 2)
    monkeypatch.setattr(cluster._Cluster, "_submit", lambda _, chunk: Done(chunk))
    paths = [tmp_path / f"{number}.jpg" for number in range(10_000)]
    made = cluster._Cluster(None, 2, *([None] * 2), Models(detector=None, classifier=""))  # type: ignore[arg-type]

    assert list(made.classified(paths)) == paths
    assert most == 2 * cluster._CHUNKS_AHEAD
