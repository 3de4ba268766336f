from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.errors import UsageError

pytest.importorskip("tensorflow", reason="the training extra is not installed")

from train.architectures import mobilenet_v2
from train.average import EVERY, WeightAverage
from train.choices import Choices, chosen_preset
from train.experiment import fit
from train.files import replacing
from train.fit import Progress, Trainer, prepare_phase
from train.presets import PRESETS, Phase
from train.runs import EpochRecord, RunFolder
from train.storage import PictureStore
from train.validation import Validation, ValidationSet

_TINY = Choices(arch="cnn4", size=64, epochs=10, seed=3)
"""What the tiny run was made with."""


def test_the_run_learns_and_keeps_its_best_weights(tiny_run: RunFolder) -> None:
    history = tiny_run.history()
    assert max(record.val_accuracy for record in history) == 1.0
    assert tiny_run.best_weights.is_file()
    assert history[0].loss > history[-1].loss


def test_a_phase_ends_when_the_preset_says_so(tiny_run: RunFolder) -> None:
    history = tiny_run.history()
    for record in history[:-1]:
        assert min(record.accuracy, record.val_accuracy) < 0.95
    assert len(history) == 10 or min(history[-1].accuracy, history[-1].val_accuracy) >= 0.95


def test_no_picture_of_the_test_part_is_opened(
    tiny_manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train.samples import read_manifest

    opened: set[str] = set()
    read = PictureStore.read

    def watched(self: PictureStore, path: str) -> bytes:
        opened.add(path)
        return read(self, path)

    monkeypatch.setattr(PictureStore, "read", watched)
    fit(tiny_manifest, RunFolder(tmp_path / "run"), Choices(arch="cnn4", size=64, epochs=1), Progress())
    assert opened
    assert not opened & {sample.path for sample in read_manifest(tiny_manifest) if sample.split == "test"}


def test_an_interrupted_run_goes_on_where_it_stood(tiny_manifest: Path, tmp_path: Path) -> None:
    choices = Choices(arch="cnn3", size=64, epochs=3)
    run = RunFolder(tmp_path / "run")

    def stop(*_: Any) -> None:
        raise InterruptedError("somebody pulled the plug")

    with pytest.raises(InterruptedError):
        fit(tiny_manifest, run, choices, Progress(epoch=stop))
    assert [record.epoch for record in run.history()] == [1]
    fit(tiny_manifest, run, choices, Progress())
    assert [record.epoch for record in run.history()] == [1, 2, 3]
    history = (run.path / "history.csv").read_text()
    assert [line.partition(",")[0] for line in history.splitlines()] == ["epoch", "1", "2", "3"]
    (run.path / "history.csv").write_text(history.replace("\n1,", "\n1.0,"))  # As earlier versions wrote it.
    assert str(run.history()[0].epoch) == "1"
    assert run.history()[2].loss < run.history()[0].loss


def test_an_interrupted_run_becomes_the_same_as_one_that_was_not(tiny_manifest: Path, tmp_path: Path) -> None:
    choices = Choices(arch="cnn4", size=64, epochs=3)  # It has dropout.

    def stop(*_: Any) -> None:
        raise InterruptedError("somebody pulled the plug")

    whole, broken = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "broken")
    fit(tiny_manifest, whole, choices, Progress())
    with pytest.raises(InterruptedError):
        fit(tiny_manifest, broken, choices, Progress(epoch=stop))
    fit(tiny_manifest, broken, choices, Progress())
    assert len(whole.history()) == 3
    for there, here in zip(whole.history(), broken.history(), strict=True):
        assert there.loss == pytest.approx(here.loss, rel=1e-4)
        assert there.val_loss == pytest.approx(here.val_loss, rel=1e-4)


@pytest.mark.parametrize("step", [(WeightAverage, "save"), (RunFolder, "write_state")])
def test_a_run_that_was_killed_while_saving_goes_on_from_the_epoch_before(
    step: tuple[type, str], tiny_manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = Choices(arch="cnn3", size=64, epochs=2)
    run = RunFolder(tmp_path / "run")
    where, name = step
    save = getattr(where, name)

    def killed(self: Any, *given: Any) -> None:
        if len(run.history()) == 2:
            raise InterruptedError("killed")
        save(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(where, name, killed)
        with pytest.raises(InterruptedError):
            fit(tiny_manifest, run, choices, Progress())
    assert run.read_state().done == 1
    fit(tiny_manifest, run, choices, Progress())
    assert [record.epoch for record in run.history()] == [1, 2]
    assert sorted(file.name for file in run.path.iterdir()) == [
        *("average.2.npz", "best.weights.h5", "history.csv", "last.2.keras", "run.json", "state.json")
    ]


def test_a_draft_that_is_not_finished_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "best.weights.h5"
    file.write_text("whole")

    def killed() -> None:
        with replacing(file) as draft:
            assert draft.name.endswith(".weights.h5")
            draft.write_text("ha")
            raise InterruptedError("killed")

    with pytest.raises(InterruptedError):
        killed()
    assert file.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", ["state.json", "history.csv", "average.*.npz", "last.*.keras"])
def test_a_damaged_file_of_a_run_is_named_with_the_cure(name: str, tiny_run: RunFolder, tiny_manifest: Path) -> None:
    run = _copy(tiny_run, f"damaged {name[:5]}")
    (file,) = run.path.glob(name)
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(UsageError, match=f"{re.escape(str(file))} is damaged.* give another one with -o"):
        fit(tiny_manifest, run, _TINY, Progress())


def test_a_history_that_has_lost_an_epoch_is_refused(tiny_run: RunFolder, tiny_manifest: Path) -> None:
    run = _copy(tiny_run, "forgetful")
    run.write_history(run.history()[:-1])
    with pytest.raises(UsageError, match="has lost epochs"):
        fit(tiny_manifest, run, _TINY, Progress())


def test_damaged_best_weights_are_named(tiny_run: RunFolder) -> None:
    run = _copy(tiny_run, "damaged best")
    whole = run.best_weights.read_bytes()
    # HDF5 says the second in another way than the first.
    for content in (b"no weights", whole.replace(b"HEAP", b"HEAQ")):
        run.best_weights.write_bytes(content)
        with pytest.raises(UsageError, match=r"best\.weights\.h5 is damaged"):
            run.best_model()


def _copy(run: RunFolder, name: str) -> RunFolder:
    """Beside the run, so that the way to the manifest stays the same."""
    return RunFolder(Path(shutil.copytree(run.path, run.path.with_name(name), dirs_exist_ok=True)))


def test_a_folder_with_another_run_is_not_written_over(tiny_run: RunFolder, tiny_manifest: Path) -> None:
    with pytest.raises(UsageError, match="other settings"):
        fit(tiny_manifest, tiny_run, Choices(arch="cnn4", size=64, epochs=10, seed=4), Progress())


def test_a_frozen_backbone_keeps_its_weights_and_statistics_and_a_thawed_one_moves() -> None:
    preset = replace(PRESETS["maskgate"]["mobilenet_v2"], size=64)
    model = mobilenet_v2(64, 3, 0.35, None)
    pixels = np.random.default_rng(1).uniform(-1, 1, (8, 64, 64, 3)).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[np.arange(8) % 3]
    first = model.get_layer("Conv1")
    statistics = model.get_layer("bn_Conv1")

    def state() -> tuple[Any, Any, Any]:
        return first.get_weights()[0], statistics.get_weights()[2], model.get_layer("head").get_weights()[0]

    before = state()
    prepare_phase(model, Phase("head", 1, 1e-3, train_from=-1, batch_norm="frozen"), preset)
    model.run_eagerly = True
    model.train_on_batch(pixels, targets)
    frozen = state()
    assert np.array_equal(before[0], frozen[0])
    assert np.array_equal(before[1], frozen[1])
    assert not np.array_equal(before[2], frozen[2])
    prepare_phase(model, Phase("whole", 1, 1e-3), preset)
    model.run_eagerly = True
    model.train_on_batch(pixels, targets)
    assert not np.array_equal(frozen[0], state()[0])
    assert not np.array_equal(frozen[1], state()[1])
    assert statistics.momentum == 0.95


@pytest.mark.parametrize(
    ("choices", "message"),
    [(Choices(preset="nobody"), "no preset"), (Choices(preset="fakhrezi", arch="cnn3"), "has no cnn3")],
)
def test_a_choice_that_cannot_be_is_refused(choices: Choices, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        chosen_preset(choices)


def test_the_average_lags_behind_and_can_be_exchanged_and_saved(tmp_path: Path) -> None:
    class Model:
        """Only weights."""

        weights: list[Any]

        def get_weights(self) -> list[Any]:
            return self.weights

        def set_weights(self, weights: list[Any]) -> None:
            self.weights = weights

    model, average = Model(), WeightAverage(0.9)
    for value in range(40):
        model.weights = [np.full(3, float(value))]
        average.update(model)
    average.exchange(model)
    lag = 39 - model.weights[0][0]
    assert pytest.approx(lag, rel=0.1) == 0.9**EVERY / (1 - 0.9**EVERY)
    average.exchange(model)
    assert model.weights[0][0] == 39
    average.save(tmp_path / "a.npz")
    again = WeightAverage(0.9)
    again.load(tmp_path / "a.npz")
    again.exchange(model)
    assert 39 - model.weights[0][0] == pytest.approx(lag)


def test_best_weights_that_the_disk_has_no_room_for_are_named_and_the_old_ones_stay(
    tiny_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _copy(tiny_run, "full disk")
    model, before = run.best_model(), run.best_weights.read_bytes()
    needed = 4 * model.count_params()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=needed))
    with pytest.raises(OSError, match=re.escape(f"No space left on device: '{run.best_weights}'")):
        run.save_best(model)
    assert run.best_weights.read_bytes() == before


def test_an_interrupted_run_has_not_more_patience(
    tiny_manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = Choices(arch="cnn3", size=64, epochs=4)
    run = RunFolder(tmp_path / "run")
    waited: list[int] = []
    should_stop = Trainer._should_stop

    def watched(self: Trainer, record: EpochRecord, since_best: int) -> bool:
        waited.append(since_best)
        return should_stop(self, record, since_best)

    def stop(record: EpochRecord, _best: bool) -> None:
        if record.epoch == 2:
            raise InterruptedError("somebody pulled the plug")

    monkeypatch.setattr(Trainer, "_should_stop", watched)
    monkeypatch.setattr(ValidationSet, "validate", lambda *_: Validation(0.5, 0.5, 0.5, 0.5, 0.0, 0.0))
    with pytest.raises(InterruptedError):
        fit(tiny_manifest, run, choices, Progress(epoch=stop))
    fit(tiny_manifest, run, choices, Progress())
    assert waited[:3] == [0, 1, 2]


def test_an_epoch_without_a_score_ends_the_run_with_the_cure(
    tiny_manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(tmp_path / "run")
    monkeypatch.setattr(ValidationSet, "validate", lambda *_: Validation(float("nan"), 0.5, 0.5, 0.5, 0.0, 0.0))
    with pytest.raises(UsageError, match=r"score of epoch 1 on val is no number .* give other --weights"):
        fit(tiny_manifest, run, Choices(arch="cnn3", size=64, epochs=1), Progress())
    assert run.history() == []
