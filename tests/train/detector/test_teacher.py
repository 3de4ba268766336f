"""What the teacher has seen is kept; a damaged file or an interruption costs no more than the answers in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.vision.geometry import Image
from train.detector import teacher
from train.detector.teacher import labels


@dataclass(frozen=True)
class _Picture:
    """A grey of one value; its name and bytes are that value."""

    value: int

    @property
    def name(self) -> str:
        return str(self.value)

    @property
    def jpeg(self) -> bytes:
        return bytes([self.value])

    def pixels(self) -> Image:
        return np.full((2, 2, 3), self.value, np.uint8)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pictures that a stand-in was shown; it gives one row, whose score is the picture's value."""
    values: list[int] = []

    class Stub:
        def __init__(self, _: Path) -> None:
            pass

        def look(self, image: Image, _: tuple[int, ...]) -> NDArray[np.float32]:
            values.append(int(image[0, 0, 0]))
            return np.array([[0, 0, 9, 9, image[0, 0, 0]]], np.float32)

    monkeypatch.setattr(teacher, "Teacher", Stub)
    return values


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "yunet.onnx"
    path.write_bytes(b"teacher")
    return path


def _labels(model: Path, *values: int) -> dict[str, NDArray[np.float32]]:
    return labels(model, map(_Picture, values), model.parent / "cache")


@pytest.mark.parametrize("kept", [slice(0), slice(200), b"no archive"], ids=["empty", "cut off", "another file"])
def test_a_damaged_cache_is_asked_for_again(
    kept: slice | bytes, model: Path, asked: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    _labels(model, 1, 2)
    (path,) = (model.parent / "cache").iterdir()
    path.write_bytes(path.read_bytes()[kept] if isinstance(kept, slice) else kept)

    assert _labels(model, 1)["1"][0, 4] == 1

    assert asked == [1, 2, 1]
    assert f"{path} cannot be read" in caplog.text
    _labels(model, 1)
    assert asked == [1, 2, 1], "it is whole again"


def test_an_interruption_costs_the_last_answers_only(
    model: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher, "_KEPT_EVERY", 2)

    def interrupted(picture: _Picture) -> Image:
        if picture.value == 5:
            raise KeyboardInterrupt
        return np.full((2, 2, 3), picture.value, np.uint8)

    monkeypatch.setattr(_Picture, "pixels", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _labels(model, 1, 2, 3, 4, 5)
    asked.clear()
    _labels(model, 1, 2, 3, 4)
    assert asked == []


def test_a_write_that_fails_leaves_the_cache_as_it_was(
    model: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    _labels(model, 1)
    (path,) = (model.parent / "cache").iterdir()

    def stop(file: Path, **_: object) -> None:
        file.write_bytes(b"PK")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", stop)
        with pytest.raises(KeyboardInterrupt):
            _labels(model, 2)

    assert list(path.parent.iterdir()) == [path]
    _labels(model, 1)
    assert asked == [1, 2]


def test_what_another_run_has_added_meanwhile_stays(
    model: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def beside(picture: _Picture) -> Image:
        if picture.value == 1:
            _labels(model, 2)
        return np.full((2, 2, 3), picture.value, np.uint8)

    monkeypatch.setattr(_Picture, "pixels", beside)
    _labels(model, 1)
    _labels(model, 1, 2)
    assert asked == [2, 1]
