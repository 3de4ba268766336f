"""A network learns where there is no TensorFlow: Keras may run on JAX (docs/detector.md, On a GPU).

JAX is no dependency of ours and not installed here, and Keras has no other backend that needs nothing more. So this is
what can be held without it: nothing that `detector fit` goes through asks for TensorFlow itself.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

_DETECTOR = Path(__file__).parents[3] / "train" / "detector"
_ONLY_FOR_AS_INT8 = "fake_quantisation"


def _imported(module: str) -> set[str]:
    """Top-level packages and modules of train.detector that a module imports anywhere, in functions as well."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((_DETECTOR / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize(
    "module", ["architecture", "feeder", "fit", "learner", "loss", "material", "sampler", "stem", "trainer"]
)
def test_what_learns_is_keras_and_not_tensorflow(module: str) -> None:
    assert not [name for name in _imported(module) if name.split(".")[0] == "tensorflow"]


def test_what_is_imported_for_it_needs_neither_before_the_work_begins() -> None:
    names = "cli feeder fit loss material sampler stem teacher trainer traps"
    modules = ", ".join(f"train.detector.{name}" for name in names.split())
    script = f"import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None; import {modules}"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 0, told.stderr


def test_the_one_exception_is_seen() -> None:
    assert "tensorflow" in _imported(_ONLY_FOR_AS_INT8)
    assert f"train.detector.{_ONLY_FOR_AS_INT8}" in _imported("trainer")
