"""How far a detector's boxes lie off to a side.

    python benchmarks/mirrored.py ../shared/data [FILE.tflite ...] [--split val]

Each photo is shown as it is and mirrored, both in the network's own input, so that no published box and no resizing plays
a part. A detector that favours no side gives boxes that are each other's mirror images; half of what their middles differ
by is how far it is off, in pixels of the input, positive to the right: the mean over faces, and its standard error.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.cards import load_card
from edge.vision.decoding import Decoding, decode
from edge.vision.face_detector import decoding_of, letterbox_of
from edge.vision.geometry import overlaps
from edge.vision.tflite import TfliteModel
from train.detector.data import read_photos

SCORE = 0.5
SAME_FACE = 0.5


def off(network: TfliteModel, decoding: Decoding, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How far each face that is found both ways is off, shape (n,)."""
    seen, _ = decode(network.invoke(pixels), decoding, SCORE)
    mirrored, _ = decode(network.invoke(np.ascontiguousarray(pixels[:, ::-1])), decoding, SCORE)
    if not len(seen) or not len(mirrored):
        return np.zeros(0, np.float32)
    mirrored[:, 0] = pixels.shape[1] - mirrored[:, 0] - mirrored[:, 2]
    shares = overlaps(seen, mirrored)
    same, best = shares.max(axis=1) > SAME_FACE, shares.argmax(axis=1)
    middles, others = (boxes[:, 0] + boxes[:, 2] / 2 for boxes in (seen, mirrored[best]))
    return np.asarray((middles - others)[same] / 2, np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("files", type=Path, nargs="*", default=[Path("models/face_detector.tflite")])
    parser.add_argument("--split", choices=("val", "test"), default="val")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    photos = read_photos(options.data, options.split)
    for file in options.files:
        card = load_card(file)
        network, decoding, letterbox = TfliteModel(file, card, 1), decoding_of(card), letterbox_of(card)
        by = np.concatenate([off(network, decoding, letterbox(photo.pixels())[0]) for photo in photos])
        print(f"{file}: {by.mean():+.3f} +- {by.std() / len(by) ** 0.5:.3f} px, {len(by)} faces")


if __name__ == "__main__":
    main()
