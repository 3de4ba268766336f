from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="the training extra is not installed")

from edge.errors import ModelError, UsageError
from edge.vision.cards import find_model
from edge.vision.geometry import Box
from train.dataset import open_dataset
from train.evaluation import figures_of
from train.judging import judge
from train.report import write_report
from train.runs import RunFolder
from train.samples import Sample
from train.slices import Slice, worst_slice


def test_figures_are_counted_by_group_and_named(tiny_model: Path, tiny_manifest: Path) -> None:
    dataset = open_dataset(tiny_manifest)
    figures = figures_of(judge(tiny_model, dataset.part("test"), dataset.store()))
    assert figures["balanced_accuracy"] == 1.0
    assert figures["mask_recall"] == figures["no_mask_recall"] == 1.0
    assert figures["badly_worn_called_mask"] is None
    assert {"size: from 64 px", "mask: real", "mask: none"} <= {part["name"] for part in figures["slices"]}


def test_a_sample_that_cannot_be_read_is_counted_and_not_judged(tiny_model: Path, tiny_manifest: Path) -> None:
    dataset = open_dataset(tiny_manifest)
    seen = judge(tiny_model, [*dataset.part("test"), Sample("gone.jpg", "mask")], dataset.store())
    assert (len(seen.samples), seen.unreadable) == (len(dataset.part("test")), ("gone.jpg",))


def test_a_file_of_another_task_is_refused(tiny_manifest: Path) -> None:
    detector = find_model("face_detector")
    with pytest.raises(ModelError, match="face-detector, not a mask-classifier"):
        judge(detector, open_dataset(tiny_manifest).part("test"), open_dataset(tiny_manifest).store())


def test_a_small_slice_is_never_the_worst() -> None:
    parts = [Slice("few", 3, 3, 0.1, 0.0), Slice("many", 90, 60, 0.9, 0.0), Slice("good", 90, 60, 0.99, 0.0)]
    assert worst_slice(parts) == parts[1]
    assert worst_slice(parts[:1]) is None


def test_the_report_is_one_file_with_everything_in_it(tiny_model: Path, tiny_run: RunFolder, tmp_path: Path) -> None:
    write_report(tiny_run, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    for title in ("Figures on test", "Training", "Right and wrong", "Confidence", "Slices", "Worst mistakes"):
        assert f"<h2>{title}</h2>" in text
    assert "0.9691" in text
    assert 'src="http' not in text
    assert text.count('src="data:image/png') == 4
    assert (tiny_run.path / "curves.png").is_file()


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (["with", "without"], "a mask classifier has mask and no_mask"),
        (["mask", "no_mask", "not_a_face"], "gives 2 probabilities, and its card has 3 labels"),
    ],
)
def test_a_card_with_other_labels_than_the_file_is_refused(
    labels: list[str], says: str, tiny_model: Path, tiny_manifest: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copy(tiny_model, tmp_path))
    card = json.loads(tiny_model.with_suffix(".json").read_text())
    model.with_suffix(".json").write_text(json.dumps({**card, "labels": labels}))
    dataset = open_dataset(tiny_manifest)
    with pytest.raises(ModelError, match=says):
        judge(model, dataset.part("test"), dataset.store())


def test_a_box_that_does_not_lie_in_its_picture_is_named(tiny_model: Path, tiny_manifest: Path) -> None:
    dataset = open_dataset(tiny_manifest)
    sample = replace(dataset.part("test")[0], kind="boxed", box=Box(500, 20, 60, 60))
    with pytest.raises(UsageError, match="does not lie in the picture of 96 x 96"):
        judge(tiny_model, [sample], dataset.store())
