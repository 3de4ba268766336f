"""The shape of the code: who may import whom, what must stay light, what must not be in the repository."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.components import ROOT

FLOORS = [
    "cli",
    "daemon",
    "checks",
    "web",
    "report",
    "cluster",
    "resume",
    "batch",
    "sinks",
    "mirror",
    "bench",
    "cold_start",
    "fleet",
    "heard",
    "assembly",
    "mqtt",
    "outbox",
    "outbox_store",
    "outbox_waiting",
    "outbox_files",
    "outbox_rows",
    "asyncapi",
    "history",
    "messages",
    "views",
    "people",
    "gate",
    "sources",
    "vision",
    "backoff",
    "locks",
    "newfile",
    "paths",
    "plain",
    "workers",
    "settings",
    "errors",
]
"""From the roof down; a module imports from its own floor and from below."""

BELOW_VISION = {"errors"}
"""`vision` takes arrays and returns values: no settings, no clock, no thread, no socket."""


def modules(package: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        yield path, ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def floor_of(path: Path) -> str:
    return path.relative_to(ROOT / "edge").parts[0].removesuffix(".py")


def test_imports_only_go_down() -> None:
    wrong = []
    for path, tree in modules("edge"):
        floor = floor_of(path)
        if floor in ("__init__", "__main__"):
            continue
        for name in imported(tree):
            parts = name.split(".")
            if parts[0] == "edge" and len(parts) > 1 and FLOORS.index(parts[1]) < FLOORS.index(floor):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_vision_takes_arrays_and_returns_values() -> None:
    forbidden = {"threading", "socket", "time", "datetime", "logging", "asyncio"}
    for path, tree in modules("edge/vision"):
        names = set(imported(tree))
        assert not names & forbidden, path
        assert all(name.split(".")[1] in {"vision", *BELOW_VISION} for name in names if name.startswith("edge.")), path


def test_the_device_never_imports_the_training_side() -> None:
    for path, tree in modules("edge"):
        assert not any(name.split(".")[0] == "train" for name in imported(tree)), path


def test_only_one_file_touches_the_runtime() -> None:
    users = [
        str(path.relative_to(ROOT))
        for path, _ in modules("edge")
        if re.search(r"(tflite_runtime|ai_edge_litert)[.\w]*interpreter", path.read_text())
    ]
    assert users == ["edge/vision/tflite.py"]


def test_threads_are_started_in_one_place() -> None:
    starters = [str(p.relative_to(ROOT)) for p, _ in modules("edge") if re.search(r"\bThread\(", p.read_text())]
    assert starters == ["edge/daemon/worker.py"]


def test_importing_edge_is_light() -> None:
    code = "import edge, sys; assert not {'tensorflow', 'keras', 'matplotlib', 'cv2', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30, cwd=ROOT)


def test_the_daemon_runs_without_anything_of_the_training_side() -> None:
    code = (
        "import sys, edge.daemon.daemon, edge.batch, edge.checks\n"
        "assert not {'tensorflow', 'keras', 'matplotlib', 'sklearn', 'rich', 'amqtt'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30, cwd=ROOT)


def tracked() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_nothing_in_the_repository_names_a_secret_a_machine_or_an_index() -> None:
    patterns = {
        "a private key": r"BEGIN (RSA |EC |OPENSSH )?PRIVATE KEY",
        "a token": r"\b(ghp_|github_pat_|AKIA|xox[bp]-)[A-Za-z0-9_]{16,}",
        "a package index": "files" + r"\.pythonhosted|" + "pypi" + r"\.org/simple|registry\.npm" + "js",
        "a home or work folder": r"(?<![\w.])/(home|root|work|Users)/[a-z]",
    }
    found = []
    for path in tracked():
        if path.suffix in (".tflite", ".jpg", ".png", ".h5", ".npz"):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {what}" for what, pattern in patterns.items() if re.search(pattern, text)]
    assert found == []


def test_there_are_no_notebooks() -> None:
    assert [path for path in tracked() if path.suffix == ".ipynb"] == []
