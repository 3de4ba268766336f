"""The stem over pixels in fours: the same answers to the last bit, in every size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

tf = pytest.importorskip("tensorflow", reason="the training side needs the extra `train`")

from ai_edge_litert.interpreter import Interpreter  # noqa: E402

from edge.errors import ModelError  # noqa: E402
from edge.vision.cards import bundled_models  # noqa: E402
from support.networks import loud_detector  # noqa: E402
from train.detector import export  # noqa: E402
from train.detector.calibrate import Line  # noqa: E402
from train.detector.folded_stem import folded, unfolded, with_folded_stem  # noqa: E402
from train.detector.input_sizes import signature_name, sizes_of, with_further_sizes  # noqa: E402
from train.flatbuffer import kind_of, unpacked  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")

_FIRST, _OTHERS = (64, 96), ((96, 64), (160, 128))


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("weights") / "average.weights.h5"
    loud_detector(7).save_weights(str(path))
    pictures = list(np.random.default_rng(0).integers(0, 256, (4, *_FIRST, 3)).astype(np.uint8))
    return with_further_sizes(export.quantise(export.finished_network(path, _FIRST, Line()), pictures), _OTHERS)


@pytest.fixture(scope="module")
def after(before: bytes) -> bytes:
    return with_folded_stem(before)


def _answers(content: bytes, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.int8]]:
    runner = Interpreter(model_content=content, num_threads=1).get_signature_runner(signature_name(pixels.shape[1:3]))
    answers: dict[str, NDArray[np.int8]] = runner(pixels=pixels)
    return answers


@pytest.mark.parametrize("size", [_FIRST, *_OTHERS], ids=signature_name)
def test_every_size_answers_what_it_answered(before: bytes, after: bytes, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (1, *size, 3)).astype(np.uint8)
    wanted, found = _answers(before, pixels), _answers(after, pixels)
    assert list(found) == list(wanted)
    assert len(wanted) == 6
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values)
    assert max(int(values.max()) - int(values.min()) for values in wanted.values()) > 20


def test_sizes_stay_and_it_costs_a_few_kilobytes(before: bytes, after: bytes) -> None:
    assert sizes_of(after) == sizes_of(before) == (_FIRST, *_OTHERS)
    assert len(after) - len(before) < 6_000


def test_nothing_is_converted_but_the_pixels(after: bytes) -> None:
    model: Any = unpacked(after)
    for graph in model.subgraphs:
        assert [kind_of(model, operator) for operator in graph.operators].count("QUANTIZE") == 1


def test_a_kernel_comes_back_as_it_was() -> None:
    kernel = np.random.default_rng(2).integers(-128, 128, (5, 6, 6, 3)).astype(np.int8)
    wider = folded(kernel)
    assert wider.shape == (5, 6, 2, 12)
    np.testing.assert_array_equal(unfolded(wider), kernel)
    np.testing.assert_array_equal(unfolded(kernel), kernel)
    assert np.count_nonzero(wider) == np.count_nonzero(kernel)
    with pytest.raises(ModelError, match="a first kernel of 6 x 6 x 3"):
        unfolded(np.zeros((5, 6, 6, 4), np.int8))


def test_a_file_is_not_folded_twice(after: bytes) -> None:
    with pytest.raises(ModelError, match="begins with QUANTIZE and CONV_2D, got QUANTIZE and RESHAPE"):
        with_folded_stem(after)


def test_a_file_of_another_network_is_refused() -> None:
    for layer, height, message in (
        (tf.keras.layers.Conv2D(8, 3, strides=2), 64, "6 x 6 x 3 and stride 4, got 3 x 3 x 3 and 2 x 2"),
        (tf.keras.layers.Conv2D(8, 6, strides=4), 64, "that pads an input of multiples of 4 itself"),
        (tf.keras.layers.Conv2D(8, 6, strides=4, padding="same"), 66, "that pads an input of multiples of 4 itself"),
    ):
        pixels = tf.keras.Input((height, 64, 3))
        pictures = list(np.random.default_rng(0).integers(0, 256, (2, height, 64, 3)).astype(np.uint8))
        content = export.quantise(tf.keras.Model(pixels, layer(pixels)), pictures)
        with pytest.raises(ModelError, match=message):
            with_folded_stem(content)


@pytest.mark.parametrize("name", ["face_detector", "face_detector_640"])
def test_the_files_that_are_shipped_are_folded(name: str) -> None:
    model: Any = unpacked((bundled_models() / f"{name}.tflite").read_bytes())
    for graph in model.subgraphs:
        kinds = [kind_of(model, operator) for operator in graph.operators[:5]]
        assert kinds == ["QUANTIZE", "RESHAPE", "PAD", "RESHAPE", "CONV_2D"]
        # What takes 8 bits with a sign: runtimes refuse an older PAD with these types.
        assert model.operatorCodes[graph.operators[2].opcodeIndex].version == 2
