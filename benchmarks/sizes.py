"""Face detectors from the smallest face to the largest, and on groups: faces of `val` in pictures made for it.

    python benchmarks/sizes.py ../shared/data [FILE.tflite ...] --teacher YUNET.onnx

Portraits: each head, shrunk until its face has so many pixels, in the middle of plain grey of 384 x 288. Fills: each
tight crop of a face, enlarged to the height of such a picture. Found means: at 0.5 or more, IoU at least 0.35, of the
teacher's box by our rule. Groups: fifteen pictures of 800 x 600, each of four photos side by side, drawn with seed 0.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from tempfile import gettempdir

import cv2
import numpy as np

from edge.vision.face_detector import MaskAwareFaceDetector
from edge.vision.geometry import Image, overlaps
from edge.vision.yunet import YunetDetector
from train.detector.boxes import BARE, sizes
from train.detector.data import Photo, read_photos
from train.detector.material import gather
from train.detector.measure import Contender, FindsFaces, find, summary
from train.detector.paste import Cutout

WIDTH, HEIGHT = 384, 288
GREY = 114
PIXELS = (10, 12, 16, 20, 28, 64, 128)
GROUPS, TILE = 15, (400, 300)
PHOTOS_OF_GROUP = 4


def is_found(detector: FindsFaces, image: Image, box: np.ndarray) -> bool:
    """Whether a face is found where it is."""
    found = [(face.box.x, face.box.y, face.box.width, face.box.height) for face in detector.detect(image)]
    boxes = np.array(found, np.float32).reshape(-1, 4)
    return bool(len(boxes) and overlaps(box[None].astype(np.float32), boxes).max() >= 0.35)


def laid_on_grey(face: Cutout, scale: float) -> tuple[Image, np.ndarray]:
    """A crop at a scale in the middle of a grey picture, and the box of its face there."""
    size = [max(1, round(side * scale)) for side in face.pixels.shape[1::-1]]
    small = cv2.resize(face.pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    small = small[:HEIGHT, :WIDTH]
    image = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    left, top = (WIDTH - small.shape[1]) // 2, (HEIGHT - small.shape[0]) // 2
    image[top : top + small.shape[0], left : left + small.shape[1]] = small
    return image, face.box * scale + (left, top, 0, 0)


def share_found(detector: FindsFaces, pictures: list[tuple[Image, np.ndarray]]) -> float:
    return float(np.mean([is_found(detector, image, box) for image, box in pictures]))


def portraits(heads: list[Cutout], pixels: int) -> list[tuple[Image, np.ndarray]]:
    scales = [pixels / float(sizes(head.box[None])[0]) for head in heads]
    return [
        laid_on_grey(head, scale)
        for head, scale in zip(heads, scales, strict=True)
        if head.pixels.shape[0] * scale <= HEIGHT and head.pixels.shape[1] * scale <= WIDTH
    ]


def groups(photos: list[Photo]) -> list[Photo]:
    """Four photos in one picture, with the boxes of all."""
    rng, made = np.random.default_rng(0), []
    for number in range(GROUPS):
        image = np.full((2 * TILE[1], 2 * TILE[0], 3), GREY, np.uint8)
        boxes, kinds = [], []
        for place, index in enumerate(rng.choice(len(photos), PHOTOS_OF_GROUP, replace=False)):
            photo = photos[int(index)]
            pixels = photo.pixels()
            scale = min(TILE[0] / pixels.shape[1], TILE[1] / pixels.shape[0])
            part = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[: TILE[1], : TILE[0]]
            left, top = place % 2 * TILE[0], place // 2 * TILE[1]
            image[top : top + part.shape[0], left : left + part.shape[1]] = part
            boxes.append(photo.given * scale + np.array([left, top, 0, 0], np.float32))
            kinds.append(photo.kinds)
        given = np.concatenate(boxes).astype(np.float32)
        png = cv2.imencode(".png", image)[1].tobytes()
        made.append(Photo(f"group {number}", "andrewmvd", "val", png, given, given, np.concatenate(kinds)))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("files", type=Path, nargs="*", default=[Path("models/face_detector.tflite")])
    parser.add_argument("--teacher", type=Path, required=True)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    material = gather(options.data, "val", options.teacher, Path(gettempdir()) / "maskgate-detector-cache")
    contenders = [Contender(str(file), partial(MaskAwareFaceDetector, file), 0.5) for file in options.files]
    contenders += [
        Contender(f"YuNet {side}", partial(YunetDetector, options.teacher, long_side=side), 0.6) for side in (320, 640)
    ]
    together = groups(read_photos(options.data, "val"))
    print(f"| detector | | portraits of {' / '.join(map(str, PIXELS))} px | fills |\n|---|---|---|---|")
    for contender in contenders:
        detector = contender.make(contender.default_score)
        for name, bare in (("bare", True), ("masked", False)):
            heads = [head for head in material.heads if (head.kind == BARE) is bare]
            tight = [
                laid_on_grey(face, HEIGHT / face.pixels.shape[0])
                for face in material.faces
                if (face.kind == BARE) is bare and sizes(face.box[None])[0] > 0.6 * max(face.pixels.shape[:2])
            ]
            found = [f"{share_found(detector, portraits(heads, pixels)):.2f}" for pixels in PIXELS]
            fills = f"{share_found(detector, tight):.3f} of {len(tight)}"
            print(f"| {contender.name} | {len(heads)} {name} | {' / '.join(found)} | {fills} |", flush=True)
    print("\n| on groups | AP 0.5 | AP 0.35 | recall / precision |\n|---|---|---|---|")
    for contender in contenders:
        figures = summary(find(contender, together), find(contender, []))
        print(
            f"| {contender.name} | {figures['ap50']:.3f} | {figures['ap35']:.3f}"
            f" | {figures['recall']:.3f} / {figures['precision']:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
