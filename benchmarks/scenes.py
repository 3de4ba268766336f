"""Scenes with known people: who is where and when, and the frames that show it. director.py thinks them up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from edge.vision.classifier import Label
from edge.vision.geometry import Box, Image

SMALLEST_PX = 24
"""Of a face that is to be judged: the default of `detector.min_face_px`."""
_FACE_SHARE = 0.66
"""Of a head's cut that the face itself takes, about: for the truth's boxes."""
_COVERED = 0.35
"""Of a face that may be hidden before it no longer counts as visible."""


@dataclass(frozen=True)
class Head:
    """A person's head; `other` is the same person's with the other label, where there is one."""

    image: Image
    label: Label
    other: Image | None = None


@dataclass
class Person:
    """One person in a scene. Times in seconds of the scene, `place` gives middle x, middle y and height in pixels."""

    head: Head
    starts_s: float
    lasts_s: float
    place: Callable[[float], tuple[float, float, float]]
    blur: float = 0.0
    away: tuple[float, float] = (0.0, 0.0)
    """When the back of the head is seen, from the person's start."""
    changes_s: float | None = None
    """When the mask goes on or off, from the person's start."""
    scratches: tuple[float, float] = (0.0, 0.0)
    """When a hand is before the mouth, from the person's start."""
    boxes: dict[int, Box] = field(default_factory=dict)
    """Where the face is visible, by frame."""

    def labels(self) -> tuple[Label, ...]:
        """What may be said, in this order."""
        if self.changes_s is None:
            return (self.head.label,)
        return self.head.label, Label.NO_MASK if self.head.label is Label.MASK else Label.MASK


@dataclass
class Scene:
    """People before a place; `pillars` cover whoever is behind them."""

    name: str
    fps: float
    size: tuple[int, int]
    place: Image
    people: list[Person]
    pillars: tuple[tuple[int, int], ...] = ()
    noise: int = 4

    @property
    def seconds(self) -> float:
        return max(person.starts_s + person.lasts_s for person in self.people) + 3.0

    def frames(self) -> Iterator[tuple[int, Image]]:
        """Number and BGR picture of each frame; fills in the people's `boxes`."""
        width, height = self.size
        place = cv2.resize(self.place, self.size, interpolation=cv2.INTER_AREA)
        grains = np.random.default_rng(7).integers(-self.noise, self.noise + 1, (5, height, width, 3)).astype(np.int16)
        for number in range(round(self.seconds * self.fps)):
            frame = place.copy()
            now = number / self.fps
            shown = [person for person in self.people if 0 <= now - person.starts_s < person.lasts_s]
            seen: list[tuple[Person, Box]] = []
            for person in sorted(shown, key=lambda person: person.place(now - person.starts_s)[2]):
                box = _paste(frame, person, now - person.starts_s, 1 / self.fps)
                seen = [(other, b) for other, b in seen if box is None or _hidden(b, box) < _COVERED]
                if box is not None and not person.away[0] <= now - person.starts_s < person.away[1]:
                    seen.append((person, box))
            for left, right in self.pillars:
                frame[:, left:right] = place[:, left:right] // 2
                bar = Box(left, 0, right - left, height)
                seen = [(person, box) for person, box in seen if _hidden(box, bar) < _COVERED]
            for person, box in seen:
                if min(box.width, box.height) >= SMALLEST_PX:
                    person.boxes[number] = box
            grain = np.roll(grains[number % 5], (number * 37 % height, number * 61 % width), (0, 1))
            yield number, np.asarray(np.clip(frame + grain, 0, 255), np.uint8)


def _hidden(box: Box, cover: Box) -> float:
    width = min(box.x + box.width, cover.x + cover.width) - max(box.x, cover.x)
    height = min(box.y + box.height, cover.y + cover.height) - max(box.y, cover.y)
    return max(0, width) * max(0, height) / (box.width * box.height)


def _cover_mouth(head: Image, since_s: float) -> None:
    """Draws a hand that rubs mouth and nose: four fingers of the colour between the eyes."""
    height, width = head.shape[:2]
    skin = head[height * 3 // 10 : height * 4 // 10, width * 4 // 10 : width * 6 // 10].mean(axis=(0, 1))
    for finger in range(4):
        middle = round(width * (0.35 + 0.1 * finger)), round(height * (0.68 + 0.03 * np.sin(9 * since_s)))
        shade = 0.95 - 0.08 * (finger % 2)
        cv2.ellipse(head, middle, (round(width * 0.06), round(height * 0.17)), 10, 0, 360, tuple(shade * skin), -1)


def _paste(frame: Image, person: Person, since_s: float, frame_s: float) -> Box | None:
    """Draws a head; returns the box of its face if most of it is inside the frame."""
    x, y, height = person.place(since_s)
    image = person.head.image
    if person.changes_s is not None and since_s >= person.changes_s and person.head.other is not None:
        image = person.head.other
    scale = height / image.shape[0]
    size = max(8, round(image.shape[1] * scale)), max(8, round(height))
    head = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if person.away[0] <= since_s < person.away[1]:
        head = np.asarray(cv2.GaussianBlur(head, (0, 0), height / 5) * 0.4, np.uint8)
    elif person.scratches[0] <= since_s < person.scratches[1]:
        _cover_mouth(head, since_s)
    elif person.blur:
        before = person.place(since_s - frame_s / 2)
        length = max(1, round(person.blur * abs(x - before[0])))
        head = cv2.blur(cv2.GaussianBlur(head, (0, 0), 0.3 + person.blur), (length, 1))
    alpha = np.zeros((size[1], size[0]), np.float32)
    cv2.ellipse(alpha, (size[0] // 2, size[1] // 2), (round(size[0] * 0.46), round(size[1] * 0.49)), 0, 0, 360, 1.0, -1)
    alpha = cv2.GaussianBlur(alpha, (0, 0), max(1.0, height / 60))[..., np.newaxis]
    left, top = round(x - size[0] / 2), round(y - size[1] / 2)
    inside = Box(left, top, *size).clipped(frame.shape[1], frame.shape[0])
    if inside is None:
        return None
    rows, columns = slice(inside.y, inside.y + inside.height), slice(inside.x, inside.x + inside.width)
    part = slice(inside.y - top, inside.y - top + inside.height), slice(inside.x - left, inside.x - left + inside.width)
    frame[rows, columns] = head[part] * alpha[part] + frame[rows, columns] * (1 - alpha[part])
    side = round(_FACE_SHARE * min(size))
    face = Box(round(x - side / 2), round(y - side / 2), side, side)
    visible = face.clipped(frame.shape[1], frame.shape[0])
    if visible is None or visible.width * visible.height < 0.9 * side * side:
        return None
    return face
