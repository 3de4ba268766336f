"""What `fit` does with the folder of a run: goes on, begins, or refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest
from click.testing import CliRunner

tf = pytest.importorskip("tensorflow", reason="the training side needs the extra `train`")

from edge.errors import ModelError, UsageError  # noqa: E402
from support.networks import small_detector  # noqa: E402
from train.detector import fit as fitting  # noqa: E402
from train.detector import trainer as training  # noqa: E402
from train.detector.architecture import build, load_trunk  # noqa: E402
from train.detector.cli import detector  # noqa: E402
from train.detector.feeder import Batch  # noqa: E402
from train.detector.fit import averaged_weights, fit, recorded_options  # noqa: E402
from train.detector.sources import check_start  # noqa: E402
from train.detector.trainer import FitOptions, Trainer  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")

_OPTIONS = FitOptions(steps=1, batch=1, size=64, warm=1, command="the first")


class _Feeder:
    """Gives grey pictures without a face."""

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def next(self) -> Batch:
        none = np.zeros((1, 4, 4), np.float32)
        return Batch(np.full((1, 64, 64, 3), 90, np.uint8), none, none, *np.ones((2, 1, 4), np.float32))


_SOURCES = {
    "manifest_sha256": "data/MANIFEST.csv",
    "annotations_sha256": "data/detection/annotations.json",
    "teacher_sha256": "yunet.onnx",
    "weights_sha256": "imagenet.h5",
}
"""The files in the current folder of the tests below, and what `options.json` calls their digests."""


@pytest.fixture
def lessons(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Stands in for data, network and ImageNet weights; holds the steps of each first lesson of the stem."""
    monkeypatch.chdir(tmp_path_factory.mktemp("sources"))
    Path("data", "detection").mkdir(parents=True)
    for name in _SOURCES.values():
        Path(name).write_text(name)
    taken: list[int] = []
    some: list[Any] = [None]
    material = SimpleNamespace(
        scenes=some,
        unboxed=[],
        empty=some,
        faces=some,
        heads=some,
        objects=[],
        bare=lambda: some,
        masked=lambda: some,
    )
    monkeypatch.setattr(fitting, "gather", lambda *_: material)
    monkeypatch.setattr(fitting, "load_trunk", lambda *_: None)
    monkeypatch.setattr(fitting, "imitate", lambda *arguments: taken.append(arguments[3]))
    monkeypatch.setattr(fitting, "Feeder", _Feeder)
    monkeypatch.setattr(training, "build", small_detector)
    return taken


def _fit(run: Path, options: FitOptions = _OPTIONS) -> Path:
    return fit(Path("data"), Path("yunet.onnx"), Path("imagenet.h5"), run, options)


def _interrupted(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "learn", stop)
    with pytest.raises(KeyboardInterrupt):
        _fit(run)


def _count(trainer: Trainer, _: Batch) -> tuple[float, float]:
    """A step that takes no time and teaches nothing."""
    trainer._optimizer.iterations.assign_add(1)
    return 0.0, 0.0


def test_the_lesson_of_the_stem_outlives_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lessons: list[int]
) -> None:
    _interrupted(tmp_path, monkeypatch)
    with pytest.raises(UsageError, match=r"no average.weights.h5"):
        averaged_weights(tmp_path)
    monkeypatch.setattr(Trainer, "learn", _count)
    assert _fit(tmp_path, replace(_OPTIONS, command="the second", feeders=2)) == averaged_weights(tmp_path)
    assert lessons == [_OPTIONS.stem_steps]
    assert recorded_options(tmp_path)["command"] == "the first"


def test_a_damaged_checkpoint_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lessons: list[int]) -> None:
    _interrupted(tmp_path, monkeypatch)
    path = tmp_path / "checkpoint.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match=f"{path} is damaged .* another -o"):
        _fit(tmp_path)
    path.write_text("{")
    with pytest.raises(UsageError, match=f"{path} is damaged .* another -o"):
        _fit(tmp_path)


def test_a_checkpoint_of_another_network_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lessons: list[int]
) -> None:
    _interrupted(tmp_path, monkeypatch)
    path = tmp_path / "checkpoint.npz"
    with np.load(path) as stored:
        values = {name: stored[name] for name in stored.files}
    name, *_ = values
    for others in ({**values, name: np.zeros((3, 1))}, {key: value for key, value in values.items() if key != name}):
        np.savez(path, **others)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=f"{path} is of another network; .* another -o"):
            _fit(tmp_path)


def test_checkpoints_are_written_at_the_start_every_hundred_steps_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lessons: list[int]
) -> None:
    saved: list[int] = []
    monkeypatch.setattr(Trainer, "learn", _count)
    monkeypatch.setattr(Trainer, "save", lambda trainer: saved.append(int(trainer.step)))
    _fit(tmp_path, replace(_OPTIONS, steps=250))
    assert saved == [0, 100, 200, 250]


def test_another_run_is_not_taken_for_this_one(tmp_path: Path, lessons: list[int]) -> None:
    path = tmp_path / "options.json"
    path.write_text(json.dumps(fitting._as_json(_OPTIONS)))
    before = path.read_bytes()
    Path("start.weights.h5").touch()
    other = replace(_OPTIONS, seed=2, start=Path("start.weights.h5"), command="the second")
    with pytest.raises(UsageError, match=r"options: seed \(1, now 2\), start \(None, now start.*\); give another -o"):
        _fit(tmp_path, other)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["run.json", "checkpoint.npz"])
def test_the_folder_of_something_else_is_left_alone(tmp_path: Path, lessons: list[int], name: str) -> None:
    path = tmp_path / name
    path.touch()
    with pytest.raises(UsageError, match=r"something else .* give another -o"):
        _fit(tmp_path)
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]


def test_data_without_a_sort_of_pictures_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lessons: list[int]
) -> None:
    material = fitting.gather(Path(), "train", Path(), Path())
    material.empty = []  # type: ignore[misc]
    material.bare = list  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="the train part of data has no face-free photos, no bare face crops"):
        _fit(tmp_path / "run")
    assert not (tmp_path / "run").exists(), "other options may be tried"


def test_the_folders_of_further_pictures_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lessons: list[int]
) -> None:
    material = fitting.gather(Path(), "train", Path(), Path())
    asked: list[tuple[Any, ...]] = []

    def gather(*arguments: Any) -> Any:
        asked.append(arguments)
        return material

    monkeypatch.setattr(fitting, "gather", gather)
    monkeypatch.setattr(Trainer, "learn", _count)
    folders, teacher = [tmp_path / name for name in ("objects", "face_free", "unboxed")], tmp_path / "yunet.onnx"
    for folder in folders:
        folder.mkdir()
    teacher.touch()
    options = {"-o": tmp_path / "run", "--teacher": teacher, "--weights": teacher, "--steps": 1, "--batch": 1}
    options |= {"--size": 64, "--objects": folders[0], "--face-free": folders[1], "--unboxed": folders[2]}
    options["--unboxed-share"] = 0.2
    words = [str(word) for option in options.items() for word in option]

    done = CliRunner().invoke(detector, ["fit", "data", *words], catch_exceptions=False)

    assert done.exit_code == 0, done.output
    assert list(asked[0][-3:]) == folders
    recorded = recorded_options(tmp_path / "run")
    assert [recorded[name] for name in ("objects", "face_free", "unboxed")] == [str(folder) for folder in folders]
    assert recorded["mix"]["unboxed"] == 0.2


def test_a_run_of_other_sources_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lessons: list[int]
) -> None:
    monkeypatch.setattr(Trainer, "learn", _count)
    _fit(tmp_path)
    for name, path in _SOURCES.items():
        Path(path).write_text("other")
        with pytest.raises(UsageError, match=rf"other options: {name} \(\w+, now \w+\); give another -o"):
            _fit(tmp_path)
        Path(path).write_text(path)
    assert _fit(tmp_path) == averaged_weights(tmp_path)


def test_a_run_of_an_earlier_version_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lessons: list[int]
) -> None:
    _interrupted(tmp_path, monkeypatch)
    path = tmp_path / "options.json"
    recorded = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in recorded.items() if name not in _SOURCES}))
    monkeypatch.setattr(Trainer, "learn", _count)
    assert _fit(tmp_path) == averaged_weights(tmp_path)
    assert lessons == [_OPTIONS.stem_steps]


@pytest.mark.parametrize("name", ["broken.weights.h5", "broken.txt"])
def test_weights_that_do_not_fit_are_told_before_the_data_is_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lessons: list[int]
) -> None:
    Path(name).write_bytes(b"weights")
    monkeypatch.setattr(fitting, "gather", lambda *_: pytest.fail("the data is read"))
    with pytest.raises(UsageError, match=rf"^{name} holds no weights of the detector: [^\n]+$"):
        _fit(tmp_path / "run", replace(_OPTIONS, start=Path(name)))
    assert not (tmp_path / "run").exists(), "the right file may be given"


def test_what_the_trunk_cannot_begin_with_is_told(tmp_path: Path) -> None:
    path = tmp_path / "broken.weights.h5"
    path.write_bytes(b"weights")
    with pytest.raises(UsageError, match=f"^{path} holds no weights of MobileNetV2 alpha 0.35 without its top: "):
        load_trunk(build(), path)


def test_the_folder_of_the_teachers_answers_is_no_run(tmp_path: Path, lessons: list[int]) -> None:
    with pytest.raises(UsageError, match="detector-cache is where the answers of the teacher are kept"):
        _fit(tmp_path / "detector-cache")


def test_a_run_begins_with_one_file_of_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lessons: list[int]
) -> None:
    with pytest.raises(UsageError, match=r"^--weights: give the file of ImageNet weights .* --start$"):
        fit(Path("data"), Path("yunet.onnx"), None, tmp_path / "run", _OPTIONS)
    small_detector().save_weights("start.weights.h5")
    monkeypatch.setattr(Trainer, "learn", _count)
    line = f"fit data -o {tmp_path / 'run'} --teacher yunet.onnx --start start.weights.h5 --steps 1 --size 64"
    CliRunner().invoke(detector, line.split(), catch_exceptions=False, standalone_mode=False)
    recorded = recorded_options(tmp_path / "run")
    assert _SOURCES.keys() - recorded.keys() == {"weights_sha256"}
    assert recorded["start"] == str(Path("start.weights.h5").resolve())
    assert lessons == []
    check_start(recorded)
    Path("start.weights.h5").write_bytes(b"another")
    with pytest.raises(UsageError, match=r"start\.weights\.h5 is not what the run began with any more"):
        check_start(recorded)


def test_what_a_short_run_has_learned_is_in_its_average(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "build", small_detector)
    trainer = Trainer(replace(_OPTIONS, steps=2, warm=1), tmp_path)
    trainer.begin_average()
    before = trainer.average.get_weights()
    for _ in range(2):
        trainer.learn(_Feeder().next())
    assert not all(np.array_equal(old, new) for old, new in zip(before, trainer.average.get_weights(), strict=True))


def test_a_network_that_has_diverged_leaves_what_was_kept_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "build", small_detector)
    trainer = Trainer(replace(_OPTIONS, rate=float("nan")), tmp_path)
    trainer.begin_average()
    trainer.save()
    before = (tmp_path / "checkpoint.npz").read_bytes()
    trainer.learn(_Feeder().next())
    with pytest.raises(ModelError, match="step 1: a weight is no finite number"):
        trainer.save()
    with pytest.raises(ModelError, match=rf"step 2: the loss .*; {tmp_path} keeps .* lower --rate, with another -o"):
        trainer.learn(_Feeder().next())
    assert (tmp_path / "checkpoint.npz").read_bytes() == before


@pytest.mark.parametrize(
    "text",
    [None, "{", "[]", '{"steps": 1}', '{"seed": 1, "start": null}'],
    ids=["none", "broken", "a list", "no seed", "no command"],
)
def test_a_folder_that_is_no_run_is_named(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "options.json").write_text(text)
    with pytest.raises(UsageError, match=f"{tmp_path} is no run folder"):
        recorded_options(tmp_path)
