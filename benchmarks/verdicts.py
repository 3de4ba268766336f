"""Events a person, wrong verdicts, missed people and time to the event, on scenes whose truth is known.

    python benchmarks/verdicts.py ../shared/data --people 60

People are heads cut from pictures of the test part (`kind` context_crop and portrait), bare and masked, that move through
a drawn hall at 10 frames a second: from either side, towards the camera, crossing and covering each other, some blurred.
Three rules see the same faces of the same detector and classifier:

- `frame`: every frame's label is an event unless the last event nearby said the same (what most projects do);
- `count`: the joined faces of a person vote with one vote each;
- `maskgate`: what the daemon does.
"""

from __future__ import annotations

import argparse
import csv
import random
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from edge.assembly import Vision
from edge.people import DecisionRule, People, Verdict
from edge.settings import load_settings
from edge.sources.demo import HEIGHT, WIDTH, DemoCapture
from edge.vision.analyzer import Face
from edge.vision.classifier import Label
from edge.vision.geometry import Box, Image, intersection_over_union
from edge.vision.image import decode

FPS = 10
SMALLEST_PX = 24


@dataclass
class Walker:
    """One person: a head, its way, and what was said of it."""

    head: Image
    label: Label
    starts_at: int
    frames: int
    way: Callable[[float], tuple[float, float, float]]
    blur: float
    boxes: dict[int, Box] = field(default_factory=dict)
    events: list[tuple[int, Label]] = field(default_factory=list)


def heads(data: Path, count: int, draw: random.Random) -> list[tuple[Image, Label]]:
    """Heads with their surroundings from the test part, as many masked as bare."""
    found: dict[Label, list[tuple[Image, Label]]] = {Label.MASK: [], Label.NO_MASK: []}
    with (data / "MANIFEST.csv").open(newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["split"] == "test" and row["label"] in ("mask", "no_mask") and not row["flags"]
            and row["kind"] in ("context_crop", "portrait") and int(row["width"]) >= 80
        ]  # fmt: skip
    draw.shuffle(rows)
    groups: set[str] = set()
    for row in rows:
        label = Label(row["label"])
        if row["group_id"] in groups or len(found[label]) >= count // 2:
            continue
        groups.add(row["group_id"])
        archive, member = row["path"].split("!")
        with zipfile.ZipFile(data / archive) as pictures:
            found[label].append((decode(pictures.read(member)), label))
    both = found[Label.MASK] + found[Label.NO_MASK]
    draw.shuffle(both)
    return both


def ways(draw: random.Random) -> Callable[[float], tuple[float, float, float]]:
    """A way through the hall: middle of the head and its height, in pixels, for a progress of 0 to 1."""
    height, y = draw.uniform(90, 170), draw.uniform(170, 300)
    kind = draw.choice(["across", "across", "towards"])
    if kind == "towards":
        x, side = draw.uniform(150, WIDTH - 150), draw.uniform(-60, 60)
        return lambda t: (x + side * t, y - 30 + 60 * t, 40 + (height - 20) * t)
    start, end = (-80, WIDTH + 80) if draw.random() < 0.5 else (WIDTH + 80, -80)
    return lambda t: (start + (end - start) * t, y + 8 * np.sin(20 * t), height)


def cast(data: Path, count: int, draw: random.Random) -> list[Walker]:
    """Walkers who come at such intervals that two or three are in the hall at once."""
    walkers, at = [], 0
    for head, label in heads(data, count, draw):
        frames = draw.randint(30, 60)
        walkers.append(Walker(head, label, at, frames, ways(draw), draw.choice([0, 0, 0, 1.2])))
        at += draw.randint(10, 35)
    return walkers


def paste(frame: Image, walker: Walker, number: int) -> None:
    x, y, height = walker.way((number - walker.starts_at) / walker.frames)
    scale = height / walker.head.shape[0]
    size = max(8, round(walker.head.shape[1] * scale)), max(8, round(height))
    head = cv2.resize(walker.head, size, interpolation=cv2.INTER_AREA)
    if walker.blur:
        head = cv2.GaussianBlur(head, (0, 0), walker.blur)
    alpha = np.zeros((size[1], size[0]), np.float32)
    cv2.ellipse(alpha, (size[0] // 2, size[1] // 2), (round(size[0] * 0.46), round(size[1] * 0.49)), 0, 0, 360, 1.0, -1)
    alpha = cv2.GaussianBlur(alpha, (0, 0), max(1.0, height / 60))[..., np.newaxis]
    left, top = round(x - size[0] / 2), round(y - size[1] / 2)
    inside = Box(left, top, *size).clipped(WIDTH, HEIGHT)
    if inside is None:
        return
    rows, columns = slice(inside.y, inside.y + inside.height), slice(inside.x, inside.x + inside.width)
    part = slice(inside.y - top, inside.y - top + inside.height), slice(inside.x - left, inside.x - left + inside.width)
    frame[rows, columns] = head[part] * alpha[part] + frame[rows, columns] * (1 - alpha[part])
    # The face is about the middle of the cut: what is compared with an event's box.
    face = round(0.66 * min(size))
    if inside.width * inside.height > 0.8 * size[0] * size[1] and face >= SMALLEST_PX:
        walker.boxes[number] = Box(round(x - face / 2), round(y - face / 2), face, face)


def frames_of(walkers: Sequence[Walker]) -> Iterator[tuple[int, Image]]:
    hall = DemoCapture()._background  # noqa: SLF001  the same drawn hall as the demo's
    for number in range(max(walker.starts_at + walker.frames for walker in walkers) + 3 * FPS):
        frame = hall.copy()
        for walker in walkers:
            if walker.starts_at <= number < walker.starts_at + walker.frames:
                paste(frame, walker, number)
        noise = np.random.default_rng(number).integers(-4, 5, frame.shape, np.int16)
        yield number, np.asarray(np.clip(frame + noise, 0, 255), np.uint8)


def say_each_frame() -> Callable[[Sequence[Face], float], list[Verdict]]:
    """The naive rule: an event whenever a face's label differs from the last event near it."""
    said: list[tuple[Box, Label, float]] = []

    def update(faces: Sequence[Face], at: float) -> list[Verdict]:
        nonlocal said
        said = [item for item in said if at - item[2] < 2]
        new = []
        for face in faces:
            if face.label is Label.UNCERTAIN:
                continue
            near = [item for item in said if intersection_over_union(item[0], face.box) > 0.2]
            if not any(item[1] is face.label for item in near):
                new.append(Verdict(face.label, face.p_mask, "", at, 1, {}, face))
            said = [item for item in said if item not in near] + [(face.box, face.label, at)]
        return new

    return update


def plain_votes() -> Callable[[Sequence[Face], float], list[Verdict]]:
    people = People(DecisionRule(), "count")
    # Equal weights: as if every face were large, sharp and surely found.
    return lambda faces, at: people.update([replace(face, sharpness=1e9, score=None) for face in faces], at)


def owner(walkers: Sequence[Walker], verdict: Verdict, number: int) -> Walker | None:
    """Whose face it is: the walker who is there within a second; one may be known before all of the face is in view."""
    best, found = 0.1, None
    for walker in walkers:
        for offset in range(-FPS, FPS + 1):
            box = walker.boxes.get(number + offset)
            if box is not None and (overlap := intersection_over_union(box, verdict.face.box)) > best:
                best, found = overlap, walker
    return found


def measure(name: str, walkers: Sequence[Walker], seen: Sequence[tuple[int, Sequence[Face]]],
            update: Callable[[Sequence[Face], float], list[Verdict]]) -> None:  # fmt: skip
    strangers = 0
    for walker in walkers:
        walker.events = []
    for number, faces in seen:
        for verdict in update(faces, number / FPS):
            if verdict.label is Label.UNCERTAIN:
                continue
            walker = owner(walkers, verdict, number)
            if walker is None:
                strangers += 1
            else:
                walker.events.append((number, verdict.label))
    visible = [walker for walker in walkers if len(walker.boxes) >= 2 * DecisionRule().min_frames]
    events = sum(len(walker.events) for walker in visible)
    wrong = sum(label is not walker.label for walker in visible for _, label in walker.events)
    missed = sum(not walker.events for walker in visible)
    waits = [max(0, walker.events[0][0] - min(walker.boxes)) / FPS for walker in visible if walker.events]
    late = np.percentile(waits, [50, 95]) if waits else (0, 0)
    print(
        f"{name:<10}{len(visible):>7}{events / len(visible):>16.2f}{wrong:>7}{missed:>8}{strangers:>11}"
        f"{late[0]:>9.1f}{late[1]:>7.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=Path, help="write every 20th frame here")
    chosen = parser.parse_args()
    walkers = cast(chosen.data, chosen.people, random.Random(chosen.seed))
    vision = Vision.load(load_settings())
    seen = []
    for number, frame in frames_of(walkers):
        seen.append((number, vision.analyzer.analyze(frame)))
        if chosen.show and number % 20 == 0:
            cv2.imwrite(str(chosen.show / f"{number:05d}.jpg"), frame)
    print(
        f"{'rule':<10}{'people':>7}{'events a person':>16}{'wrong':>7}{'missed':>8}{'of nobody':>11}{'p50 s':>9}{'p95 s':>7}"
    )
    measure("frame", walkers, seen, say_each_frame())
    measure("count", walkers, seen, plain_votes())
    people = People(DecisionRule(), "maskgate")
    measure("maskgate", walkers, seen, people.update)


if __name__ == "__main__":
    main()
