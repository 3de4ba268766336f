"""The stem learns what the first layers of the ImageNet network give, and nothing else is touched."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the training side needs the extra `train`")

from train.detector.architecture import TRUNK_ALPHA, build  # noqa: E402
from train.detector.feeder import Batch  # noqa: E402
from train.detector.stem import imitate  # noqa: E402

_SIDE = 64


class _Blots:
    """Stands in for the feeder: soft blots of colour, other ones each time."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(2)

    def next(self) -> Batch:
        coarse = self._rng.integers(0, 256, (4, 6, 6, 3)).astype(np.uint8)
        pixels = np.stack([cv2.resize(each, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC) for each in coarse])
        none = np.zeros((4, 1, 4), np.float32)
        return Batch(np.asarray(pixels, np.uint8), none, none, np.ones((4, 1), np.float32), np.ones((4, 1), np.float32))


def _missed(model: Any, imagenet: Any) -> float:
    """Share of the features' variance that the stem misses on blots of their kind."""
    pixels = _Blots().next().pixels.astype(np.float32) / 127.5 - 1
    wanted = tf.keras.Model(imagenet.input, imagenet.get_layer("block_3_expand_relu").output)(pixels, training=False)
    found = tf.keras.Model(model.input, model.get_layer("stem_out_relu").output)(pixels, training=True)
    return float(np.square(found - wanted).mean() / np.var(wanted, axis=(0, 1, 2)).mean())


def _weights(model: Any, *, of_stem: bool) -> list[np.ndarray]:
    layers = [layer for layer in model.layers if layer.name.startswith("stem_") == of_stem]
    return [np.array(weight) for layer in layers for weight in layer.get_weights()]


def _same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def imagenet() -> Any:
    """Random weights with the statistics of the blots: it is what is to be imitated."""
    tf.keras.utils.set_random_seed(3)
    network = tf.keras.applications.MobileNetV2(
        input_shape=(_SIDE, _SIDE, 3), alpha=TRUNK_ALPHA, include_top=False, weights=None
    )
    for layer in network.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.momentum = 0.5
    blots = _Blots()
    for _ in range(6):
        network(blots.next().pixels.astype(np.float32) / 127.5 - 1, training=True)
    return network


def _detector(imagenet: Any) -> Any:
    """As `load_trunk` leaves it."""
    tf.keras.utils.set_random_seed(3)
    model = build()
    model.get_layer("stem_out_bn").set_weights(imagenet.get_layer("block_3_expand_BN").get_weights())
    return model


def test_the_stem_learns_the_features_and_the_rest_stays_as_it_was(imagenet: Any) -> None:
    model = _detector(imagenet)
    stem, rest, reference = _weights(model, of_stem=True), _weights(model, of_stem=False), imagenet.get_weights()
    before = _missed(model, imagenet)
    told = imitate(model, imagenet, _Blots(), 80)
    after = _missed(model, imagenet)
    assert after < 0.25 * before
    assert 0.6 * after < told < 1.6 * after
    assert not _same(stem, _weights(model, of_stem=True))
    assert _same(rest, _weights(model, of_stem=False))
    assert _same(reference, imagenet.get_weights())


def test_a_stem_that_has_learned_nothing_misses_everything(imagenet: Any) -> None:
    assert imitate(build(), imagenet, _Blots(), 0) == 1.0
