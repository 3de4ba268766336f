"""One HTML file about a run: how it was trained, how good its int8 file is on `test`, and where it is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import UsageError
from edge.vision.cards import load_card
from train import plots
from train.dataset import Dataset, open_dataset, with_boxes
from train.evaluation import figures_of
from train.export import manifest_of
from train.files import check_output, write_output
from train.judging import Judgements, judge
from train.pages import drawing, page, paragraph, section, table, thumbnail
from train.progress import Count, uncounted
from train.published import SEEDS
from train.runs import RunFolder
from train.views import face_view

_WORST = 48
_NO_FACES = "The test part has no real faces with a label."


def write_report(run: RunFolder, output: Path, progress: Count = uncounted) -> tuple[str, ...]:
    """Measures the run's int8 file on `test` and writes the page; the curves are also put into the run folder.

    Returns:
        The pictures of `test` that could not be read.

    Raises:
        UsageError: the run has not been exported yet.
    """
    model = run.model
    if not model.is_file():
        raise UsageError(f"{run.path} holds no int8 file yet: `maskgate-train export` first")
    output.parent.mkdir(parents=True, exist_ok=True)
    manifest = manifest_of(run, run.settings())
    dataset = with_boxes(open_dataset(manifest))
    check_output(output, model, model.with_suffix(".json"), manifest, *run.kept(), *dataset.files())
    seen = judge(model, dataset.part("test"), dataset.store(), progress=progress)
    real = seen.chosen(seen.real_faces)
    figures = figures_of(seen)
    history = run.history()
    drawn = plots.curves(history)
    write_output(run.path / "curves.png", drawn)
    title = f"{load_card(model).model_file(model).identity}, {run.settings().preset}"
    write_output(
        output,
        page(
            title,
            [
                section("Figures on test", _figures(figures), _seeds()),
                section("Training", drawing(drawn, "accuracy and loss by epoch"), _settings(run)),
                section("Right and wrong", *_right_and_wrong(real)),
                section("Confidence", _confidence(real)),
                section("Slices", _worst_slice(figures), _slices(figures)),
                section("Worst mistakes", *_mistakes(seen, dataset)),
            ],
        ),
    )
    return seen.unreadable


def _figures(figures: dict[str, Any]) -> str:
    rows = [(name.replace("_", " "), value) for name, value in figures.items() if name not in ("slices", "worst_slice")]
    return table(("", "by group"), rows)


def _seeds() -> str:
    rows = [
        (row.project, row.network, f"{row.parameters:,}", row.epochs, row.validation_accuracy, row.best, row.unseen)
        for row in SEEDS
    ]
    head = ("published by", "network", "parameters", "epochs", "validation", "best", "right on new pictures")
    return paragraph("What the seed projects published, on validation parts that leak:") + table(head, rows)


def _right_and_wrong(real: Judgements) -> Iterable[str]:
    if not real.samples:
        yield paragraph(_NO_FACES)
        return
    yield drawing(plots.confusion_matrix(real), "confusion matrix")
    if len(set(real.is_mask)) == 2:
        yield drawing(plots.receiver(real), "receiver operating characteristic")
    else:
        yield paragraph(f"All real faces of test are {real.samples[0].label}: there is no curve to draw.")


def _confidence(real: Judgements) -> str:
    return drawing(plots.reliability(real), "reliability diagram") if real.samples else paragraph(_NO_FACES)


def _settings(run: RunFolder) -> str:
    settings = run.settings()
    rows: list[tuple[str, object]] = [
        ("network", f"{settings.arch}, width {settings.alpha:g}, {settings.size} px"),
        ("weights", settings.weights or "random"),
        ("manifest", f"{settings.manifest}, sha256 {settings.manifest_sha256[:12]}"),
        ("seed", settings.seed),
        ("command", settings.command),
        *settings.details.items(),
    ]
    return table(("", ""), rows)


def _worst_slice(figures: dict[str, Any]) -> str:
    worst = figures["worst_slice"]
    if worst is None:
        return paragraph("No slice has enough groups to be judged.")
    return paragraph(f"Worst: {worst['name']}, {worst['right']} right on {worst['groups']} groups.")


def _slices(figures: dict[str, Any]) -> str:
    rows = [tuple(part.values()) for part in figures["slices"]]
    return table(("slice", "faces", "groups", "right", "uncertain"), rows)


def _mistakes(seen: Judgements, dataset: Dataset) -> Iterable[str]:
    """The surest wrong answers, one a group."""
    wanted = seen.chosen(seen.real_faces | seen.badly_worn)
    p_mask, is_mask = wanted.p_mask, wanted.is_mask
    wrong = np.where(is_mask, 1 - p_mask, p_mask)
    store = dataset.store()
    card = seen.card
    groups: set[str] = set()
    for index in np.argsort(-wrong):
        sample = wanted.samples[int(index)]
        if wrong[index] < 0.5 or len(groups) == _WORST:
            break
        if sample.group in groups:
            continue
        groups.add(sample.group)
        face = face_view(sample.kind, store.image(sample.path), sample.box, card.crop.margin, card.input.width)
        yield thumbnail(face, f"{sample.label}, p_mask {p_mask[index]:.2f}")
    if not groups:
        yield paragraph("None.")
