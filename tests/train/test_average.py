from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge.errors import UsageError
from edge.vision.cards import load_card

pytest.importorskip("tensorflow", reason="the training extra is not installed")

from train.average import mean_model
from train.export import export
from train.runs import RunFolder


@pytest.fixture
def other_run(tiny_run: RunFolder, tmp_path: Path) -> RunFolder:
    """The tiny run with all of its weights twice as large, as if it had been trained with another seed."""
    other = RunFolder(tmp_path / "other")
    shutil.copytree(tiny_run.path, other.path)
    _change(other, seed=4, manifest_path=str(_manifest(tiny_run)))
    model = tiny_run.best_model()
    model.set_weights([2 * weights for weights in model.get_weights()])
    model.save_weights(str(other.best_weights))
    return other


def _manifest(run: RunFolder) -> Path:
    return (run.path / run.settings().manifest_path).resolve()


def _change(run: RunFolder, **settings: object) -> None:
    file = run.path / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def test_the_mean_lies_halfway_between_two_runs(tiny_run: RunFolder, other_run: RunFolder) -> None:
    mean = mean_model([tiny_run, other_run]).get_weights()
    for got, one in zip(mean, tiny_run.best_model().get_weights(), strict=True):
        np.testing.assert_allclose(got, 1.5 * one, rtol=1e-5)


def test_the_card_of_a_mean_names_the_other_runs(tiny_run: RunFolder, other_run: RunFolder, tmp_path: Path) -> None:
    export(other_run, tmp_path / "mean.tflite", average=[tiny_run])
    card = load_card(tmp_path / "mean.tflite")
    assert card.training["seed"] == 4
    assert card.training["averaged_with"] == [{"command": "maskgate-train fit", "seed": 3}]


def test_the_card_of_a_mean_with_thawed_runs_names_those_of_this_export(
    tiny_run: RunFolder, other_run: RunFolder, tmp_path: Path
) -> None:
    before = [{"command": "maskgate-train fit long ago", "seed": 9}]
    details = tiny_run.settings().details
    _change(other_run, details=details | {"averaged_with": before, "thawed": {"sha256": "1" * 64}})
    export(other_run, tmp_path / "mean.tflite", average=[tiny_run])
    training = load_card(tmp_path / "mean.tflite").training
    assert training["averaged_with"] == [{"command": "maskgate-train fit", "seed": 3}]
    assert training["thawed"] == {"sha256": "1" * 64, "averaged_with": before}
    third = RunFolder(Path(shutil.copytree(tiny_run.path, tiny_run.path.with_name("third"))))
    export(third, tmp_path / "again.tflite", average=[other_run])
    training = load_card(tmp_path / "again.tflite").training
    assert training["averaged_with"] == [{"command": "maskgate-train fit", "seed": 4, "thawed": "1" * 64}]


@pytest.mark.parametrize("name", ["run.tflite", "model.tflite", "best.weights.h5.tflite"])
def test_a_mean_is_not_written_over_the_runs_that_it_is_of(
    name: str, tiny_model: Path, tiny_run: RunFolder, other_run: RunFolder
) -> None:
    assert tiny_model.is_file()  # So that there is a model.tflite in the other run, too.
    if name.startswith("best"):
        (other_run.path / name).symlink_to("best.weights.h5")
    before = {file.name: file.read_bytes() for file in other_run.path.iterdir()}
    with pytest.raises(UsageError, match="is read here and would be written over"):
        export(tiny_run, other_run.path / name, average=[other_run])
    assert {file.name: file.read_bytes() for file in other_run.path.iterdir()} == before


@pytest.mark.parametrize("other", [{"manifest_sha256": "0" * 64}, {"size": 96}])
def test_runs_of_another_split_or_network_are_not_averaged(
    tiny_run: RunFolder, other_run: RunFolder, other: dict[str, object]
) -> None:
    _change(other_run, **other)
    with pytest.raises(UsageError, match="another network or another split"):
        mean_model([tiny_run, other_run])
