"""Face detectors on photos as a bad camera shows them: haze, no colour, little light, few bits, much of it at once.

    python benchmarks/bad_light.py ../shared/data [FILE.tflite ...] [--yunet FILE.onnx] [--split val]

Each photo is brought to 640 pixels on its long side, spoiled there (`train.augment.camera`; the same draw for every
detector), and brought back to its own size, so that its boxes still fit. Recall is that at the default score and IoU 0.35.
"""

from __future__ import annotations

import argparse
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from edge.vision.face_detector import MaskAwareFaceDetector
from edge.vision.geometry import Image
from edge.vision.yunet import YunetDetector
from train.augment.camera import Fault, dark, few_pixels, grey, hazy, noisy, of_a_video, recompressed
from train.detector.data import Photo, read_face_free, read_photos
from train.detector.measure import Contender, find, summary

LONG_SIDE = 640
YUNET_SIDES = (320, 640)
YUNET_SCORE = 0.6


def clean(image: Image, _rng: np.random.Generator) -> Image:
    return image


def everything(image: Image, rng: np.random.Generator) -> Image:
    for fault in (hazy, noisy, of_a_video, recompressed):
        image = fault(image, rng)
    return image


FAULTS: dict[str, Fault] = {
    "clean": clean,
    "haze": hazy,
    "dark": dark,
    "infrared: grey": grey,
    "video": of_a_video,
    "haze, noise, video, JPEG": everything,
}


def spoiled(photo: Photo, fault: Fault) -> Photo:
    """The photo with a fault; its chance comes from its name."""
    image = photo.pixels()
    height, width = image.shape[:2]
    seen = few_pixels(image, LONG_SIDE * width / max(height, width))
    bad = fault(seen, np.random.default_rng(zlib.crc32(photo.name.encode())))
    _, data = cv2.imencode(".png", cv2.resize(bad, (width, height), interpolation=cv2.INTER_LINEAR))
    return replace(photo, jpeg=data.tobytes())


def row(contender: Contender, photos: list[Photo], face_free: list[Photo]) -> str:
    """Figures of one detector under one fault."""
    figures = summary(find(contender, photos), find(contender, face_free))
    parts = [
        " / ".join(f"{figures[name + kind]:.3f}" for kind in ("", "_mask", "_bare"))
        for name in ("ap50", "ap35", "recall")
    ]
    return f"{' | '.join(parts)} | {figures['precision']:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("files", type=Path, nargs="*", default=[Path("models/face_detector.tflite")])
    parser.add_argument("--yunet", type=Path)
    parser.add_argument("--split", choices=("val", "test"), default="val")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    contenders = [Contender(str(file), partial(MaskAwareFaceDetector, file), 0.5) for file in options.files]
    for side in YUNET_SIDES if options.yunet else ():
        rival = partial(YunetDetector, options.yunet, long_side=side)
        contenders.append(Contender(f"YuNet, {side} px", rival, YUNET_SCORE))
    photos, face_free = read_photos(options.data, options.split), read_face_free(options.data, options.split)
    print("| fault | detector | AP 0.5, all / mask / bare | AP 0.35 | recall | precision |\n|---|---|---|---|---|---|")
    for name, fault in FAULTS.items():
        seen, empty = ([spoiled(photo, fault) for photo in part] for part in (photos, face_free))
        for contender in contenders:
            print(f"| {name} | {contender.name} | {row(contender, seen, empty)} |", flush=True)


if __name__ == "__main__":
    main()
