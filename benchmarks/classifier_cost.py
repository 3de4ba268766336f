"""What one face costs: python benchmarks/classifier_cost.py MODEL.tflite...

Each model judges the same random crop, one thread, after a warm-up; minimum and median in milliseconds, and the size of
the file. Figures of one machine compare models, not machines.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np

from edge.vision.cards import load_card
from edge.vision.tflite import TfliteModel, runtime_name

ROUNDS = 400


def measure(path: Path) -> tuple[float, float]:
    """Minimum and median of `ROUNDS` calls in milliseconds."""
    card = load_card(path)
    model = TfliteModel(path, card)
    face = np.random.default_rng(0).integers(0, 256, (card.input.height, card.input.width, 3)).astype(np.uint8)
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        model.invoke(face)
        times.append((time.perf_counter() - began) * 1000)
    return min(times[20:]), statistics.median(times[20:])


if __name__ == "__main__":
    print(runtime_name())
    for name in sys.argv[1:]:
        low, middle = measure(Path(name))
        print(f"{name}: {low:.2f} ms at least, {middle:.2f} ms median, {Path(name).stat().st_size / 1e6:.2f} MB")
