"""From the configuration to an analyzer that is ready: what every command that looks at pictures begins with."""

from __future__ import annotations

from dataclasses import dataclass

from edge.errors import ModelError
from edge.messages import Models, ModelStatus
from edge.settings import Settings
from edge.vision.analyzer import Analyzer
from edge.vision.cards import ModelFile
from edge.vision.classifier import MaskClassifier
from edge.vision.detector import FaceDetector, load_detector


@dataclass(frozen=True, slots=True)
class Vision:
    """Loaded models. Not to be shared by threads."""

    analyzer: Analyzer
    files: tuple[ModelFile, ...]
    identities: Models

    @classmethod
    def load(cls, settings: Settings) -> Vision:
        """Loads detector and classifier.

        Raises:
            ModelError: `detector.model: ...` or `classifier.model: ...` and what is wrong with it.
        """
        return cls._of(settings, load_detector_of(settings))

    @classmethod
    def load_for_whole_faces(cls, settings: Settings) -> Vision:
        """Loads the classifier alone: each picture is one face.

        Raises:
            ModelError: `classifier.model: ...` and what is wrong with it.
        """
        return cls._of(settings, None)

    @classmethod
    def _of(cls, settings: Settings, detector: FaceDetector | None) -> Vision:
        classifier = load_classifier_of(settings)
        files = (classifier.model,) if detector is None else (detector.model, classifier.model)
        identities = Models(
            detector=None if detector is None else detector.model.identity, classifier=classifier.model.identity
        )
        return cls(Analyzer(detector, classifier, settings.detector.min_face_px), files, identities)

    def statuses(self) -> tuple[ModelStatus, ...]:
        """The models as the status names them."""
        return tuple(ModelStatus(name=file.name, sha256=file.sha256, path=str(file.path)) for file in self.files)


def load_detector_of(settings: Settings) -> FaceDetector:
    """The configured detector; see `Vision.load` for errors."""
    chosen = settings.detector
    try:
        return load_detector(chosen.model, chosen.min_score, chosen.threads)
    except ModelError as error:
        raise ModelError(f"detector.model: {error}") from error


def load_classifier_of(settings: Settings) -> MaskClassifier:
    """The configured classifier; see `Vision.load` for errors."""
    chosen = settings.classifier
    try:
        return MaskClassifier(chosen.model, chosen.mask_above, chosen.no_mask_below)
    except ModelError as error:
        raise ModelError(f"classifier.model: {error}") from error
