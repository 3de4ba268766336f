"""Faces as the analyzer gives them, made up."""

from __future__ import annotations

from edge.vision.analyzer import Face
from edge.vision.classifier import Label
from edge.vision.geometry import Box


def face(label: str = "mask", x: int = 100, y: int = 100, size: int = 60, *, too_small: bool = False) -> Face:
    p_mask = {"mask": 0.97, "no_mask": 0.03, "uncertain": 0.5}[label]
    return Face(Box(x, y, size, size), 0.9, Label(label), p_mask, 100.0, too_small)
