"""A network that takes over what a narrower and shorter one has learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the training side needs the extra `train`")

from train.detector import architecture  # noqa: E402
from train.detector.architecture import TRUNK_ALPHA, build, load_trunk, take_over  # noqa: E402

_SIZE = (64, 96)


def _stirred(network: Any) -> Any:
    """With statistics, scales and offsets that differ from channel to channel, as learned ones do."""
    rng = np.random.default_rng(4)
    for layer in network.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return network


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Fewer channels everywhere in the trunk and the pyramid, and none of the blocks with a letter."""
    blocks = {
        name: (stride, expanded - 8 * (name != "block_3"), channels - 8)
        for name, (stride, expanded, channels) in architecture._BLOCKS.items()
        if not name[-1].isalpha()
    }
    tf.keras.utils.set_random_seed(5)
    with monkeypatch.context() as patch:
        patch.setattr(architecture, "_BLOCKS", blocks)
        patch.setattr(architecture, "PYRAMID_CHANNELS", architecture.PYRAMID_CHANNELS - 8)
        return _stirred(build(_SIZE))


def test_a_network_that_took_over_a_narrower_one_gives_the_same(narrow: Any) -> None:
    wide = build(_SIZE)
    take_over(wide, narrow)
    pixels = np.random.default_rng(6).uniform(-1, 1, (2, *_SIZE, 3)).astype(np.float32)
    for found, wanted in zip(wide(pixels, training=False), narrow(pixels, training=False), strict=True):
        assert np.ptp(wanted) > 1e-3
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert wide.count_params() > 1.1 * narrow.count_params()


def test_what_it_has_more_of_can_learn(narrow: Any) -> None:
    wide = build(_SIZE)
    take_over(wide, narrow)
    pixels = np.random.default_rng(6).uniform(-1, 1, (2, *_SIZE, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        cost = sum(tf.reduce_sum(tf.square(output)) for output in wide(pixels, training=False))
    kernel = wide.get_layer("block_14_project").kernel
    gamma = wide.get_layer("block_5a_project_BN").gamma
    of_kernel, of_gamma = tape.gradient(cost, [kernel.value, gamma.value])
    more = narrow.get_layer("block_14_project").kernel.shape[2]
    assert not kernel.numpy()[:, :, more:, :72].any()
    assert np.abs(of_kernel[:, :, more:, :72]).max() > 0
    assert not gamma.numpy().any()
    assert np.abs(of_gamma).max() > 0


def test_the_trunk_begins_with_the_published_blocks(tmp_path: Path) -> None:
    tf.keras.utils.set_random_seed(7)
    published = _stirred(
        tf.keras.applications.MobileNetV2((224, 224, 3), alpha=TRUNK_ALPHA, include_top=False, weights=None)
    )
    published.save_weights(str(tmp_path / "imagenet.weights.h5"))
    model = build()
    load_trunk(model, tmp_path / "imagenet.weights.h5")
    for name in ("block_4_project", "block_9_expand", "block_16_depthwise"):
        ours, theirs = model.get_layer(name).get_weights()[0], published.get_layer(name).get_weights()[0]
        assert ours.shape != theirs.shape or name == "block_16_depthwise"
        np.testing.assert_array_equal(ours[tuple(slice(side) for side in theirs.shape)], theirs)
    np.testing.assert_array_equal(model.get_layer("stem_out_bn").gamma, published.get_layer("block_3_expand_BN").gamma)
