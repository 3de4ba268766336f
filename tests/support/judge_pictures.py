"""Looks at a folder of pictures with the shipped models and prints what it saw as JSON: run by each interpreter."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edge.vision.analyzer import Analyzer
from edge.vision.cards import bundled_models, load_card
from edge.vision.classifier import MaskClassifier
from edge.vision.detector import load_detector
from edge.vision.image import decode
from edge.vision.tflite import TfliteModel, runtime_name


def outputs_of(path: Path) -> dict[str, list[float]]:
    """What a model makes of noise, the same noise everywhere, in each of its sizes: about 500 values of each output."""
    card = load_card(path)
    model, found = TfliteModel(path, card), {}
    for width, height in card.input.sizes:
        noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
        for name, values in model.invoke(noise).items():
            step = max(1, values.size // 500)
            found[f"{width}x{height} {name}"] = values.reshape(-1)[::step].tolist()
    return found


def main(folder: Path) -> dict[str, Any]:
    analyzer = Analyzer(load_detector("face_detector", 0.5), MaskClassifier("mask_classifier"), 24)
    faces = {
        path.name: [
            {"box": [face.box.x, face.box.y, face.box.width, face.box.height], "score": face.score}
            | {"p_mask": face.p_mask, "label": face.label}
            for face in analyzer.analyze(decode(path.read_bytes()))
        ]
        for path in sorted(folder.iterdir())
    }
    models = {path.stem: outputs_of(path) for path in sorted(bundled_models().glob("*.tflite"))}
    return {"runtime": runtime_name(), "machine": os.uname().machine, "faces": faces, "models": models}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))))
