"""A picture in, its faces with their labels out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edge.vision.classifier import Label, MaskClassifier, label_of, sharpness
from edge.vision.detector import Detection, FaceDetector
from edge.vision.geometry import Box, Image, whole

_SHARP_ENOUGH = 12.0
"""Variance of the Laplacian below which a face is not judged; see `edge.vision.classifier.sharpness`."""

Summary = Literal["mask", "no_mask", "mixed", "uncertain", "no_face"]


@dataclass(frozen=True, slots=True)
class Face:
    """One face of a picture. `score` is the detector's, None where no detector was asked."""

    box: Box
    score: float | None
    label: Label
    p_mask: float
    sharpness: float
    too_small: bool


def summarize(faces: Sequence[Face]) -> Summary:
    """One word for a picture: what its decided faces agree on, `mixed` if they differ, `uncertain` if none is."""
    decided = {face.label for face in faces} - {Label.UNCERTAIN}
    if not faces:
        return "no_face"
    if len(decided) > 1:
        return "mixed"
    return "uncertain" if not decided else "mask" if Label.MASK in decided else "no_mask"


class Analyzer:
    """Detector and classifier together. Holds both models; one for each thread or process that analyses.

    Args:
        detector: None treats every picture as one face that fills it.
        classifier: judges each face.
        min_face_px: a face whose shorter side is less is `uncertain` and `too_small`, whatever the classifier says.
    """

    def __init__(self, detector: FaceDetector | None, classifier: MaskClassifier, min_face_px: int) -> None:
        self._detector = detector
        self._classifier = classifier
        self.thresholds = classifier.thresholds
        self.min_face_px = min_face_px

    def analyze(self, image: Image) -> tuple[Face, ...]:
        """All faces of a picture, from left to right; what the classifier takes for no face is left out."""
        faces = (self.judge(image, detection) for detection in self.find(image))
        return tuple(face for face in faces if face is not None)

    def find(self, image: Image) -> list[Detection]:
        """The faces of a picture, from left to right, not yet judged."""
        if self._detector is None:
            return [Detection(whole(image), 1.0)]
        return sorted(self._detector.detect(image), key=lambda detection: (detection.box.x, detection.box.y))

    def judge(self, image: Image, found: Detection) -> Face | None:
        """What one face of a picture wears; None if the classifier sees no face in it."""
        is_whole = self._detector is None
        crop = self._classifier.crop(image, found.box, 0.0 if is_whole else self._classifier.card.crop.margin)
        judgement = self._classifier.judge(crop)
        if not judgement.is_face and not is_whole:
            return None
        sharp = sharpness(crop)
        too_small = min(found.box.width, found.box.height) < self.min_face_px
        judgeable = not too_small and sharp >= _SHARP_ENOUGH
        label = label_of(judgement.p_mask, self.thresholds) if judgeable else Label.UNCERTAIN
        return Face(found.box, None if is_whole else found.score, label, judgement.p_mask, sharp, too_small)
