"""A student learns what its teacher answers to the same pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import UsageError

pytest.importorskip("tensorflow", reason="the training extra is not installed")

from train.choices import Choices
from train.experiment import fit
from train.fit import Progress
from train.runs import RunFolder
from train.teacher import Teacher, teacher_of


class _Sums:
    """Logits that follow from the pictures alone."""

    def predict_on_batch(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return values.sum(axis=(1, 2))


def test_the_answer_wanted_lies_between_label_and_teacher() -> None:
    pictures = np.zeros((2, 2, 2, 3), np.float32)
    pictures[1, 0, 0] = (np.log(6), np.log(3), 0)
    labels = np.eye(3, dtype=np.float32)[[2, 2]]
    wanted = Teacher(_Sums(), share=0.6).soften(pictures, labels)
    assert wanted[0] == pytest.approx([0.2, 0.2, 0.6], abs=1e-6)
    assert wanted[1] == pytest.approx([0.36, 0.18, 0.46], abs=1e-6)


def test_a_run_with_a_teacher_asks_it_about_every_batch(
    tiny_manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    tf.config.run_functions_eagerly(run_eagerly=True)
    try:
        choices = Choices(size=32, steps=2, epochs=1, alpha=0.35, command="the teacher's command")
        earlier = RunFolder(tmp_path / "teacher")
        fit(tiny_manifest, earlier, choices, Progress())
        asked: list[tuple[int, ...]] = []
        soften = Teacher.soften

        def watched(self: Teacher, values: Any, wanted: Any) -> Any:
            asked.append(values.shape)
            return soften(self, values, wanted)

        monkeypatch.setattr(Teacher, "soften", watched)
        run = RunFolder(tmp_path / "student")
        fit(tiny_manifest, run, replace(choices, teacher=earlier.path), Progress())
    finally:
        tf.config.run_functions_eagerly(run_eagerly=False)
    assert asked == [(32, 32, 32, 3)] * 4
    assert run.settings().details["teacher"] == "the teacher's command"


def test_a_teacher_of_other_labels_or_another_split_is_refused(tiny_run: RunFolder) -> None:
    settings = tiny_run.settings()
    with pytest.raises(UsageError, match="cannot teach"):
        teacher_of(tiny_run, settings)  # It has one output for two labels.
    one_size = replace(settings, outputs=2)
    tall = RunFolder(tiny_run.path.with_name("two_outputs"))
    tall.write_settings(one_size)
    with pytest.raises(UsageError, match="cannot teach"):
        teacher_of(tall, replace(one_size, size=96))
    with pytest.raises(UsageError, match="another split"):
        teacher_of(tall, replace(one_size, manifest_sha256="0" * 64))
