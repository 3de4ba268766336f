"""How often a bare face is called a mask, by the tone of its skin as the picture shows it.

    python benchmarks/skin_tones.py ../shared/data/MANIFEST.csv FILE.tflite --landmarks YUNET.onnx [--split test]

No source says who is who, so the tone is measured: the individual typology angle, arctan((L* - 50) / b*) in degrees, of the
cheeks (Chardon et al. 1991, "Skin colour typology and suntanning pathways"), whose limits of 41 and 10 degrees divide
light, intermediate and brown to dark skin. Light and camera are in it: a face in the shade counts as darker than it is. Shares
are by family; a family has as many votes as any other.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from edge.vision.classifier import MaskClassifier
from edge.vision.geometry import Image
from train.dataset import open_dataset, with_boxes
from train.judging import judge
from train.labels import NO_MASK
from train.metrics import group_weights
from train.regions import LandmarkFinder
from train.views import face_view

_SIDE = 160
_GROUPS = (("light", 41.0, 91.0), ("intermediate", 10.0, 41.0), ("brown to dark", -91.0, 10.0))
_CHEEK = 0.12
"""Half of the side of the patch that is looked at, in distances of the eyes."""


def typology_angle(face: Image, finder: LandmarkFinder) -> float | None:
    """Of a face in BGR; None if no face is found in it."""
    found = finder.find(face)
    if found is None:
        return None
    eyes, mouth = found[1][:2], found[1][3:]
    reach = max(2, round(_CHEEK * float(np.linalg.norm(eyes[0] - eyes[1]))))
    lab = cv2.cvtColor(face.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    patches = []
    for x, y in np.round((eyes + mouth) / 2).astype(int):
        patch = lab[max(0, y - reach) : y + reach, max(0, x - reach) : x + reach]
        patches.append(patch.reshape(-1, 3))
    lightness, _, yellow = np.median(np.concatenate(patches), axis=0)
    return float(np.degrees(np.arctan2(lightness - 50, max(yellow, 1e-3))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--landmarks", type=Path, required=True)
    parser.add_argument("--split", choices=("val", "test"), default="test")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    dataset, finder = with_boxes(open_dataset(options.manifest)), LandmarkFinder(options.landmarks)
    bare = [s for s in dataset.part(options.split) if s.label == NO_MASK and not s.drawn_on]
    seen = judge(options.file, bare, dataset.store())
    edges, store = MaskClassifier(str(options.file)).card.thresholds, dataset.store()
    assert edges is not None, "the card has no thresholds"
    views = [face_view(s.kind, store.image(s.path), s.box, 0.15, _SIDE)[..., ::-1] for s in seen.samples]
    angles = np.array(
        [np.nan if (angle := typology_angle(np.ascontiguousarray(v), finder)) is None else angle for v in views]
    )
    print(f"{len(bare)} bare faces, {int(np.isnan(angles).sum())} without landmarks")
    print("| skin | faces | families | p_mask over 0.5 | called mask | uncertain |\n|---|---|---|---|---|---|")
    for name, least, most in _GROUPS:
        index = np.flatnonzero((angles >= least) & (angles < most))
        samples = [seen.samples[i] for i in index]
        weights, p_mask = group_weights(samples), seen.p_mask[index]
        called, decided = p_mask >= edges.mask_above, (p_mask >= edges.mask_above) | (p_mask <= edges.no_mask_below)
        shares = [float(np.average(flags, weights=weights)) for flags in (p_mask >= 0.5, called, ~decided)]
        families = len({sample.group for sample in samples})
        print(f"| {name} | {len(samples)} | {families} | " + " | ".join(f"{share:.4f}" for share in shares) + " |")


if __name__ == "__main__":
    main()
