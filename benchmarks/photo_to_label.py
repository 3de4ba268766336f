"""From photo to label: precision and recall of mask and no_mask for each face, detector and classifier together.

    python benchmarks/photo_to_label.py ../shared/data --split val [--detector FILE] [--classifier FILE]

A face that was boxed in a photo is right if a found box meets it (IoU) and has its label; a badly worn mask counts as
no_mask. A found box that meets no face is false for its label. Faces under 16 px are not asked for. Two rows each: with
every face decided at p_mask 0.5, and as the daemon decides, where `uncertain` finds nothing and is not false.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from edge.vision.analyzer import Analyzer, Face
from edge.vision.classifier import Label, MaskClassifier
from edge.vision.face_detector import MaskAwareFaceDetector
from edge.vision.geometry import overlaps
from edge.vision.yunet import YunetDetector
from train.detector.boxes import MASK
from train.detector.data import Photo, read_face_free, read_photos
from train.detector.measure import all_faces

LABELS = (Label.MASK, Label.NO_MASK)
OVERLAPS = (0.5, 0.35)


@dataclass
class Tally:
    """Right, false and missed answers by label."""

    right: Counter[Label] = field(default_factory=Counter)
    false: Counter[Label] = field(default_factory=Counter)
    missed: Counter[Label] = field(default_factory=Counter)

    def line(self) -> str:
        """Precision and recall of each label and the mean of their F1."""
        cells, means = [], []
        for label in LABELS:
            precision = self.right[label] / max(1, self.right[label] + self.false[label])
            recall = self.right[label] / max(1, self.right[label] + self.missed[label])
            cells.append(f"{label} {precision:.3f} / {recall:.3f}")
            means.append(2 * precision * recall / max(1e-9, precision + recall))
        return f"{', '.join(cells)}, macro-F1 {np.mean(means):.3f}"


def forced(face: Face) -> Label:
    """The label at one half."""
    return Label.MASK if face.p_mask >= 0.5 else Label.NO_MASK


def score(tally: Tally, photo: Photo, faces: Iterable[tuple[Face, Label]], least: float) -> None:
    """Adds one photo's faces to the tally, those with the surest box first."""
    asked = all_faces(photo)
    truth = [Label.MASK if kind == MASK else Label.NO_MASK for kind in photo.kinds]
    taken = np.zeros(len(truth), bool)
    for face, label in sorted(faces, key=lambda pair: -(pair[0].score or 0.0)):
        box = np.array([[face.box.x, face.box.y, face.box.width, face.box.height]], np.float32)
        shares = overlaps(box, photo.given)[0] if truth else np.zeros(0)
        open_shares = np.where(asked & ~taken, shares, -1.0)
        if truth and open_shares.max() >= least:
            at = int(open_shares.argmax())
            taken[at] = True
            if label is truth[at]:
                tally.right[label] += 1
            else:
                tally.missed[truth[at]] += 1
                if label in LABELS:
                    tally.false[label] += 1
        elif label in LABELS and not (shares[~asked] >= least).any():
            tally.false[label] += 1
    for left in np.flatnonzero(asked & ~taken):
        tally.missed[truth[int(left)]] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument(
        "--detector", type=Path, default=Path("models/face_detector.tflite"), help="ours or a YuNet file"
    )
    parser.add_argument("--classifier", default="models/mask_classifier.tflite")
    parser.add_argument("--long-side", type=int, default=640, help="of YuNet's picture, pixels")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    detector = (
        YunetDetector(options.detector, 0.6, options.long_side)
        if options.detector.suffix == ".onnx"
        else MaskAwareFaceDetector(options.detector, 0.5)
    )
    analyzer = Analyzer(detector, MaskClassifier(options.classifier), min_face_px=0)
    photos = read_photos(options.data, options.split)
    seen = [analyzer.analyze(photo.pixels()) for photo in photos]
    for least in OVERLAPS:
        for name, decide in (("decided at 0.5", forced), ("as the daemon", lambda face: face.label)):
            tally = Tally()
            for photo, faces in zip(photos, seen, strict=True):
                score(tally, photo, [(face, decide(face)) for face in faces], least)
            print(f"IoU {least}, {name}: precision / recall of {tally.line()}")
    free = [analyzer.analyze(photo.pixels()) for photo in read_face_free(options.data, options.split)]
    verdicts = sum(any(face.label in LABELS for face in faces) for faces in free)
    print(f"a face on {sum(map(bool, free))} of {len(free)} pictures without one, a verdict on {verdicts}")


if __name__ == "__main__":
    main()
