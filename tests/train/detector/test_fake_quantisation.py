"""The rounding that a network learns with, against the rounding of the file that is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the training side needs the extra `train`")

from train.detector import export  # noqa: E402
from train.detector.architecture import STRIDES, build, output_names  # noqa: E402
from train.detector.calibrate import Line  # noqa: E402
from train.detector.fake_quantisation import rounded_kernel, rounding_twin  # noqa: E402
from train.detector.feeder import Batch  # noqa: E402
from train.detector.trainer import FitOptions, Trainer  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")

_SIZE = (64, 96)


@pytest.mark.parametrize(("shape", "channels"), [((3, 3, 8, 5), 5), ((1, 1, 1, 4), 4), ((3, 3, 6, 1), 6)])
def test_a_kernel_has_at_most_255_values_a_channel_and_none_moves_by_more_than_half_a_step(
    shape: tuple[int, ...], channels: int
) -> None:
    kernel = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    rounded = rounded_kernel(tf.constant(kernel)).numpy()
    axis = 2 if shape[3] == 1 and shape[2] > 1 else 3
    before, after = (np.moveaxis(each, axis, 0).reshape(channels, -1) for each in (kernel, rounded))
    step = np.abs(before).max(axis=1, keepdims=True) / 127
    assert np.all(np.abs(after - before) <= step * 0.501)
    assert np.allclose(after / step, np.round(after / step), atol=1e-3)
    assert not np.array_equal(before, after) or before.shape[1] == 1


def test_a_kernel_of_zeros_stays_one() -> None:
    assert not rounded_kernel(tf.zeros((1, 1, 2, 3))).numpy().any()


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.uint8]:
    """Eight pictures of coarse noise, so that activations have a spread."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (8, _SIZE[0] // 8, _SIZE[1] // 8, 3)).astype(np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def _take_statistics(network: Any, pictures: NDArray[np.uint8]) -> None:
    """Of the pictures, in a few passes: training takes them in as slowly as is good for it."""
    for layer in network.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.momentum = 0.5
    for _ in range(8):
        network(pictures / np.float32(127.5) - 1, training=True)


@pytest.fixture
def network(pictures: NDArray[np.uint8]) -> Any:
    """With random weights, and statistics of the pictures."""
    tf.keras.utils.set_random_seed(3)
    network = build(_SIZE)
    _take_statistics(network, pictures)
    kernel, _ = network.get_layer("score").get_weights()
    network.get_layer("score").set_weights([kernel, np.full(1, -0.5, np.float32)])
    return network


def _boxes(outputs: list[Any]) -> list[NDArray[np.float32]]:
    return [np.asarray(output) for output in outputs[len(STRIDES) :]]


def _boxes_of_the_file(content: bytes, picture: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
    interpreter.invoke()
    details = {row["name"]: row for row in interpreter.get_output_details()}
    boxes = []
    for name in export.checked_outputs(content, _SIZE)[len(STRIDES) :]:
        scale, zero = details[name]["quantization"]
        boxes.append((interpreter.get_tensor(details[name]["index"]).astype(np.float32) - zero) * scale)
    return boxes


def test_it_rounds_about_as_much_as_the_file(network: Any, pictures: NDArray[np.uint8], tmp_path: Path) -> None:
    network.save_weights(str(tmp_path / "w.weights.h5"))
    content = export.quantise(export.finished_network(tmp_path / "w.weights.h5", _SIZE, Line()), list(pictures))
    exact = _boxes(network(pictures[:1] / np.float32(127.5) - 1, training=False))
    twin = rounding_twin(network, [pictures])
    for kernel in (each for each in network.trainable_variables if len(each.shape) == 4):
        kernel.assign(rounded_kernel(kernel))
    rounded = _boxes(twin(pictures[:1] / np.float32(127.5) - 1, training=False))
    for level, file in enumerate(_boxes_of_the_file(content, pictures[0])):
        of_file, of_twin = (
            float(np.sqrt(np.mean((each[level] - exact[level]) ** 2))) for each in ([file] * 3, rounded)
        )
        assert of_file > 0, output_names()[len(STRIDES) + level]
        assert 0.4 < of_twin / of_file < 2.5, output_names()[len(STRIDES) + level]


def test_learning_as_int8_lowers_the_loss_and_keeps_exact_kernels_and_still_statistics(tmp_path: Path) -> None:
    pixels = np.full((2, 64, 64, 3), 90, np.uint8)
    pixels[:, 20:48, 20:44] = 220
    faces = np.zeros((2, 4, 4), np.float32)
    faces[:, 0] = (20, 20, 24, 28)
    batch = Batch(pixels, faces, np.zeros_like(faces), *np.ones((2, 2, 4), np.float32))
    trainer = Trainer(FitOptions(steps=60, batch=2, size=64, warm=2, rate=1e-3, as_int8=True), tmp_path)
    _take_statistics(trainer.model, pixels)
    trainer.begin_average()
    trainer.compute_as_int8([pixels])
    still = {each.path: each.numpy() for each in trainer.model.non_trainable_variables if "moving" in each.path}
    losses = [trainer.learn(batch)[1] for _ in range(40)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    for each in trainer.model.non_trainable_variables:
        if "moving" in each.path:
            assert np.array_equal(each.numpy(), still[each.path]), each.path
    kernel = trainer.model.get_layer("head_0").kernel
    assert not np.allclose(kernel.numpy(), rounded_kernel(kernel).numpy(), atol=0)
