"""A finished file gives its network back: the same answers, and statistics that training can go on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

tf = pytest.importorskip("tensorflow", reason="the training side needs the extra `train`")

from edge.errors import ModelError  # noqa: E402
from edge.vision.cards import bundled_models  # noqa: E402
from train.detector import architecture, export  # noqa: E402
from train.detector.architecture import build  # noqa: E402
from train.detector.calibrate import Line  # noqa: E402
from train.detector.folded_stem import with_folded_stem  # noqa: E402
from train.detector.thaw import thaw  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")

_SIZE = (64, 96)
_LINE = Line(1.2, 2.0)


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (6, *_SIZE, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, pictures: NDArray[np.uint8]) -> Path:
    """Weights whose normalisations differ, from channel to channel and from level to level, as training leaves them."""
    tf.keras.utils.set_random_seed(4)
    network, rng = build(), np.random.default_rng(4)
    for layer in network.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            count = layer.gamma.shape[0]
            layer.set_weights([rng.uniform(0.6, 1.4, count), rng.uniform(0.2, 1.2, count), *layer.get_weights()[2:]])
            layer.momentum = 0.5
    for _ in range(4):
        network(_floats(pictures), training=True)
    path = tmp_path_factory.mktemp("trained") / "average.weights.h5"
    network.save_weights(str(path))
    return path


@pytest.fixture(scope="module")
def file(trained: Path, pictures: NDArray[np.uint8]) -> Path:
    content = export.quantise(export.finished_network(trained, _SIZE, _LINE), list(pictures))
    path = trained.with_name("face_detector.tflite")
    path.write_bytes(content)
    return path


def _floats(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(pictures.astype(np.float32) / 127.5 - 1, np.float32)


def _answers(network: Any, pictures: NDArray[np.uint8], *, training: bool = False) -> list[NDArray[np.float32]]:
    return [np.asarray(output) for output in network(_floats(pictures), training=training)]


def _alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_the_network_comes_back_as_it_was(trained: Path, file: Path, pictures: NDArray[np.uint8]) -> None:
    network = build()
    network.load_weights(str(trained))
    for before, after in zip(
        _answers(network, pictures), _answers(thaw(file, [pictures], _LINE), pictures), strict=True
    ):
        assert _alike(before, after) > 0.99
        assert np.abs(before - after).mean() < 0.1 * max(np.ptp(before), 0.1)


def test_a_folded_stem_comes_back_as_it_was(file: Path, pictures: NDArray[np.uint8]) -> None:
    folded = file.with_name("folded.tflite")
    folded.write_bytes(with_folded_stem(file.read_bytes()))
    for one, other in zip(*(thaw(each, [pictures], _LINE).get_weights() for each in (file, folded)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_statistics_are_those_of_the_pictures(file: Path, pictures: NDArray[np.uint8]) -> None:
    # With identity statistics training would begin from another function than the file's.
    network = thaw(file, [pictures], _LINE)
    steady, training = _answers(network, pictures), _answers(network, pictures, training=True)
    assert all(_alike(one, other) > 0.99 for one, other in zip(steady, training, strict=True))


def test_a_file_of_another_network_is_refused(pictures: NDArray[np.uint8]) -> None:
    with pytest.raises(ModelError, match="not of this network"):
        thaw(bundled_models() / "mask_classifier.tflite", [pictures], _LINE)


def test_a_file_of_a_network_of_other_widths_is_refused(
    file: Path, pictures: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(architecture, "PYRAMID_CHANNELS", 40)
    with pytest.raises(ModelError, match=r"not of this network: \w+ is \(.*48.*\), expected \(.*40.*\)"):
        thaw(file, [pictures], _LINE)


def test_a_file_of_a_network_with_more_blocks_is_refused(
    file: Path, pictures: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = {name: block for name, block in architecture._BLOCKS.items() if name != "block_5a"}
    monkeypatch.setattr(architecture, "_BLOCKS", blocks)
    with pytest.raises(ModelError, match="not of this network, which has no block_5a_depthwise_BN"):
        thaw(file, [pictures], _LINE)


def test_without_pictures_there_are_no_statistics(file: Path) -> None:
    with pytest.raises(ValueError, match="at least one batch"):
        thaw(file, [], _LINE)
