"""`maskgate classify` over a real Dask cluster of two workers, and its continuation after an interruption."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.components import eventually
from support.daemon import ENVIRONMENT, maskgate


@pytest.fixture
def archive(tmp_path: Path, pictures: Path) -> Path:
    """Pictures by the hundred, one of which is empty."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for number in range(200):
        shutil.copy(pictures / ("bare.jpg" if number % 3 else "masked.png"), folder / f"{number:03d}.jpg")
    (folder / "100.jpg").write_bytes(b"")
    return folder


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) | {"elapsed_ms": 0} for line in file.read_text().splitlines()]


def expected(archive: Path) -> list[dict[str, Any]]:
    output = archive.parent / "local.jsonl"
    assert maskgate("classify", archive, "-o", output).returncode == 1
    return records(output)


def start(archive: Path, output: Path, **variables: str) -> subprocess.Popen[str]:
    pytest.importorskip("distributed", reason="Dask is missing: pip install 'maskgate[cluster]'")
    command = [
        sys.executable,
        "-m",
        "edge",
        "classify",
        str(archive),
        "--engine",
        "dask",
        "--jobs",
        "2",
        "-o",
        str(output),
    ]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT | variables)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task").glob("*/children")
    pids = [int(pid) for file in children for pid in file.read_text().split()]
    return [pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_worker_that_is_killed_midway_loses_nothing(archive: Path, tmp_path: Path) -> None:
    output = tmp_path / "dask.jsonl"
    process = start(archive, output)
    eventually(lambda: output.exists() and output.stat().st_size > 0, 60)
    workers = workers_of(process)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=120)

    assert process.returncode == 1, errors
    assert records(output) == expected(archive)
    assert "Traceback" not in errors


def test_a_picture_that_kills_every_worker_ends_as_a_failed_record(archive: Path, tmp_path: Path) -> None:
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
    process = start(archive, output, DASK_DISTRIBUTED__WORKER__PRELOAD=str(preload))
    _, errors = process.communicate(timeout=240)

    assert process.returncode == 1, errors
    found = {Path(record["path"]).name: record["error"] for record in records(output)}
    assert len(found) == 200
    assert {name for name, error in found.items() if error} == {"007.jpg", "100.jpg"}
    assert "was killed 2 times" in found["007.jpg"]


@pytest.mark.parametrize("engine", ["local", "dask"])
def test_what_is_done_is_not_done_again(archive: Path, tmp_path: Path, engine: str) -> None:
    if engine == "dask":
        pytest.importorskip("distributed", reason="Dask is missing: pip install 'maskgate[cluster]'")
    whole = expected(archive)
    output = tmp_path / "half.jsonl"
    lines = (tmp_path / "local.jsonl").read_text().splitlines(keepends=True)
    marked = [re.sub(r'"elapsed_ms":[\d.]+', '"elapsed_ms":123456.7', line) for line in lines[:150]]
    output.write_text("".join(marked) + lines[150][:40])

    done = maskgate("classify", archive, "-o", output, "--resume", "--engine", engine, timeout_s=120)

    assert done.returncode == 1  # of the failure that was already there
    assert records(output) == whole
    assert output.read_text().startswith("".join(marked))


@pytest.mark.parametrize(
    ("before", "arguments", "problem"),
    [
        ("", ["--resume"], "--resume needs -o FILE"),
        ("hello\n", ["--resume", "-o", "{output}"], "line 1 is no record"),
        ('{"path": "a", "error": null, "model": {}}\n', ["--resume", "-o", "{output}"], "made with other models"),
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


def test_a_worker_of_another_release_is_found_out() -> None:
    from edge.cluster import Promise

    ours = Promise("1", (("mask_classifier", "aa" * 32, "c"),))
    assert ours.difference(ours) is None
    assert ours.difference(Promise("2", ours.files)) == "has maskgate 2, not 1"
    assert "has another mask_classifier" in str(ours.difference(Promise("1", (("mask_classifier", "bb" * 32, "c"),))))
