"""Runs a detector over marked photos and sums up what it did."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from train.detector.boxes import BARE, DOUBTFUL, MASK, Boxes, sizes
from train.detector.metrics import MIN_SIZE, SIZE_BANDS, Answer, curve
from train.detector.second_look import completed

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edge.vision.detector import Detection
    from edge.vision.geometry import Image
    from train.detector.data import Photo

LOWEST_SCORE: Final = 0.002
"""Detectors are asked for everything down to this score. With 0.02 the last faces of our curves were cut off, 0.005 of
AP at IoU 0.35 on `val` (YuNet's and BlazeFace's did not change)."""

OVERLAPS: Final = (0.5, 0.35)


class FindsFaces(Protocol):
    """What is needed of a detector to be measured; every `edge.vision.detector.FaceDetector` has it."""

    def detect(self, image: Image) -> list[Detection]:
        """Faces in a BGR picture."""
        ...


@dataclass(frozen=True, slots=True)
class Contender:
    """A detector in the comparison.

    Attributes:
        name: for the table.
        make: gives the detector for a `min_score`.
        default_score: the threshold that it is used with.
    """

    name: str
    make: Callable[[float], FindsFaces]
    default_score: float


@dataclass(frozen=True, slots=True)
class Findings:
    """What a detector found in each photo."""

    contender: Contender
    photos: list[Photo]
    boxes: list[Boxes] = field(default_factory=list)
    scores: list[NDArray[np.float32]] = field(default_factory=list)


def race(
    contenders: list[Contender], photos: list[Photo], repeats: int = 3, clock: Callable[[], float] = time.thread_time
) -> dict[str, list[float]]:
    """Times detectors at their default scores on the same photos, taking turns, so that a busy machine is busy for all.

    Args:
        contenders: whom.
        photos: on what; decoding the JPEG is not in the time, everything after it is.
        repeats: each photo is shown so often, the shortest time counts.
        clock: in seconds. Each detector has one thread, the caller's, whose processor time a busy machine leaves alone.

    Returns:
        By name, milliseconds for each photo.
    """
    detectors = {each.name: each.make(each.default_score) for each in contenders}
    times: dict[str, list[float]] = {name: [] for name in detectors}
    for photo in photos:
        image = photo.pixels()
        least = dict.fromkeys(detectors, float("inf"))
        for _ in range(repeats):
            for name, detector in detectors.items():
                began = clock()
                detector.detect(image)
                least[name] = min(least[name], (clock() - began) * 1e3)
        for name, taken in least.items():
            times[name].append(taken)
    return times


def find(contender: Contender, photos: list[Photo], least: float = LOWEST_SCORE) -> Findings:
    """Runs a detector over photos, asking for everything down to a score."""
    findings, detector = Findings(contender, photos), contender.make(least)
    for photo in photos:
        found = detector.detect(photo.pixels())
        findings.boxes.append(
            np.array([(d.box.x, d.box.y, d.box.width, d.box.height) for d in found], np.float32).reshape(-1, 4)
        )
        findings.scores.append(np.array([d.score for d in found], np.float32))
    return findings


def answers(
    findings: Findings,
    wanted: Callable[[Photo], NDArray[np.bool_]],
    truth: Callable[[Photo], Boxes] = lambda photo: photo.given,
) -> list[Answer]:
    """Pairs findings with the truth.

    Args:
        findings: of a detector.
        wanted: for a photo, which of its faces are asked for.
        truth: which boxes are held true: as published, or by our rule.
    """
    return [
        Answer(boxes, scores, truth(photo), wanted(photo))
        for photo, boxes, scores in zip(findings.photos, findings.boxes, findings.scores, strict=True)
    ]


def all_faces(photo: Photo) -> NDArray[np.bool_]:
    """Faces large enough to be asked for."""
    return np.asarray((sizes(photo.given) >= MIN_SIZE) & (photo.kinds != DOUBTFUL), bool)


def of_kind(kind: int) -> Callable[[Photo], NDArray[np.bool_]]:
    """Large enough faces of one kind."""
    return lambda photo: np.asarray(all_faces(photo) & (photo.kinds == kind), bool)


def of_size(least: float, most: float) -> Callable[[Photo], NDArray[np.bool_]]:
    """Faces between two sizes."""
    return lambda photo: np.asarray((sizes(photo.given) >= least) & (sizes(photo.given) < most), bool)


def with_all_faces(findings: Findings) -> Findings:
    """The same findings, held against the boxes as published and what a second look saw besides."""
    return replace(findings, photos=[completed(photo) for photo in findings.photos])


def summary(findings: Findings, face_free: Findings) -> dict[str, float]:
    """All figures of a detector.

    Args:
        findings: on photos with faces.
        face_free: on photos without.

    Returns:
        By name: `ap50`, `ap35` with `_mask`, `_bare` and `_16`, `_32`, `_64` for the size bands; `ap50_rule` and so on
        against the boxes by our rule; `recall` and `precision` at the default score (IoU 0.35); `ap35_completed`,
        `recall_completed` and so on against all faces, those that nobody had boxed included (IoU 0.35 only: their
        boxes are the detectors' own); `alarms`, false boxes at the default score for a face-free photo, and `alarmed`,
        the share of these with one.
    """
    score, figures = findings.contender.default_score, {}
    parts = {"": all_faces, "_mask": of_kind(MASK), "_bare": of_kind(BARE)}
    parts |= {f"_{least:.0f}": of_size(least, most) for least, most in SIZE_BANDS}
    for part, wanted in parts.items():
        for least in OVERLAPS:
            name = f"ap{least * 100:.0f}{part}"
            figures[name] = curve(answers(findings, wanted), least).average_precision()
            if part in ("", "_mask", "_bare"):
                by_rule = answers(findings, wanted, lambda photo: photo.boxes)
                figures[f"{name}_rule"] = curve(by_rule, least).average_precision()
        figures[f"recall{part}"] = curve(answers(findings, wanted), OVERLAPS[1]).recall_at(score)
    figures["precision"] = curve(answers(findings, all_faces), OVERLAPS[1]).precision_at(score)
    everybody = with_all_faces(findings)
    for part in ("", "_mask", "_bare"):
        of_all = curve(answers(everybody, parts[part]), OVERLAPS[1])
        figures[f"ap35{part}_completed"] = of_all.average_precision()
        figures[f"recall{part}_completed"] = of_all.recall_at(score)
    figures["precision_completed"] = curve(answers(everybody, all_faces), OVERLAPS[1]).precision_at(score)
    counts = [int((scores >= score).sum()) for scores in face_free.scores]
    figures["alarms"] = float(np.mean(counts)) if counts else float("nan")
    figures["alarmed"] = float(np.mean([count > 0 for count in counts])) if counts else float("nan")
    return figures
