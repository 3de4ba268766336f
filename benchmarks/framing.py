"""Mask classifiers side by side on the faces of `val`, framed by the detector, and under a bad camera.

    python benchmarks/framing.py ../shared/data/MANIFEST.csv FILE.tflite [FILE.tflite ...]

*Detected*: the detector looks at every picture with a labelled face. A box that it finds counts for a boxed face that it
meets (IoU at least 0.35), and for a ready crop if it is the largest and a quarter as wide. Each is cut at several margins.
*Hard*: published boxes, seen by `train.augment.camera` with every fault about twice as often; the same two draws a face
for every file. Shares are by group, of real photos; `worn` is the share of badly worn masks that is called mask.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.cards import load_card
from edge.vision.detector import FaceDetector
from edge.vision.face_detector import MaskAwareFaceDetector
from edge.vision.geometry import Box, Image, face_input, intersection_over_union
from edge.vision.tflite import TfliteModel
from train import metrics
from train.augment.camera import Camera, degraded
from train.calibration import mask_probability
from train.dataset import Dataset, open_dataset, with_boxes
from train.labels import INCORRECT, MASK, NO_FACE, NO_MASK
from train.samples import Sample
from train.validation import judged
from train.views import face_view

MARGINS = (-0.05, 0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.35)
HARD_MARGINS = (0.0, 0.15, 0.3)
BAD_CAMERA = Camera(
    few_pixels=0.7, blur=0.44, light=1.0, haze=0.4, dark=0.2, cast=0.9, grey=0.1, noise=0.6, jpeg=0.6, video=0.4
)
DRAWS = 2


class Contender:
    """A classifier with its calibration."""

    def __init__(self, file: Path) -> None:
        self.name, self._card = str(file), load_card(file)
        self._network = TfliteModel(file, self._card)
        self.size = self._card.input.width

    def p_mask(self, views: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
        rows = np.array([next(iter(self._network.invoke(view).values())) for view in views], np.float32)
        return mask_probability(rows, self._card.labels, self._card.calibration.temperature)

    def decided(self, p_mask: NDArray[np.float64], is_mask: metrics.Flags, weights: metrics.Floats) -> str:
        edges = self._card.thresholds
        if edges is None:
            return "no thresholds"
        wrong, uncertain = metrics.decided(p_mask, is_mask, weights, edges.mask_above, edges.no_mask_below)
        return f"wrong {wrong:.4f}, uncertain {uncertain:.4f}"


def pictures(dataset: Dataset, samples: list[Sample]) -> Iterator[tuple[Sample, Image]]:
    """Each sample with its picture, which is decoded once for all faces of a photo."""
    store, path, image = dataset.store(), "", np.zeros((1, 1, 3), np.uint8)
    for sample in samples:
        if sample.path != path:
            image, path = store.image(sample.path), sample.path
        yield sample, image


def found_box(detector: FaceDetector, sample: Sample, image: Image) -> Box | None:
    """Where the detector sees the face of a sample."""
    boxes = [face.box for face in detector.detect(image)]
    if sample.kind == "boxed" and sample.box is not None:
        given = sample.box
        return max(
            (box for box in boxes if intersection_over_union(box, given) >= 0.35),
            key=lambda box: intersection_over_union(box, given),
            default=None,
        )
    large = [box for box in boxes if box.width >= image.shape[1] / 4]
    return max(large, key=lambda box: box.width * box.height, default=None)


def detected(contender: Contender, faces: list[tuple[Sample, Image, Box]]) -> Iterator[str]:
    """A line a margin."""
    samples = [sample for sample, _, _ in faces]
    label, weights = np.array([sample.label for sample in samples]), metrics.group_weights(samples)
    real = np.array([sample.label in (MASK, NO_MASK) and not sample.drawn_on for sample in samples])
    boxed = real & np.array([sample.kind == "boxed" for sample in samples])
    worn = np.array([sample.label == INCORRECT and not sample.drawn_on for sample in samples])
    for margin in MARGINS:
        p_mask = contender.p_mask(
            [face_input(image, box, margin, (contender.size, contender.size)) for _, image, box in faces]
        )
        shares = [metrics.balanced_accuracy(p_mask[part], label[part] == MASK, weights[part]) for part in (real, boxed)]
        rest = contender.decided(p_mask[real], label[real] == MASK, weights[real])
        called = metrics.called_mask(p_mask[worn], weights[worn])
        yield f"detected, margin {margin:5.2f}: {shares[0]:.4f}, boxed {shares[1]:.4f}, {rest}, worn {called:.3f}"


def hard(contender: Contender, faces: list[tuple[Sample, Image]]) -> Iterator[str]:
    """A line a margin."""
    samples = [sample for sample, _ in faces]
    is_mask, weights = np.array([sample.label == MASK for sample in samples]), metrics.group_weights(samples)
    for margin in HARD_MARGINS:
        shares = []
        for draw in range(DRAWS):
            views = [
                degraded(
                    face_view(sample.kind, image, sample.box, margin, contender.size),
                    BAD_CAMERA,
                    np.random.default_rng([99, draw, number]),
                )
                for number, (sample, image) in enumerate(faces)
            ]
            shares.append(metrics.balanced_accuracy(contender.p_mask(views), is_mask, weights))
        yield f"hard, margin {margin:.2f}: {np.mean(shares):.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--detector", type=Path, default=Path("models/face_detector.tflite"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    detector = MaskAwareFaceDetector(options.detector, 0.5)
    dataset = with_boxes(open_dataset(options.manifest))
    every = [sample for sample in dataset.part("val") if judged(sample) and sample.label != NO_FACE]
    faces = list(pictures(dataset, every))
    found = [(sample, image, box) for sample, image in faces if (box := found_box(detector, sample, image))]
    real = [(sample, image) for sample, image in faces if sample.label in (MASK, NO_MASK) and not sample.drawn_on]
    print(f"the detector finds {len(found)} of {len(faces)} faces")
    for contender in map(Contender, options.files):
        print(contender.name)
        for line in (*detected(contender, found), *hard(contender, real)):
            print(f"  {line}", flush=True)


if __name__ == "__main__":
    main()
