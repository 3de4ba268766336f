"""The network: a MobileNetV2 trunk behind a short stem, a three-level feature pyramid and one anchor-free head.

The trunk is MobileNetV2 with alpha 0.35 (Sandler et al. 2018, https://arxiv.org/abs/1801.04381) from its fourth block
on, cut before its last 1280-channel layer. Its own beginning, up to stride 4, takes half of the time of the whole
network, so a stem of three layers stands in for it: a 6x6 convolution of stride 4, then a depthwise and a pointwise one
(docs/detector.md has the times). The pyramid is top-down only (Lin et al. 2017, https://arxiv.org/abs/1612.03144), the
head is shared by the levels except for its batch normalisation, and every place of a level predicts one box (FCOS, Tian
et al. 2019, https://arxiv.org/abs/1904.01355).

Two properties are there for the int8 file. The network has no rescaling layer: it reads ``pixel / 127.5 - 1``, which
the converter turns into a uint8 input of scale 1/127.5, so that raw bytes go straight in. And each level has its scores
and its boxes as outputs of their own, because they need different scales.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from train.weights import load_weights

if TYPE_CHECKING:
    from pathlib import Path

STRIDES: Final = (8, 16, 32)
"""Input pixels a place of each output level stands for, in both directions."""

FACE_SIZES: Final = ((0.0, 44.0), (28.0, 100.0), (64.0, 4096.0))
"""Square root of the area, in input pixels, of the faces that each level learns; neighbours overlap."""

TRUNK_ALPHA: Final = 0.35
PYRAMID_CHANNELS: Final = 48

STEM_CHANNELS: Final = 48
"""The width at which the trunk takes over: the expansion of its block 3."""

_BLOCKS: Final = {
    # name: (stride, expanded channels, channels). Block 3 has no expansion of its own: the stem ends in it.
    "block_3": (2, 48, 24),
    "block_4": (1, 96, 24),
    "block_5": (1, 96, 24),
    "block_5a": (1, 96, 24),
    "block_6": (2, 96, 32),
    "block_7": (1, 144, 32),
    "block_8": (1, 144, 32),
    "block_9": (1, 144, 32),
    "block_10": (1, 144, 48),
    "block_11": (1, 192, 48),
    "block_12": (1, 192, 48),
    "block_13": (2, 192, 80),
    "block_14": (1, 336, 80),
    "block_15": (1, 336, 80),
    "block_16": (1, 336, 160),
}
"""MobileNetV2's, half as wide again between them, and one more, with a letter: docs/decisions/0017 and 0022."""

_TAPS: Final = ("block_6_expand_relu", "block_13_expand_relu", "block_16_project_BN")
"""Trunk layers at strides 8, 16 and 32 (96, 192 and 160 channels): the widest tensors of their stride."""

_BATCH_NORM_MOMENTUM: Final = 0.95
"""Keras' 0.999 for MobileNetV2 needs thousands of steps before the moving statistics mean anything."""

_PRIOR_LOGIT: Final = -4.0
"""First bias of the score: nearly every place of a picture is not a face (RetinaNet's initialisation)."""


def output_names() -> list[str]:
    """Names of the six outputs in order: the scores of each level, then the boxes of each level.

    Returns:
        ``score_8, score_16, score_32, box_8, box_16, box_32``.
    """
    return [f"score_{stride}" for stride in STRIDES] + [f"box_{stride}" for stride in STRIDES]


def build(size: tuple[int, int] | None = None) -> Any:
    """Builds the network with random weights.

    Args:
        size: Input (height, width) in pixels, multiples of 32; None leaves both open, for training on crops of any
            size.

    Returns:
        A ``keras.Model`` from (batch, height, width, 3) floats in -1..1 to six tensors in the order of `output_names`:
        ``(batch, h, w, 1)`` scores as *logits*, and ``(batch, h, w, 4)`` boxes as (dx, dy, log width, log height) in
        strides, relative to the centre of the place.

    Raises:
        ValueError: The size is not a multiple of the largest stride.
    """
    import keras

    height, width = size or (None, None)
    if size and (size[0] % STRIDES[-1] or size[1] % STRIDES[-1]):
        raise ValueError(f"expected a size in multiples of {STRIDES[-1]}, got {size}")
    pixels = keras.Input((height, width, 3), name="pixels")
    layers = _trunk(_stem(pixels))
    scores, boxes = _head(_pyramid([layers[name] for name in _TAPS]))
    return keras.Model(pixels, scores + boxes, name="face_detector")


def load_trunk(model: Any, weights: Path) -> Any:
    """Takes over the blocks of an ImageNet network.

    Args:
        model: from `build`; changed in place.
        weights: Keras weights of ``MobileNetV2(alpha=0.35, include_top=False)``.

    Returns:
        The whole MobileNetV2, whose ``block_3_expand_relu`` is what the stem has to learn to produce
        (`train.detector.stem`).

    Raises:
        UsageError: the file is damaged or of another network.
    """
    import keras

    source = keras.applications.MobileNetV2(
        input_shape=(224, 224, 3), alpha=TRUNK_ALPHA, include_top=False, weights=None, name="imagenet"
    )
    load_weights(source, weights, f"MobileNetV2 alpha {TRUNK_ALPHA} without its top")
    take_over(model, source)
    # The stem ends where the expansion of block 3 ended: with that layer's scale and offset for each channel its output
    # has the spread that the trunk expects before it has learned anything.
    model.get_layer("stem_out_bn").set_weights(source.get_layer("block_3_expand_BN").get_weights())
    return source


def take_over(model: Any, source: Any) -> None:
    """Gives a network what the layers of a narrower or shorter one have learned, by name.

    Channels that the other does not have keep their random weights and are at first of no weight to those that it has,
    so that a network grown in this way gives what the narrower one gave (Net2Net, Chen et al. 2016,
    https://arxiv.org/abs/1511.05641, with nothing in the place of copies).

    Args:
        model: from `build`; changed in place.
        source: a ``keras.Model``; its layers of other names are left alone.
    """
    import keras

    learned = {layer.name: layer.get_weights() for layer in source.layers}
    for layer in (each for each in model.layers if each.name in learned):
        grown = layer.get_weights()
        for wide, narrow in zip(grown, learned[layer.name], strict=True):
            if isinstance(layer, keras.layers.Conv2D) and narrow.ndim == 4:
                wide[:, :, narrow.shape[2] :, : narrow.shape[3]] = 0
            wide[tuple(slice(side) for side in narrow.shape)] = narrow
        layer.set_weights(grown)


def _stem(pixels: Any) -> Any:
    """Pixels to 48 channels at stride 4."""
    import keras

    x = keras.layers.Conv2D(32, 6, strides=4, padding="same", use_bias=False, name="stem_patch")(pixels)
    x = _relu6("stem_patch_relu")(_batch_norm("stem_patch_bn")(x))
    x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="stem_dw")(x)
    x = _relu6("stem_dw_relu")(_batch_norm("stem_dw_bn")(x))
    x = keras.layers.Conv2D(STEM_CHANNELS, 1, use_bias=False, name="stem_out")(x)
    return _relu6("stem_out_relu")(_batch_norm("stem_out_bn")(x))


def _trunk(x: Any) -> dict[str, Any]:
    """Inverted residual blocks, named as Keras names them so that its weights fit.

    Keras pads its strided layers by hand; for even sizes "same" does just that, and costs no operation of its own.

    Returns:
        The tensors that the pyramid may tap, by layer name.
    """
    import keras

    taps: dict[str, Any] = {}
    for name, (stride, expanded, channels) in _BLOCKS.items():
        entry = x
        if name != "block_3":
            x = keras.layers.Conv2D(expanded, 1, use_bias=False, name=f"{name}_expand")(x)
            x = _relu6(f"{name}_expand_relu")(_batch_norm(f"{name}_expand_BN")(x))
            taps[f"{name}_expand_relu"] = x
        x = keras.layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
        x = _relu6(f"{name}_depthwise_relu")(_batch_norm(f"{name}_depthwise_BN")(x))
        x = keras.layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project")(x)
        # A block that MobileNetV2 does not have changes nothing at first (Goyal et al. 2017).
        x = _batch_norm(f"{name}_project_BN", gamma="zeros" if name[-1].isalpha() else "ones")(x)
        if stride == 1 and entry.shape[-1] == channels:
            x = keras.layers.Add(name=f"{name}_add")([entry, x])
        taps[f"{name}_project_BN"] = x
    return taps


def _batch_norm(name: str, gamma: str = "ones") -> Any:
    import keras

    return keras.layers.BatchNormalization(
        momentum=_BATCH_NORM_MOMENTUM, epsilon=1e-3, gamma_initializer=gamma, name=name
    )


def _relu6(name: str) -> Any:
    import keras

    return keras.layers.ReLU(6.0, name=name)


def _pyramid(taps: list[Any]) -> list[Any]:
    """Brings the taps to one width and adds each coarser level, enlarged, to the next finer one."""
    import keras

    sides = []
    for stride, tap in zip(STRIDES, taps, strict=True):
        side = keras.layers.Conv2D(PYRAMID_CHANNELS, 1, use_bias=False, name=f"side_{stride}")(tap)
        sides.append(_batch_norm(f"side_{stride}_bn")(side))
    merged = [sides[-1]]
    for stride, side in zip(STRIDES[-2::-1], sides[-2::-1], strict=True):
        up = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"up_{stride}")(merged[0])
        merged.insert(0, keras.layers.Add(name=f"merge_{stride}")([side, up]))
    levels = []
    for stride, level in zip(STRIDES, merged, strict=True):
        # The coarsest level sees whole faces: a larger kernel there costs little and widens its view.
        kernel = 5 if stride == STRIDES[-1] else 3
        x = keras.layers.DepthwiseConv2D(kernel, padding="same", use_bias=False, name=f"smooth_{stride}_dw")(level)
        x = _relu6(f"smooth_{stride}_dw_relu")(_batch_norm(f"smooth_{stride}_dw_bn")(x))
        x = keras.layers.Conv2D(PYRAMID_CHANNELS, 1, use_bias=False, name=f"smooth_{stride}")(x)
        levels.append(_relu6(f"smooth_{stride}_relu")(_batch_norm(f"smooth_{stride}_bn")(x)))
    return levels


def _head(levels: list[Any]) -> tuple[list[Any], list[Any]]:
    """Two separable blocks and one depthwise layer; the kernels are shared by the levels, the statistics are not."""
    import keras

    stages = [
        (
            keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"head_{i}_dw"),
            keras.layers.Conv2D(PYRAMID_CHANNELS, 1, use_bias=False, name=f"head_{i}") if i < 2 else None,
        )
        for i in range(3)
    ]
    score = keras.layers.Conv2D(1, 1, bias_initializer=keras.initializers.Constant(_PRIOR_LOGIT), name="score")
    box = keras.layers.Conv2D(4, 1, bias_initializer=keras.initializers.Constant(0.0), name="box")
    scores, boxes = [], []
    for stride, level in zip(STRIDES, levels, strict=True):
        x = level
        for i, (depthwise, pointwise) in enumerate(stages):
            x = _relu6(f"head_{i}_dw_relu_{stride}")(_batch_norm(f"head_{i}_dw_bn_{stride}")(depthwise(x)))
            if pointwise is not None:
                x = _relu6(f"head_{i}_relu_{stride}")(_batch_norm(f"head_{i}_bn_{stride}")(pointwise(x)))
        scores.append(keras.layers.Identity(name=f"score_{stride}")(score(x)))
        boxes.append(keras.layers.Identity(name=f"box_{stride}")(box(x)))
    return scores, boxes
