"""The file of false alarms: what it must hold, and how a damaged one is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import UsageError
from train.detector.paste import Cutout, oval
from train.detector.traps import load_traps, save_traps


def test_one_changed_byte_is_told_or_does_no_harm(tmp_path: Path) -> None:
    path, rng = tmp_path / "traps.npz", np.random.default_rng(1)
    pixels = rng.integers(0, 60, (20, 24, 3)).astype(np.uint8)
    save_traps(
        [Cutout(pixels, oval((20, 24), np.array([4, 4, 9, 9], np.float32)), np.zeros(4, np.float32), None)], path
    )
    whole, told = path.read_bytes(), []
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            load_traps(path)
        except UsageError as error:
            told.append(str(error))
    assert len(told) > 0.8 * len(whole) / 3
    assert all(text.startswith(f"{path} is no file of false alarms") for text in told)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((3, 3, 4, 5), np.uint8), np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)],
    ids=["kernels", "grey", "floats", "nothing"],
)
def test_arrays_that_are_no_patches_are_refused(pixels: NDArray[np.uint8], tmp_path: Path) -> None:
    path = tmp_path / "traps.npz"
    np.savez(path, kernel=pixels)
    with pytest.raises(
        UsageError, match=rf"^{path} is no file of false alarms .*kernel: expected \(height, width, 3\)"
    ):
        load_traps(path)
