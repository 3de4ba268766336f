"""What a finished file says of the validation photos, place by place, and what follows for its card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from edge.vision.cards import load_card
from edge.vision.decoding import Support, candidates, faces, in_picture
from edge.vision.face_detector import decoding_of, letterbox_of
from edge.vision.tflite import TfliteModel
from train.detector.calibrate import supported
from train.detector.measure import all_faces
from train.detector.metrics import Answer, matched
from train.detector.second_look import completed

if TYPE_CHECKING:
    from pathlib import Path

    from train.detector.evaluate import Part

LEAST: Final = 0.01
"""Places of a lower score do not count. It is as low as it is for the last faces of a curve: none is found below it."""


def fit_support(model: Path, part: Part, least_overlap: float) -> Support:
    """Fits how the agreement of several places bears on a file's scores, with all the faces of photos.

    Args:
        model: the .tflite file; what its card says of support is left aside.
        part: the photos.
        least_overlap: intersection over union from which on a box is right.

    Raises:
        ModelError: the file or its card cannot be read, or all boxes are right, or all are wrong.
    """
    card = load_card(model)
    letterbox, decoding, network = letterbox_of(card), decoding_of(card), TfliteModel(model, card, threads=1)
    own, total, right = [], [], []
    for photo in [*map(completed, part.photos), *part.face_free]:
        image = photo.pixels()
        pixels, ratio = letterbox(image)
        boxes, scores, sums = faces(*candidates(network.invoke(pixels), decoding, LEAST), decoding.overlap)
        in_photo = in_picture(boxes, ratio, (image.shape[1], image.shape[0]))
        shown = np.flatnonzero((in_photo[:, 2:] > 0).all(axis=1))
        answer = Answer(in_photo[shown].astype(np.float32), scores[shown], photo.given, all_faces(photo))
        for at, found in matched(answer, least_overlap):
            own.append(scores[shown[at]])
            total.append(sums[shown[at]])
            right.append(found)
    return supported(LEAST, np.array(own, np.float32), np.array(total, np.float32), np.array(right, bool))
