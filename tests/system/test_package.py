"""The wheel of a clean clone, installed in an empty environment, works outside the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support.components import ROOT
from support.daemon import ended


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True, timeout=60)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(command, cwd=clone, check=True, timeout=120, capture_output=True)
    (built,) = (folder / "dist").glob("*.whl")
    return built


def test_models_travel_and_training_data_does_not(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert "edge/_models/mask_classifier.tflite" in names
    assert "edge/_models/mask_classifier.json" in names
    assert "edge/sources/demo_portrait.jpg" in names
    assert "edge/py.typed" in names
    assert not any(name.startswith(("tests/", "docs/", "benchmarks/", "shared/", "models/")) for name in names)
    assert sum(info.file_size for info in zipfile.ZipFile(wheel).infolist()) < 12_000_000


def test_the_wheel_works_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, timeout=120)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    lock = str(ROOT / "requirements.lock")
    subprocess.run([*pip, "--require-hashes", "-r", lock], check=True, timeout=400, capture_output=True)
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, timeout=120, capture_output=True)

    def maskgate(*arguments: str) -> subprocess.CompletedProcess[str]:
        return ended([str(environment / "bin" / "maskgate"), *arguments], tmp_path)

    checked = maskgate("check", "--offline")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "ok      classifier: mask_classifier@" in checked.stdout
    portrait = next(environment.glob("lib/python3*/site-packages/edge/sources/demo_portrait.jpg"))
    classified = maskgate("classify", str(portrait), "--report", "report.html", "--annotate", "annotated")
    assert '"summary":"no_mask"' in classified.stdout
    assert "<title>Mask report" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "annotated" / "demo_portrait.jpg").exists()
    demo = maskgate("demo")
    assert demo.returncode == 69
    assert "pip install 'maskgate[broker]'" in demo.stderr
    trained = subprocess.run(
        [str(environment / "bin" / "maskgate-train"), "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert trained.returncode == 0
