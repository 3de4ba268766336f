"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.sources.demo import masked, portrait
from edge.vision.geometry import Image
from support.broker import Mosquitto
from support.components import require_shared
from support.disk import small_disk


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables and credentials of whoever runs the tests must not decide what they show."""
    for name in list(os.environ):
        if name.startswith("MASKGATE_") or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.delenv(name)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    mosquitto = Mosquitto(tmp_path)
    mosquitto.start()
    yield mosquitto
    mosquitto.stop()


@pytest.fixture(scope="session")
def bare_face() -> Image:
    return portrait()


@pytest.fixture(scope="session")
def masked_face() -> Image:
    return masked(portrait())


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory, bare_face: Image, masked_face: Image) -> Path:
    """A folder with bare.jpg, masked.png, nobody.jpg, and empty.jpg, which has no bytes."""
    folder = tmp_path_factory.mktemp("pictures")
    cv2.imwrite(str(folder / "bare.jpg"), bare_face)
    cv2.imwrite(str(folder / "masked.png"), masked_face)
    cv2.imwrite(str(folder / "nobody.jpg"), np.full((240, 320, 3), 128, np.uint8))
    (folder / "empty.jpg").touch()
    return folder


@pytest.fixture(scope="session")
def yunet() -> str:
    return str(require_shared("weights", "face_detection_yunet_2023mar.onnx"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 600 KB that can be filled and made read-only."""
    with small_disk(tmp_path / "disk", "600k") as folder:
        yield folder
