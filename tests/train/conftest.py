"""Tiny data sets that the tests draw themselves, and one network that is trained on them once."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from support.drawn import drawn_face
from train.runs import RunFolder

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """TensorFlow and what it brings warn of their own use of Python; that is not for us to mend."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            for rule in ("ignore::DeprecationWarning", "ignore::UserWarning"):
                item.add_marker(pytest.mark.filterwarnings(rule))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train (40) and Validation (16) with half Mask, half No_mask, as the first seed lays its data out."""
    root = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(7)
    for part, count in (("Train", 20), ("Validation", 8)):
        for name, masked in (("Mask", True), ("No_mask", False)):
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                cv2.imwrite(str(folder / f"{number}.{number % 3}.png"), drawn_face(rng, masked=masked))
    return root


@pytest.fixture(scope="session")
def tiny_manifest(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny folder, split 0.6, 0.2, 0.2."""
    from train.dataset import open_dataset
    from train.samples import rebased, write_manifest
    from train.split import Ratios, grouped, split

    path = tmp_path_factory.mktemp("manifest") / "tiny.csv"
    dataset = grouped(open_dataset(tiny_folder))
    write_manifest(path, rebased(split(dataset.samples, Ratios(0.6, 0.2, 0.2), 1), dataset.root, path.parent))
    return path


@pytest.fixture(scope="session")
def tiny_run(tiny_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A small cnn4 that has learned to tell the drawn faces apart."""
    pytest.importorskip("tensorflow", reason="the training extra is not installed")
    from train.choices import Choices
    from train.experiment import fit
    from train.fit import Progress

    run = RunFolder(tmp_path_factory.mktemp("runs") / "cnn4")
    fit(tiny_manifest, run, Choices(arch="cnn4", size=64, epochs=10, seed=3, command="maskgate-train fit"), Progress())
    return run


@pytest.fixture(scope="session")
def tiny_model(tiny_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The int8 file of the tiny run, with its card."""
    from train.export import export

    path = tmp_path_factory.mktemp("models") / "tiny.tflite"
    export(tiny_run, path)
    return path
