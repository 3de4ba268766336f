"""Boxes and labels drawn into pictures, to be read at any size and by people who do not see all colours.

A label is told three times: by its words, by a colour of a palette for colour-blind eyes (Okabe and Ito 2008; the red
is darkened for white text), and by the line, which is dashed where nothing was decided.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.analyzer import Face
from edge.vision.classifier import Label
from edge.vision.geometry import Box, Image

Colour = tuple[int, int, int]
"""Blue, green, red, 0 to 255."""

COLOURS: dict[Label, Colour] = {Label.MASK: (178, 114, 0), Label.NO_MASK: (0, 74, 192), Label.UNCERTAIN: (66, 228, 240)}
_PLAIN: Colour = (60, 60, 60)
_WHITE: Colour = (255, 255, 255)
_BLACK: Colour = (0, 0, 0)

_LEAST_TEXT_PX = 11
"""Height of a capital with its descender below which nobody reads it."""
_LEAST_SIDE_PX = 320
"""A picture whose longer side is less is enlarged before anything is drawn: its labels would not fit in."""
_LEAST_LABEL_ROOM = (128, 40)
"""Width and height that a picture is filled up to with black, where it is a mere strip."""
_LARGEST_SIDE_PX = 65_000
"""What a JPEG can hold, less a little; a longer picture is shrunk."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A box and what is written at it.

    `texts` say the same in fewer and fewer letters: the longest that covers no other face is taken.
    """

    box: Box
    label: Label
    texts: tuple[str, ...]


def mark_of(face: Face) -> Mark:
    """`mask 98 %`, `no mask 97 %` (the probability of what is said, rounded down), or `uncertain`."""
    if face.label == Label.MASK:
        return Mark(face.box, face.label, (f"mask {_percent(face.p_mask)} %", "mask"))
    if face.label == Label.NO_MASK:
        return Mark(face.box, face.label, (f"no mask {_percent(1 - face.p_mask)} %", "no mask", "no"))
    return Mark(face.box, face.label, ("uncertain", "?"))


def _percent(share: float) -> int:
    return math.floor(round(share * 100, 4))


def annotated(image: Image, faces: Sequence[Face]) -> Image:
    """A copy of a picture with its faces drawn in; one whose longer side is under 320 pixels comes out enlarged."""
    longest = max(image.shape[:2])
    scale = min(max(1.0, math.ceil(_LEAST_SIDE_PX / longest)), _LARGEST_SIDE_PX / longest)
    return _drawn(image, faces, scale)


def thumbnail(image: Image, faces: Sequence[Face], side: int = _LEAST_SIDE_PX) -> Image:
    """A small copy, whose longer side is `side` pixels, with the faces drawn in."""
    return _drawn(image, faces, side / max(image.shape[:2]))


def _drawn(image: Image, faces: Sequence[Face], scale: float) -> Image:
    canvas = _with_room(_scaled(image, scale))
    if not faces:
        draw_note(canvas, "no face")
    draw(canvas, (replace(mark, box=_scaled_box(mark.box, scale)) for mark in map(mark_of, faces)))
    return canvas


def _scaled(image: Image, scale: float) -> Image:
    if scale == 1:
        return image.copy()
    height, width = image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)


def _scaled_box(box: Box, scale: float) -> Box:
    left, top = round(box.x * scale), round(box.y * scale)
    right, bottom = round((box.x + box.width) * scale), round((box.y + box.height) * scale)
    return Box(left, top, max(1, right - left), max(1, bottom - top))


def _with_room(image: Image) -> Image:
    right, below = (max(0, least - there) for least, there in zip(_LEAST_LABEL_ROOM, image.shape[1::-1], strict=True))
    if not (right or below):
        return image
    return np.asarray(cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_CONSTANT, value=_BLACK), np.uint8)


def draw(image: Image, marks: Iterable[Mark]) -> None:
    """Draws marks into a picture, the largest first, each label where it covers least of the others.

    Args:
        image: BGR; is changed.
        marks: their boxes in pixels of the picture.
    """
    ordered = sorted(marks, key=lambda mark: -mark.box.width * mark.box.height)
    for mark in ordered:
        _draw_box(image, mark)
    boxes = np.array([_corners(mark.box) for mark in ordered], np.float64).reshape(-1, 4)
    plates = np.empty((0, 4))
    for number, mark in enumerate(ordered):
        others = np.delete(boxes, number, axis=0)
        plate, x, y = _best_plate(image, mark, others, plates)
        image[y : y + plate.shape[0], x : x + plate.shape[1]] = plate
        plates = np.vstack([plates, (x, y, x + plate.shape[1], y + plate.shape[0])])


def draw_note(image: Image, text: str) -> None:
    """Writes a few words into the upper left corner of a picture (BGR, at least 128 x 40 pixels; is changed)."""
    plate = _plate(text, _text_height(image, max(image.shape)), _PLAIN, _WHITE)
    inside = plate[: image.shape[0], : image.shape[1]]
    image[: inside.shape[0], : inside.shape[1]] = inside


def _draw_box(image: Image, mark: Mark) -> None:
    """A line around the box with an edge that shows it on a ground of its own colour; kept inside the picture."""
    height, width = image.shape[:2]
    box = mark.box
    line = max(1, min(max(2, round(max(height, width) / 400)), min(box.width, box.height) // 8))
    left, top = max(box.x - line, 1), max(box.y - line, 1)
    right = max(min(box.x + box.width + line, width - 1), left + 1)
    bottom = max(min(box.y + box.height + line, height - 1), top + 1)
    edge = max(1, line // 4)
    for grown, colour in ((edge, _contrast(mark.label)), (0, COLOURS[mark.label])):
        for x0, y0, x1, y1 in _sides(left, top, right, bottom, line, is_dashed=mark.label == Label.UNCERTAIN):
            image[max(y0 - grown, 0) : y1 + grown, max(x0 - grown, 0) : x1 + grown] = colour


def _contrast(label: Label) -> Colour:
    """What shows on the colour of a label."""
    return _BLACK if label == Label.UNCERTAIN else _WHITE


def _sides(
    left: int, top: int, right: int, bottom: int, line: int, *, is_dashed: bool
) -> Iterator[tuple[int, int, int, int]]:
    """The strokes of a frame as rectangles; a dash is a seventh of a side, so that there is one at each corner."""
    shares = [(0, 1 / 7), (2 / 7, 3 / 7), (4 / 7, 5 / 7), (6 / 7, 1)] if is_dashed else [(0.0, 1.0)]
    for start, end in shares:
        x0, x1 = left + round((right - left) * start), left + round((right - left) * end)
        y0, y1 = top + round((bottom - top) * start), top + round((bottom - top) * end)
        yield x0, top, x1, top + line
        yield x0, bottom - line, x1, bottom
        yield left, y0, left + line, y1
        yield right - line, y0, right, y1


def _text_height(image: Image, face_px: int) -> int:
    """In pixels: of the face, but so that it can be read on a screen that shows the picture whole."""
    shortest, longest = sorted(image.shape[:2])
    wanted = min(max(0.25 * face_px, longest / 130), longest / 50, shortest / 4)
    return int(max(_LEAST_TEXT_PX, wanted))


def _best_plate(
    image: Image, mark: Mark, others: NDArray[np.float64], plates: NDArray[np.float64]
) -> tuple[Image, int, int]:
    """The plate with its upper left corner; inside the picture, and cut to it if the picture is smaller."""
    height, width = image.shape[:2]
    own = np.array([_corners(mark.box)], np.float64)
    tried = []
    for shortened, text in enumerate(mark.texts):
        full = _plate(text, _text_height(image, mark.box.height), COLOURS[mark.label], _contrast(mark.label))
        plate = full[:height, :width]
        plate_height, plate_width = plate.shape[:2]
        places = np.array(_places(mark.box, plate_width, plate_height), np.float64)
        places = np.clip(places, 0, (width - plate_width, height - plate_height))
        corners = np.hstack([places, places + np.array([plate_width, plate_height])])
        covered = 3 * _overlaps(corners, plates) + _overlaps(corners, others) + 0.5 * _overlaps(corners, own)
        cost = covered / (plate_width * plate_height) + 0.001 * np.arange(len(places)) + 0.05 * shortened
        cheapest = int(cost.argmin())
        tried.append((float(cost[cheapest]), plate, int(places[cheapest, 0]), int(places[cheapest, 1])))
    return min(tried, key=lambda each: each[0])[1:]


def _places(box: Box, width: int, height: int) -> list[tuple[int, int]]:
    """Upper left corners for a plate, from the one that is liked best."""
    right, bottom = box.x + box.width, box.y + box.height
    line = max(2, height // 8)
    above, below = box.y - height - line, bottom + line
    return [
        (box.x - line, above),
        (right - width + line, above),
        (box.x - line, below),
        (right - width + line, below),
        (right + line, box.y),
        (box.x - width - line, box.y),
        (box.x, box.y),
        (box.x, bottom - height),
    ]


def _corners(box: Box) -> tuple[int, int, int, int]:
    return box.x, box.y, box.x + box.width, box.y + box.height


def _overlaps(some: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each rectangle of `some`, shape (n, 4), how many pixels of it lie in rectangles of `others`, shape (m, 4)."""
    from_ = np.maximum(some[:, np.newaxis, :2], others[np.newaxis, :, :2])
    to = np.minimum(some[:, np.newaxis, 2:], others[np.newaxis, :, 2:])
    return np.asarray(np.prod(np.maximum(to - from_, 0), axis=2).sum(axis=1), np.float64)


_DRAWN_TEXT_PX = 48
"""Texts are drawn at this height and brought to theirs by area averaging, which is what makes small ones legible."""


@lru_cache(maxsize=512)
def _plate(text: str, text_height: int, ground: Colour, foreground: Colour) -> Image:
    """Text on a plate of its own, BGR, read-only."""
    font, thickness = cv2.FONT_HERSHEY_SIMPLEX, 5
    scale = cv2.getFontScaleFromHeight(font, _DRAWN_TEXT_PX, thickness)
    (width, height), baseline = cv2.getTextSize(text, font, scale, thickness)
    margin = _DRAWN_TEXT_PX // 4
    ink = np.zeros((height + baseline + margin, width + 2 * margin), np.uint8)
    cv2.putText(ink, text, (margin, height + margin * 3 // 4), font, scale, 255, thickness, cv2.LINE_AA)
    shrink = text_height / _DRAWN_TEXT_PX
    size = (round(ink.shape[1] * shrink), round(ink.shape[0] * shrink))
    method = cv2.INTER_AREA if shrink < 1 else cv2.INTER_LINEAR
    opacity = np.asarray(cv2.resize(ink, size, interpolation=method), np.float64)[..., np.newaxis] / 255
    plate = np.asarray(opacity * foreground + (1 - opacity) * ground, np.uint8)
    plate.flags.writeable = False
    return plate
