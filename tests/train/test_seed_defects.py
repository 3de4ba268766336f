"""One test for each defect of the two seed projects, so that none of them comes back."""

from __future__ import annotations

import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from edge.vision.cards import ModelCard, Thresholds, load_card
from edge.vision.classifier import MaskClassifier, label_of
from edge.vision.geometry import Box
from edge.vision.tflite import TfliteModel
from support.drawn import drawn_face
from train.dataset import open_dataset
from train.evaluation import figures_of
from train.judging import judge
from train.regions import cut
from train.samples import Sample
from train.split import Ratios, grouped, leaking_groups, reshuffled, split
from train.views import face_view

ROOT = Path(__file__).parents[2]


def test_training_and_serving_read_the_same_pixels() -> None:
    """Seed: rescaled by 1/255 in training, not at all in the notebook's prediction and in the app."""
    from train.architectures import SYMMETRIC
    from train.quantize import scaled

    classifier = MaskClassifier("mask_classifier")
    card = classifier.card
    image = drawn_face(np.random.default_rng(1), masked=True, size=200)
    box = Box(40, 20, 120, 160)
    region = cut(image, Sample("a", "mask", kind="boxed", box=box), None)
    trained = face_view("boxed", region.image, region.box, card.crop.margin, card.input.width)
    served = classifier.crop(image, box, card.crop.margin)
    assert np.array_equal(trained, served)
    dequantized = (served.astype(np.float64) - card.input.zero_point) * card.input.scale
    assert np.abs(dequantized - scaled(trained, SYMMETRIC)).max() < 1e-6


def test_swapped_labels_fail_loudly(tiny_model: Path, tiny_manifest: Path, tmp_path: Path) -> None:
    """Seed: `> 0.5` was taken for mask while Mask was class 0. Here the labels travel with the model."""
    dataset = open_dataset(tiny_manifest)
    swapped = json.loads(tiny_model.with_suffix(".json").read_text())
    swapped["labels"].reverse()
    (tmp_path / "m.tflite").write_bytes(tiny_model.read_bytes())
    (tmp_path / "m.json").write_text(json.dumps(swapped))
    right, wrong = (
        figures_of(judge(path, dataset.part("test"), dataset.store()))["balanced_accuracy"]
        for path in (tiny_model, tmp_path / "m.tflite")
    )
    assert (right, wrong) == (1.0, 0.0)


def test_a_label_comes_from_thresholds_never_from_equality() -> None:
    """Seed: `classes == 0` on a float, which is true for hardly any face."""
    thresholds = Thresholds(mask_above=0.7, no_mask_below=0.3)
    assert [label_of(p, thresholds) for p in (0.0, 1e-9, 0.299, 0.5, 0.7, 0.999)] == [
        *("no_mask", "no_mask", "no_mask", "uncertain", "mask", "mask")
    ]


@pytest.mark.parametrize(
    ("preset", "arch"),
    [("maskgate", "mobilenet_v2"), ("bangkit", "mobilenet_v2"), ("bangkit", "cnn3"), ("fakhrezi", "cnn4")],
)
def test_a_perfect_answer_costs_nothing(preset: str, arch: str) -> None:
    """Seed: a softmax inside a loss that applies another one, so that the loss never fell below 0.3133."""
    pytest.importorskip("tensorflow", reason="the training extra is not installed")
    from dataclasses import replace

    from train.fit import _loss, _wanted
    from train.presets import PRESETS

    chosen = replace(PRESETS[preset][arch], smoothing=0.0)
    targets = np.array([0, 1, 1, 0])
    logits = 30 * (2.0 * _wanted(targets, chosen) - 1)
    assert float(_loss(chosen)(_wanted(targets, chosen), logits)) < 1e-3


def test_fine_tuning_moves_the_layers_that_it_thaws() -> None:
    """Seed: layers from 100 on were thawed and compiled, and `fit` was never called again."""
    pytest.importorskip("tensorflow", reason="the training extra is not installed")
    from dataclasses import replace

    from train.architectures import ARCHITECTURES, load_keras
    from train.fit import prepare_phase
    from train.presets import PRESETS

    preset = replace(PRESETS["bangkit"]["mobilenet_v2"], size=64, alpha=0.35)
    assert [phase.train_from for phase in preset.phases] == [-1, 100]
    assert preset.phases[1].epochs > 0
    load_keras().utils.set_random_seed(2)
    model = ARCHITECTURES[preset.arch](preset.size, preset.outputs, preset.alpha, None)
    prepare_phase(model, preset.phases[1], preset)
    model.run_eagerly = True
    before = {layer.name: layer.get_weights() for layer in model.layers if layer.get_weights()}
    pixels = np.random.default_rng(1).random((4, 64, 64, 3), np.float32)
    model.train_on_batch(pixels, np.eye(2, dtype=np.float32)[[0, 0, 1, 0]])
    moved = {
        name
        for name, weights in before.items()
        if any(not np.array_equal(a, b) for a, b in zip(weights, model.get_layer(name).get_weights(), strict=True))
    }
    frozen = {layer.name for layer in model.layers[:100]}
    assert not moved & frozen
    assert "logits" in moved
    assert moved & {layer.name for layer in model.layers[100:] if layer.name.startswith(("block", "Conv"))}


def test_no_picture_is_in_two_parts_after_reshuffling_and_a_second_split_changes_nothing(tiny_folder: Path) -> None:
    """Seed: the cell that redistributes files ran twice, unseeded; pictures were in both parts."""
    samples = grouped(open_dataset(tiny_folder)).samples
    for mixed in (reshuffled(samples, 5), split(samples, Ratios(), 5)):
        parts = defaultdict(set)
        for sample in mixed:
            parts[sample.sha256].add(sample.split)
        assert all(len(found) == 1 for found in parts.values())
        assert not leaking_groups(mixed)
    again = reshuffled(reshuffled(samples, 5), 5)
    assert again == reshuffled(samples, 5)


def test_a_name_with_dots_survives(tmp_path: Path, tiny_folder: Path) -> None:
    """Seed: the ending was taken by `split('.')[1]`, so that `4.4.png` and 38 others were silently left out."""
    (tmp_path / "Mask").mkdir()
    for name in ("4.4.png", "27.9.jpg", "a.b.c.PNG"):
        (tmp_path / "Mask" / name).write_bytes((tiny_folder / "Train/Mask/0.0.png").read_bytes())
    assert [s.name for s in open_dataset(tmp_path).samples] == ["27.9.jpg", "4.4.png", "a.b.c.PNG"]
    assert len(grouped(open_dataset(tmp_path)).samples) == 3


def test_the_output_is_scaled_by_the_files_own_parameters(tiny_model: Path) -> None:
    """Seed: the app divided a float output by 255 and showed 0.4 % for a certain face."""
    network = TfliteModel(tiny_model, load_card(tiny_model))
    size = load_card(tiny_model).input.width
    for level in (0, 128, 255):
        output = next(iter(network.invoke(np.full((size, size, 3), level, np.uint8)).values()))
        assert float(output.sum()) == pytest.approx(1.0, abs=0.02)


def test_the_name_of_a_model_holds_its_hash(tiny_model: Path) -> None:
    """Seed: an option `QUANTIZED_EFFICIENTNET` loaded another network. Here each event names the file by its hash."""
    card: ModelCard = load_card(tiny_model)
    assert MaskClassifier(str(tiny_model)).model.identity == f"tiny@{card.sha256[:8]}"


def test_no_notebook_and_no_secret_is_kept() -> None:
    """Seed: a notebook's output showed a live credential."""
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert not [name for name in names if name.endswith(".ipynb")]
    secret = re.compile(
        r"(AKIA[0-9A-Z]{16}|ghp_[A-Za-z0-9]{36}|AIza[0-9A-Za-z_-]{35}|-----BEGIN [A-Z ]*PRIVATE KEY-----)"
    )
    for name in names:
        path = ROOT / name
        if path.is_file() and path.suffix in {".py", ".md", ".toml", ".json", ".sh", ".csv", ".txt", ".service"}:
            assert not secret.search(path.read_text(encoding="utf-8", errors="replace")), name


def test_two_runs_of_one_seed_are_the_same_run(tiny_manifest: Path, tmp_path: Path) -> None:
    """Seed: nothing was seeded, and the validation part decided when to stop and how good it was."""
    pytest.importorskip("tensorflow", reason="the training extra is not installed")
    from train.choices import Choices
    from train.experiment import fit
    from train.fit import Progress
    from train.runs import RunFolder

    losses = []
    for name in ("one", "two"):
        records = fit(
            tiny_manifest, RunFolder(tmp_path / name), Choices(arch="cnn4", size=64, epochs=1, seed=8), Progress()
        )
        losses.append((records[0].loss, records[0].val_loss))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
