"""Thinks up scenes: heads that walk, stop, turn, cross and cover each other before photographed places.

Everything is drawn from a seed, so that a scene can be had again. Heads are cut from pictures of the test part; places
are photos of the test part that show nobody.
"""

from __future__ import annotations

import csv
import random
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scenes import Head, Person, Scene

from edge.vision.classifier import Label
from edge.vision.geometry import Image
from edge.vision.image import decode

_GAP_S = 2.5
"""Between two people of whom the next comes in where the last has left."""


def heads(data: Path, draw: random.Random) -> tuple[list[Head], list[Head]]:
    """Single heads, as many masked as bare, each person once; and those who are known with and without a mask."""
    groups: dict[str, dict[Label, list[dict[str, str]]]] = defaultdict(lambda: defaultdict(list))
    with (data / "MANIFEST.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] != "test" or row["label"] not in ("mask", "no_mask"):
                continue
            if row["flags"] not in ("", "simulated_mask") or int(row["width"]) < 80 or row["kind"] == "clip":
                continue
            groups[row["group_id"]][Label(row["label"])].append(row)

    def load(row: dict[str, str]) -> Image:
        archive, member = row["path"].split("!")
        with zipfile.ZipFile(data / archive) as pictures:
            return decode(pictures.read(member))

    single: dict[Label, list[Head]] = {Label.MASK: [], Label.NO_MASK: []}
    double: list[Head] = []
    for name in sorted(groups):
        rows = groups[name]
        if len(rows) == 2:
            mask, bare = load(rows[Label.MASK][0]), load(rows[Label.NO_MASK][0])
            double += [Head(mask, Label.MASK, bare), Head(bare, Label.NO_MASK, mask)]
            continue
        label, found = next(iter(rows.items()))
        real = [row for row in found if not row["flags"]]
        if real and len(single[label]) < 250:
            single[label].append(Head(load(real[0]), label))
    both = []
    for found_heads in single.values():
        draw.shuffle(found_heads)
        both += found_heads[: min(map(len, single.values()))]
    draw.shuffle(both)
    draw.shuffle(double)
    return both, double


def places(data: Path) -> list[Image]:
    """Photos of the test part without a person's face."""
    with (data / "MANIFEST.csv").open(newline="") as file:
        rows = [
            row for row in csv.DictReader(file)
            if row["label"] == "no_face" and row["split"] == "test" and "bait" not in row["flags"]
        ]  # fmt: skip
    found = []
    for row in rows:
        archive, member = row["path"].split("!")
        with zipfile.ZipFile(data / archive) as pictures:
            image = decode(pictures.read(member))
        if image.shape[1] > image.shape[0]:
            found.append(image)
    return found


class Director:
    """Draws scenes of each kind from a stock of heads."""

    def __init__(self, data: Path, seed: int) -> None:
        self._draw = random.Random(seed)
        self._single, self._double = heads(data, self._draw)
        self._places = places(data)
        self._used = 0

    def _head(self) -> Head:
        self._used += 1
        return self._single[self._used % len(self._single)]

    def _across(
        self, speed: float, size: tuple[int, int], height: float, y: float
    ) -> tuple[Callable[[float], tuple[float, float, float]], float]:
        """From one side to the other at `speed` heads a second; the way and how long it takes."""
        width, margin = size[0], height
        seconds = (width + 2 * margin) / (speed * height)
        sign = self._draw.choice([-1, 1])
        start = -margin if sign > 0 else width + margin
        return (lambda t: (start + sign * speed * height * t, y + 0.05 * height * np.sin(9 * t), height)), seconds

    def scene(self, kind: str, people: int, fps: float, size: tuple[int, int] = (640, 480)) -> Scene:
        """A scene of one of `KINDS`."""
        pillars: tuple[tuple[int, int], ...] = ()
        if kind == "pillar":
            pillars = ((round(size[0] * 0.47), round(size[0] * 0.55)),)
        cast: list[Person] = []
        at = 0.5
        while len(cast) < people:
            newcomers = getattr(self, f"_{kind}")(at, size)
            cast += newcomers
            lasts = max(person.starts_s + person.lasts_s for person in newcomers) - at
            # Who vanishes in the middle of the picture has gone round a corner; the next one comes when that is told.
            at += lasts + _GAP_S if kind in ("towards", "group", "edge") else self._draw.uniform(0.6, 1.0) * lasts
        return Scene(kind, fps, size, self._draw.choice(self._places), cast, pillars)

    def _walker(self, at: float, size: tuple[int, int], low: float, high: float, **more: object) -> Person:
        height = self._draw.uniform(0.2, 0.42) * size[1]
        way, seconds = self._across(
            self._draw.uniform(low, high), size, height, self._draw.uniform(0.35, 0.6) * size[1]
        )
        return Person(self._head(), at, seconds, way, **more)  # type: ignore[arg-type]

    def _walk(self, at: float, size: tuple[int, int]) -> list[Person]:
        return [self._walker(at, size, 0.8, 1.8)]

    def _fast(self, at: float, size: tuple[int, int]) -> list[Person]:
        return [self._walker(at, size, 3.0, 5.0)]

    def _blur(self, at: float, size: tuple[int, int]) -> list[Person]:
        return [self._walker(at, size, 1.0, 2.5, blur=self._draw.uniform(0.4, 1.0))]

    def _pillar(self, at: float, size: tuple[int, int]) -> list[Person]:
        return [self._walker(at, size, 0.8, 1.6)]

    def _turn(self, at: float, size: tuple[int, int]) -> list[Person]:
        person = self._walker(at, size, 0.6, 1.2)
        begins = self._draw.uniform(0.25, 0.6) * person.lasts_s
        person.away = begins, begins + self._draw.uniform(0.5, 1.2)
        return [person]

    def _towards(self, at: float, size: tuple[int, int]) -> list[Person]:
        width, height = size
        x, side, seconds = (
            self._draw.uniform(0.25, 0.75) * width,
            self._draw.uniform(-0.1, 0.1) * width,
            self._draw.uniform(2.5, 5),
        )
        near = self._draw.uniform(0.3, 0.5)
        return [
            Person(
                self._head(),
                at,
                seconds,
                lambda t: (
                    x + side * t / seconds,
                    (0.35 + 0.1 * t / seconds) * height,
                    (0.07 + near * (t / seconds) ** 2) * height,
                ),
            )
        ]

    def _group(self, at: float, size: tuple[int, int]) -> list[Person]:
        width, height = size
        seconds, found = self._draw.uniform(3, 5), []
        for place in (0.15, 0.38, 0.62, 0.85):
            x, y, late = (
                (place + self._draw.uniform(-0.05, 0.05)) * width,
                self._draw.uniform(0.35, 0.6) * height,
                self._draw.uniform(0, 0.5),
            )
            found.append(
                Person(
                    self._head(),
                    at + late,
                    seconds,
                    lambda t, x=x, y=y: (
                        x + 6 * np.sin(5 * t),
                        y + 4 * np.sin(9 * t),
                        (0.14 + 0.18 * t / seconds) * height,
                    ),
                )  # type: ignore[misc]
            )
        return found

    def _cross(self, at: float, size: tuple[int, int]) -> list[Person]:
        """Two who meet in the middle, the nearer one before the other."""
        width, height = size
        speed, y = self._draw.uniform(0.8, 1.8), self._draw.uniform(0.4, 0.55) * height
        found = []
        for sign, tall in ((1, 0.3), (-1, self._draw.uniform(0.24, 0.29))):
            head = tall * height
            start = -head if sign > 0 else width + head
            found.append(
                Person(
                    self._head(),
                    at,
                    (width + 2 * head) / (speed * head),
                    lambda t, s=start, g=sign, h=head: (s + g * speed * h * t, y, h),
                )  # type: ignore[misc]
            )
        return found

    def _stay(self, at: float, size: tuple[int, int]) -> list[Person]:
        """Comes, stands for half a minute, swaying and nodding, and goes."""
        width, height = size
        tall, x, y = (
            self._draw.uniform(0.25, 0.45) * height,
            self._draw.uniform(0.3, 0.7) * width,
            self._draw.uniform(0.4, 0.5) * height,
        )
        return [
            Person(
                self._head(),
                at,
                33.0,
                lambda t: (
                    x
                    - 0.7 * width * max(0.0, 1 - t / 2)
                    + 0.7 * width * max(0.0, (t - 31) / 2)
                    + 0.15 * tall * np.sin(0.7 * t),
                    y + 0.06 * tall * np.sin(1.3 * t),
                    tall * (1 + 0.06 * np.sin(0.4 * t)),
                ),
            )
        ]

    def _change(self, at: float, size: tuple[int, int]) -> list[Person]:
        """Stands there and puts a mask on, or takes it off."""
        person = self._stay(at, size)[0]
        self._used += 1
        person.head = self._double[self._used % len(self._double)]
        person.lasts_s, person.changes_s = 16.0, self._draw.uniform(6, 9)
        return [person]

    def _scratch(self, at: float, size: tuple[int, int]) -> list[Person]:
        """Stands there and rubs nose and mouth for two seconds."""
        person = self._stay(at, size)[0]
        begins = self._draw.uniform(4, 8)
        person.lasts_s, person.scratches = 14.0, (begins, begins + 2.0)
        return [person]

    def _edge(self, at: float, size: tuple[int, int]) -> list[Person]:
        """Stands at the edge of the picture, and sways out of it and back."""
        width, height = size
        tall, y = self._draw.uniform(0.25, 0.45) * height, self._draw.uniform(0.4, 0.5) * height
        sign, pace = self._draw.choice([-1, 1]), self._draw.uniform(1.0, 2.5)
        middle = 0.25 * tall if sign < 0 else width - 0.25 * tall
        return [Person(self._head(), at, 12.0, lambda t: (middle + 0.25 * tall * np.sin(pace * t), y, tall))]


KINDS = ("walk", "fast", "towards", "cross", "pillar", "turn", "blur", "group", "stay", "change", "scratch", "edge")
STANDING = ("stay", "change", "scratch", "edge")
"""Those in which each person takes long."""
