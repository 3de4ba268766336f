"""The stem's first lesson: to produce what the first layers of the ImageNet network would have."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from train.detector.feeder import Feeder

log = logging.getLogger(__name__)

_TARGET: Final = "block_3_expand_relu"
_OWN: Final = "stem_out_relu"
_RATE: Final = 5e-3


def imitate(model: Any, imagenet: Any, feeder: Feeder, steps: int) -> float:
    """Trains the stem alone against the features that the trunk was made for.

    The trunk's weights are worth something only behind an input that resembles the one they were trained with.

    Args:
        model: from `architecture.build`; its stem is changed in place.
        imagenet: the MobileNetV2 from `architecture.load_trunk`.
        feeder: source of pictures; their boxes are not used.
        steps: batches.

    Returns:
        The share of the features' variance that the stem still misses at the end, 0 to 1.
    """
    import keras
    import numpy as np

    stem = keras.Model(model.input, model.get_layer(_OWN).output)
    stem.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(_RATE, max(1, steps))), loss="mse")
    size = feeder.next().pixels.shape[1]
    pixels = keras.Input((size, size, 3))
    # The published model has a fixed size; its first layers alone take any.
    first = keras.Model(imagenet.input, imagenet.get_layer(_TARGET).output)
    reference = keras.models.clone_model(first, input_tensors=pixels)
    reference.set_weights(first.get_weights())

    missed = 1.0
    for count in range(steps):
        images = feeder.next().pixels.astype(np.float32) / 127.5 - 1
        wanted = reference.predict_on_batch(images)
        loss = float(stem.train_on_batch(images, wanted, return_dict=True)["loss"])
        missed += 0.05 * (loss / float(wanted.var(axis=(0, 1, 2)).mean()) - missed)
        if count % 50 == 49:
            log.info("stem: step %d of %d, misses %.3f of the variance", count + 1, steps, missed)
    return missed
