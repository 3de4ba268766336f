from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.errors import UnavailableError, UsageError

pytest.importorskip("tensorflow", reason="the training extra is not installed")

from train.architectures import ARCHITECTURES, load_keras, mobilenet_backbone, mobilenet_v2, with_probabilities
from train.presets import PRESETS


@pytest.mark.parametrize(
    ("preset", "arch", "parameters"),
    [("bangkit", "cnn3", 9_494_561), ("fakhrezi", "cnn4", 3_043_137), ("bangkit", "mobilenet_v2", 4_095_554)],
)
def test_the_seed_networks_have_the_published_number_of_parameters(preset: str, arch: str, parameters: int) -> None:
    chosen = PRESETS[preset][arch]
    model = ARCHITECTURES[chosen.arch](chosen.size, chosen.outputs, chosen.alpha, None)
    assert model.count_params() == parameters


def test_of_the_seeds_transfer_network_the_published_number_is_trained() -> None:
    chosen = PRESETS["bangkit"]["mobilenet_v2"]
    model = ARCHITECTURES[chosen.arch](chosen.size, chosen.outputs, chosen.alpha, None)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 1_837_570


def test_our_network_ends_in_a_convolution_and_has_no_dense_layer() -> None:
    model = mobilenet_v2(64, 3, 0.35, None)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert "Dense" not in kinds
    assert kinds[-2:] == ["Conv2D", "Flatten"]
    assert model.output.shape == (None, 3)


def test_one_output_is_the_probability_of_the_second_label() -> None:
    keras = load_keras()
    pixels = keras.Input((1,))
    model = keras.Model(pixels, keras.layers.Dense(1, kernel_initializer="ones", use_bias=False)(pixels))
    probabilities = np.asarray(with_probabilities(model)(np.array([[0.0], [3.0]], np.float32)))
    assert probabilities == pytest.approx(np.array([[0.5, 0.5], [0.0474, 0.9526]]), abs=1e-3)


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    mobilenet_backbone(64, 0.35, None).save_weights(str(tmp_path / "narrow.weights.h5"))
    with pytest.raises(UsageError, match=r"holds no weights of MobileNetV2 of width 1: "):
        mobilenet_backbone(64, 1.0, tmp_path / "narrow.weights.h5")


def test_without_the_training_extra_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorflow", None)
    with pytest.raises(UnavailableError, match=r"install maskgate\[train\]"):
        load_keras()
