"""A shipped classifier gives back a run that answers as the file does."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the training extra is not installed")

from edge.errors import ModelError, UsageError
from edge.sources.demo import masked, portrait
from edge.vision.cards import bundled_models, load_card
from edge.vision.geometry import Box, face_input
from edge.vision.tflite import TfliteModel
from train.runs import RunFolder
from train.thaw import thaw
from train.validation import predict

_NAME = "mask_classifier.tflite"
_VIEWS = [Box(140, 20, 256, 330), Box(100, 20, 330, 360), Box(180, 60, 170, 270), Box(0, 300, 200, 200)]
"""In the bundled portrait: the face tight and loose, a part of it, and a corner of the jacket."""


@pytest.fixture
def file(tiny_manifest: Path, tmp_path: Path) -> Path:
    """The bundled classifier with a card that says it was trained on the tiny split."""
    from edge.vision.cards import file_sha256

    shutil.copy(bundled_models() / _NAME, tmp_path / _NAME)
    card = json.loads((bundled_models() / _NAME).with_suffix(".json").read_text())
    card["training"]["data"]["sha256"] = file_sha256(tiny_manifest)
    (tmp_path / _NAME).with_suffix(".json").write_text(json.dumps(card))
    return tmp_path / _NAME


def test_the_run_answers_as_the_file_but_for_what_export_added(file: Path, tiny_manifest: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    thaw(file, tiny_manifest, run)
    card, settings = load_card(file), run.settings()
    assert (settings.size, settings.alpha, settings.labels) == (card.input.width, card.training["alpha"], card.labels)
    assert settings.details["phases"] == card.training["phases"]
    assert settings.details["thawed"] == {"sha256": card.sha256}
    faces = [face for face in (portrait(), masked(portrait())) for _ in _VIEWS]
    pictures = np.stack(
        [
            face_input(face, box, 0.0, (settings.size, settings.size))
            for face, box in zip(faces, _VIEWS * 2, strict=True)
        ]
    )
    shifts = np.array([card.training["logit_shifts"][label] for label in card.labels])
    float_answers = predict(run.best_model(), pictures, settings.pixels) * np.exp(shifts)
    float_answers /= float_answers.sum(axis=1, keepdims=True)
    network = TfliteModel(file, card)
    int8_answers = np.array([next(iter(network.invoke(picture).values())) for picture in pictures])
    assert np.ptp(int8_answers[:, 0]) > 0.8  # Bare and masked are told apart.
    assert np.abs(float_answers - int8_answers).mean() < 0.03


def test_only_the_same_run_is_thawed_over(file: Path, tiny_manifest: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    thaw(file, tiny_manifest, run)
    before = run.best_weights.read_bytes()
    run.best_weights.unlink()
    known = run.settings()
    # Earlier versions did not say of which file the run is.
    run.write_settings(replace(known, details={k: v for k, v in known.details.items() if k != "thawed"}))
    thaw(file, tiny_manifest, run)
    assert len(run.best_weights.read_bytes()) == len(before)
    run.write_settings(replace(run.settings(), seed=99))
    with pytest.raises(UsageError, match="run is not empty: delete it, or give another folder"):
        thaw(file, tiny_manifest, run)
    assert run.settings().seed == 99


def test_a_folder_that_is_being_trained_is_not_thawed_to(file: Path, tiny_manifest: Path, tiny_run: RunFolder) -> None:
    before = tiny_run.best_weights.read_bytes()
    with pytest.raises(UsageError, match="is not empty"):
        thaw(file, tiny_manifest, tiny_run)
    assert tiny_run.best_weights.read_bytes() == before


def test_a_folder_where_no_runtime_can_open_a_model_is_refused(file: Path, tiny_manifest: Path, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    with pytest.raises(UsageError, match=r"caf\\xe9 is not UTF-8"):
        thaw(file, tiny_manifest, RunFolder(folder))
    assert not folder.exists()


def test_another_split_is_refused(tiny_manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="another split"):
        thaw(bundled_models() / _NAME, tiny_manifest, RunFolder(tmp_path / "run"))


def test_a_seed_network_is_refused(tiny_model: Path, tiny_manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no mobilenet_v2"):
        thaw(tiny_model, tiny_manifest, RunFolder(tmp_path / "run"))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"logit_shifts": None}, "does not say how it was trained"),
        ({"alpha": "wide"}, "does not say how it was trained"),
        ({"alpha": 1.0}, "holds another network than its card says"),
    ],
)
def test_a_card_that_does_not_fit_its_file_is_refused(
    changed: dict[str, object], says: str, file: Path, tiny_manifest: Path, tmp_path: Path
) -> None:
    path = file.with_suffix(".json")
    card = json.loads(path.read_text())
    card["training"] |= changed
    path.write_text(json.dumps(card))
    with pytest.raises(ModelError, match=says):
        thaw(file, tiny_manifest, RunFolder(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
