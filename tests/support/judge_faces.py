"""Judges 60 face pictures and prints runtime and probabilities as JSON: run by the interpreter of each runtime."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

from edge.vision.analyzer import Analyzer
from edge.vision.classifier import MaskClassifier
from edge.vision.image import decode
from edge.vision.tflite import runtime_name

faces = []
for archive in ("extra_mask.zip", "extra_no_mask.zip"):
    with zipfile.ZipFile(Path(sys.argv[1]) / archive) as pictures:
        names = sorted(name for name in pictures.namelist() if name.endswith(".jpg"))
        faces += [decode(pictures.read(name)) for name in names[:: len(names) // 30][:30]]
analyzer = Analyzer(None, MaskClassifier("mask_classifier"), 8)
print(json.dumps({"runtime": runtime_name(), "p_mask": [analyzer.analyze(face)[0].p_mask for face in faces]}))  # noqa: T201
