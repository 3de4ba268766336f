"""Face detectors on pictures that no training here has seen: test pictures and examples of published packages.

    python benchmarks/outside.py FOLDER [FILE.tflite ...] [--yunet FILE.onnx] [--blazeface FILE.tflite]

FOLDER holds the packages that `outside.csv` names, as PyPI and the npm registry have them, and the Debian one unpacked
by `dpkg-deb -x`. A picture is known by its bytes, so it is found wherever it lies, and packages of which one is missing
are named. `outside.csv` says what each shows: 319 bare faces in 87 photos, and 119 pictures without a face, 36 of them
animals and things (hats, toys, masks that nobody wears).

Boxes: what two detectors (ours at two sizes, YuNet at three, from scores of 0.25) found was looked at by eye, without
whose box it was; a kept box is the mean of what they drew. So IoU 0.35 is what counts, and AP 0.5 says little.
Cut, hidden and blurred faces of which one cannot be sure are `doubtful`: neither asked for nor false. Large pictures
are brought to 960 px first. The intervals are of 1,000 draws of photos.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from edge.vision.analyzer import Analyzer
from edge.vision.classifier import Label, MaskClassifier
from edge.vision.face_detector import MaskAwareFaceDetector
from train.detector.boxes import BARE, DOUBTFUL
from train.detector.data import Photo
from train.detector.measure import Contender, Findings, all_faces, answers, find, summary
from train.detector.metrics import curve, joined
from train.detector.rivals import contenders
from train.packages import at_most, pictures_of
from train.storage import digest

BOXES = Path(__file__).with_name("outside.csv")
LONG_SIDE = 960


def as_photo(name: str, data: bytes, rows: list[dict[str, str]]) -> Photo:
    """A picture at its size of use, with what was seen in it."""
    image = at_most(np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8), LONG_SIDE)
    boxed = [row for row in rows if row["left"]]
    given = np.array([[float(row[side]) for side in ("left", "top", "width", "height")] for row in boxed], np.float32)
    given = given.reshape(-1, 4)
    kinds = np.array([BARE if row["seen"] == "no_mask" else DOUBTFUL for row in boxed], np.int64)
    return Photo(
        name=name,
        source="outside",
        split="test",
        jpeg=cv2.imencode(".png", image)[1].tobytes(),
        given=given,
        boxes=given,
        kinds=kinds,
        bait=rows[0]["seen"] == "bait",
    )


def read(folder: Path) -> list[Photo]:
    """The pictures of `outside.csv` that are in the folder."""
    rows = defaultdict(list)
    with BOXES.open(encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            rows[row["sha256"]].append(row)
    photos = {}
    for data in pictures_of(folder):
        name = digest(data)
        if name in rows and name not in photos:
            photos[name] = as_photo(name, data, rows[name])
    if len(photos) < len(rows):
        packages = {rows[name][0]["package"] for name in rows.keys() - photos.keys()}
        print(f"{len(rows) - len(photos)} of {len(rows)} pictures are not in {folder}: {', '.join(sorted(packages))}\n")
    return [photos[name] for name in sorted(photos)]


def interval(findings: Findings, draws: int = 1000) -> tuple[float, float]:
    """95 % of AP 0.35 when the photos are drawn anew, with replacement."""
    rng, of_photo, values = np.random.default_rng(0), [curve([each], 0.35) for each in answers(findings, all_faces)], []
    for _ in range(draws):
        drawn = rng.integers(len(of_photo), size=len(of_photo))
        values.append(joined([of_photo[index] for index in drawn]).average_precision())
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def row_of(contender: Contender, photos: list[Photo], plain: list[Photo], bait: list[Photo]) -> str:
    """One line of the table."""
    findings = find(contender, photos)
    figures, baited = summary(findings, find(contender, plain)), summary(findings, find(contender, bait))
    low, high = interval(findings)
    sizes = " / ".join(f"{figures[f'ap35_{least}']:.3f}" for least in (16, 32, 64))
    return (
        f"| {contender.name} | {figures['ap35']:.3f} ({low:.3f} to {high:.3f}) | {sizes} | {figures['ap50']:.3f}"
        f" | {figures['recall']:.3f} / {figures['precision']:.3f}"
        f" | {figures['alarmed'] * len(plain):.0f} | {baited['alarmed'] * len(bait):.0f} |"
    )


def verdicts(detector: Path, classifier: Path, photos: list[Photo]) -> int:
    """How many pictures detector and classifier together call `mask` or `no_mask`."""
    analyzer = Analyzer(MaskAwareFaceDetector(detector, 0.5), MaskClassifier(classifier), min_face_px=0)
    return sum(any(face.label is not Label.UNCERTAIN for face in analyzer.analyze(photo.pixels())) for photo in photos)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("files", type=Path, nargs="*", default=[Path("models/face_detector.tflite")])
    parser.add_argument("--classifier", type=Path, default=Path("models/mask_classifier.tflite"))
    parser.add_argument("--yunet", type=Path)
    parser.add_argument("--blazeface", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    pictures = read(options.folder)
    photos = [photo for photo in pictures if len(photo.given)]
    plain, bait = (
        [photo for photo in pictures if not len(photo.given) and photo.bait is kind] for kind in (False, True)
    )
    faces = sum(int(all_faces(photo).sum()) for photo in photos)
    print(
        f"{len(photos)} photos, {faces} faces of at least 16 px; without a face {len(plain)} plain, {len(bait)} bait\n"
    )
    print(
        "| detector | AP 0.35 (95 %) | of 16 to 32 / 32 to 64 / 64 px and more | AP 0.5 | recall / precision"
        " | plain pictures with a face | bait |"
    )
    print("|---|---|---|---|---|---|---|")
    ours = [Contender(file.stem, partial(MaskAwareFaceDetector, file), 0.5) for file in options.files]
    for contender in [*ours, *contenders(options.yunet, options.blazeface)]:
        print(row_of(contender, photos, plain, bait), flush=True)
    for file in options.files:
        counts = [verdicts(file, options.classifier, part) for part in (plain, bait)]
        print(f"\n{file.stem} and {options.classifier.stem}: a verdict on {counts[0]} plain pictures, {counts[1]} bait")


if __name__ == "__main__":
    main()
