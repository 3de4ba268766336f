"""Times of the face detector, stage by stage and against YuNet, on one thread.

    python benchmarks/detector.py PICTURES... [--model models/face_detector.tflite] [--yunet FILE.onnx] [--long-side
    320]

PICTURES are files or folders of JPEG or PNG files. The detectors take turns on each picture, the shortest of five times
counts, and what is printed is the median over the pictures: on a busy machine all of them are busy alike. Reading the
files is not in it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edge.vision.cards import load_card
from edge.vision.decoding import decode, detections
from edge.vision.face_detector import MaskAwareFaceDetector, decoding_of, letterbox_of
from edge.vision.geometry import Image
from edge.vision.tflite import TfliteModel, runtime_name
from edge.vision.yunet import YunetDetector

_REPEATS = 5
_MIN_SCORE = 0.5
_YUNET_SCORE = 0.6


def _least_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times) * 1e3


def _pictures(paths: list[Path]) -> list[Image]:
    found = [f for p in paths for f in (sorted(p.rglob("*")) if p.is_dir() else [p])]
    images = [cv2.imread(str(f)) for f in found if f.suffix.lower() in (".jpg", ".jpeg", ".png")]
    return [np.asarray(image, np.uint8) for image in images if image is not None]


def _stages(model: Path, images: list[Image]) -> dict[str, float]:
    """Median milliseconds of letterbox, network and decoding."""
    card = load_card(model)
    decoding, network = decoding_of(card), TfliteModel(model, card)
    letterbox = letterbox_of(card)
    times: dict[str, list[float]] = {"letterbox": [], "network": [], "decoding": []}
    for image in images:
        pixels, ratio = letterbox(image)
        outputs = network.invoke(pixels)
        times["letterbox"].append(_least_ms(lambda image=image: letterbox(image)))  # type: ignore[misc]
        times["network"].append(_least_ms(lambda pixels=pixels: network.invoke(pixels)))  # type: ignore[misc]

        def last(outputs=outputs, ratio=ratio, size=image.shape[1::-1]) -> object:  # type: ignore[no-untyped-def]
            return detections(*decode(outputs, decoding, _MIN_SCORE), ratio, size)

        times["decoding"].append(_least_ms(last))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--model", type=Path, default=Path("models/face_detector.tflite"))
    parser.add_argument("--yunet", type=Path)
    parser.add_argument("--long-side", type=int, default=320, help="of YuNet's picture, pixels")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    images = _pictures(options.pictures)
    assert images, "no picture found"
    ours = MaskAwareFaceDetector(options.model, _MIN_SCORE)
    rival = YunetDetector(options.yunet, _YUNET_SCORE, options.long_side) if options.yunet else None
    mine, its = [], []
    for image in images:
        mine.append(_least_ms(lambda image=image: ours.detect(image)))  # type: ignore[misc]
        if rival:
            its.append(_least_ms(lambda image=image: rival.detect(image)))  # type: ignore[misc]
    print(f"{len(images)} pictures, {runtime_name()}, OpenCV {cv2.__version__}, one thread; median (least) ms")
    print(f"{ours.model.identity}: {statistics.median(mine):.2f} ({min(mine):.2f})")
    for name, value in _stages(options.model, images).items():
        print(f"  {name}: {value:.2f}")
    if its:
        print(f"YuNet at {options.long_side} px: {statistics.median(its):.2f} ({min(its):.2f})")
        print(f"ours / YuNet: {statistics.median(mine) / statistics.median(its):.3f}")


if __name__ == "__main__":
    main()
