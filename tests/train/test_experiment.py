"""What `fit` refuses before anything is trained."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the training extra is not installed")

from edge.errors import UnavailableError, UsageError
from edge.vision.geometry import Box
from train.architectures import mobilenet_backbone
from train.choices import USUAL_WEIGHTS, Choices
from train.experiment import fit
from train.files import claimed
from train.fit import Progress
from train.runs import RunFolder, check_same_run
from train.samples import Sample, read_manifest, write_manifest
from train.sources import digests_of

_CNN4 = Choices(arch="cnn4", size=64, epochs=1, weights=USUAL_WEIGHTS)
_ANY = Path("any")


def _refused(manifest: Path, run: Path, choices: Choices, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fit(manifest, RunFolder(run), choices, Progress())


def _manifest_in(folder: Path, like: Path, samples: list[Sample]) -> Path:
    """Paths in it are relative to the folder of `like`, beside which it is written."""
    path = like.with_name(f"{folder.name}.csv")
    write_manifest(path, samples)
    return path


@pytest.mark.parametrize(
    ("choices", "option"),
    [
        (replace(_CNN4, alpha=0.5), "--alpha"),
        (replace(_CNN4, weights="imagenet"), "--weights"),
        (replace(_CNN4, steps=3), "--steps"),
        (replace(_CNN4, objects=_ANY, traps=_ANY), "--objects and --traps"),
        (replace(_CNN4, hard_run=_ANY), "--hard-examples"),
        (replace(_CNN4, landmarks=_ANY), "--landmarks"),
        (replace(_CNN4, teacher=_ANY), "--teacher"),
        (Choices(preset="bangkit", arch="mobilenet_v2", traps=_ANY), "--traps"),
    ],
)
def test_an_option_that_the_preset_does_not_look_at_is_refused(
    choices: Choices, option: str, tiny_manifest: Path, tmp_path: Path
) -> None:
    _refused(tiny_manifest, tmp_path / "run", choices, f"{option}: the preset .* has no use for this")
    assert not (tmp_path / "run").exists()


def test_a_finished_run_with_other_details_is_refused_and_left_alone(tiny_run: RunFolder, tiny_manifest: Path) -> None:
    before = (tiny_run.path / "run.json").read_bytes()
    choices = Choices(arch="cnn4", size=64, epochs=11, seed=3)
    _refused(tiny_manifest, tiny_run.path, choices, "phases: .*10 epochs.* there, .*11 epochs.* here")
    assert (tiny_run.path / "run.json").read_bytes() == before


@pytest.mark.parametrize("name", ["hard_examples_of", "start", "teacher", "objects", "traps", "landmarks"])
def test_each_detail_is_compared(name: str, tiny_run: RunFolder) -> None:
    settings = tiny_run.settings()
    check_same_run(tiny_run, replace(settings, command="typed in another way"))
    with pytest.raises(UsageError, match=f"{name.replace('_', ' ')}:  there, other here"):
        check_same_run(tiny_run, replace(settings, details=settings.details | {name: "other"}))


def test_another_file_of_the_same_name_makes_another_run(
    tiny_run: RunFolder, tiny_manifest: Path, tmp_path: Path
) -> None:
    def stop(*_: object) -> None:
        raise InterruptedError("somebody pulled the plug")

    earlier = Path(shutil.copytree(tiny_run.path, tmp_path / "earlier"))
    earlier_run = RunFolder(earlier)
    earlier_run.write_settings(replace(earlier_run.settings(), manifest_path=str(tiny_manifest)))
    run, choices = RunFolder(tmp_path / "run"), replace(_CNN4, start=earlier, weights=None)
    with pytest.raises(InterruptedError):
        fit(tiny_manifest, run, choices, Progress(step=stop))
    model = earlier_run.best_model()
    model.set_weights([2 * values for values in model.get_weights()])
    earlier_run.save_best(model)
    _refused(tiny_manifest, run.path, choices, r"content of --start: [0-9a-f]{12} there, [0-9a-f]{12} here")
    known = run.settings()
    run.write_settings(replace(known, details={k: v for k, v in known.details.items() if k != "digests"}))
    assert len(fit(tiny_manifest, run, choices, Progress())) == 1  # As a run of an earlier version.


def test_material_is_known_by_its_content(tiny_run: RunFolder, tmp_path: Path) -> None:
    objects = tmp_path / "objects"
    (objects / "cats").mkdir(parents=True)
    (objects / "cats" / "one.png").write_bytes(b"one")
    for name in ("traps.npz", "yunet.onnx", "w.weights.h5"):
        (tmp_path / name).write_bytes(name.encode())
    choices = Choices(
        weights=tmp_path / "w.weights.h5",
        landmarks=tmp_path / "yunet.onnx",
        traps=tmp_path / "traps.npz",
        objects=objects,
        hard_run=tiny_run.path,
        teacher=tiny_run.path,
        start=tmp_path / "gone",
    )
    before = digests_of(choices)
    assert set(before) == {"weights", "landmarks", "traps", "objects", "hard_examples", "teacher"}
    assert len(set(before.values())) == 5
    (objects / "cats" / "one.png").rename(objects / "cats" / "one.PNG")
    (tmp_path / "traps.npz").write_bytes(b"other")
    after = digests_of(choices)
    assert {name for name in before if before[name] != after[name]} == {"traps", "objects"}
    (objects / "cats" / "one.PNG").write_bytes(b"two")
    assert digests_of(choices)["objects"] != after["objects"]
    assert digests_of(Choices(weights="imagenet")) == {}


def test_a_thawed_run_is_not_trained_over(tiny_run: RunFolder, tiny_manifest: Path) -> None:
    thawed = RunFolder(tiny_run.path.with_name("thawed"))
    thawed.write_settings(tiny_run.settings())
    shutil.copy(tiny_run.best_weights, thawed.path)
    before = thawed.best_weights.read_bytes()
    choices = Choices(arch="cnn4", size=64, epochs=10, seed=3)
    _refused(tiny_manifest, thawed.path, choices, "give another folder with -o")
    assert thawed.best_weights.read_bytes() == before


@pytest.mark.parametrize("name", ["history.csv", "last.7.keras", "model.tflite"])
def test_a_folder_of_somebody_else_is_not_trained_in(name: str, tiny_manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    file = tmp_path / "run" / name
    file.write_text("mine")
    _refused(tiny_manifest, tmp_path / "run", _CNN4, f"is no run folder, and {name} in it would be lost; give another")
    assert file.read_text() == "mine"


def test_a_run_interrupted_in_its_first_epoch_goes_on_and_only_it(tiny_manifest: Path, tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise InterruptedError("somebody pulled the plug")

    run = RunFolder(tmp_path / "run")
    with pytest.raises(InterruptedError):
        fit(tiny_manifest, run, _CNN4, Progress(step=stop))
    _refused(tiny_manifest, run.path, replace(_CNN4, seed=7), "seed: 1 there, 7 here")
    run.state.unlink()  # As if it had been killed a moment earlier.
    _refused(tiny_manifest, run.path, replace(_CNN4, seed=7), "seed: 1 there, 7 here")
    assert len(fit(tiny_manifest, run, _CNN4, Progress())) == 1


@pytest.mark.parametrize(("field", "option"), [("start", "--start"), ("hard_run", "--hard-examples")])
def test_a_run_is_not_written_over_the_one_it_reads(
    field: str, option: str, tiny_run: RunFolder, tiny_manifest: Path
) -> None:
    choices = replace(Choices(size=32, alpha=0.35), **{field: tiny_run.path})
    _refused(tiny_manifest, tiny_run.path, choices, f"{option} and -o both name")


@pytest.mark.parametrize("what", ["group", "path"])
def test_a_split_that_leaks_is_refused(what: str, tiny_manifest: Path, tmp_path: Path) -> None:
    samples = read_manifest(tiny_manifest)
    train = next(sample for sample in samples if sample.split == "train")
    leak = replace(train, split="test", **({"path": "other.png"} if what == "group" else {"group": "other"}))
    manifest = _manifest_in(tmp_path, tiny_manifest, [*samples, leak])
    named = train.group if what == "group" else train.path
    _refused(manifest, tmp_path / "run", _CNN4, f"{named} is in test and train: .*`maskgate-train split`")


@pytest.mark.parametrize("what", ["spelling", "absolute", "content"])
def test_one_picture_by_two_names_is_a_leak(what: str, tiny_manifest: Path, tmp_path: Path) -> None:
    samples = read_manifest(tiny_manifest)
    train = next(sample for sample in samples if sample.split == "train")
    path = Path(train.path)
    again = {
        "spelling": f"./{path.parent}/./{path.name}",
        "absolute": str((tiny_manifest.parent / path).resolve()),
        "content": str(path.with_name("copy.png")),
    }[what]
    named = f"sha256 {train.sha256}" if what == "content" else train.path
    leak = replace(train, split="test", path=again, group="other", sha256=train.sha256 if what == "content" else "")
    manifest = _manifest_in(tmp_path, tiny_manifest, [*samples, leak])
    _refused(manifest, tmp_path / "run", _CNN4, f"{named} is in test and train: .* once the column group_id is out")


def test_what_has_not_been_divided_is_no_manifest(tiny_folder: Path, tmp_path: Path) -> None:
    data = Path(shutil.make_archive(str(tmp_path / "leak"), "zip", tiny_folder))
    _refused(data, tmp_path / "run", _CNN4, r"leak\.zip is no manifest.*`maskgate-train split leak\.zip -o")
    assert not (tmp_path / "run").exists()


def test_a_published_split_that_leaks_is_only_for_the_seeds(tiny_manifest: Path, tmp_path: Path) -> None:
    samples = [replace(sample, published_split=sample.split) for sample in read_manifest(tiny_manifest)]
    group = next(sample.group for sample in samples if sample.split == "val")
    leaking = [replace(sample, group=group) if sample is samples[0] else sample for sample in samples]
    if leaking[0].split == "val":
        leaking[0] = replace(leaking[0], split="train", published_split="train")
    manifest = _manifest_in(tmp_path, tiny_manifest, leaking)
    _refused(manifest, tmp_path / "own", Choices(size=32, steps=1, alpha=0.35), f"{group} is in")
    notes: list[str] = []
    fit(manifest, RunFolder(tmp_path / "run"), _CNN4, Progress(), notes.append)
    assert any("for a comparison only" in note for note in notes)


def test_a_size_too_small_for_the_network_is_refused(tiny_manifest: Path, tmp_path: Path) -> None:
    _refused(tiny_manifest, tmp_path / "run", replace(_CNN4, size=40), "cnn4 cannot be built for pictures of 40 px")


@pytest.mark.parametrize("label", ["", "mask"])
def test_pictures_none_of_which_can_be_read_are_refused(label: str, tiny_manifest: Path, tmp_path: Path) -> None:
    samples = [
        replace(sample, path=f"gone/{sample.path}") if label in ("", sample.label) else sample
        for sample in read_manifest(tiny_manifest)
    ]
    manifest = _manifest_in(tmp_path, tiny_manifest, samples)
    _refused(manifest, tmp_path / "run", _CNN4, "the train part has no readable picture of one label")


def test_objects_that_would_never_be_shown_are_refused(tiny_manifest: Path, tmp_path: Path) -> None:
    choices = Choices(size=32, steps=1, alpha=0.35, objects=_ANY, traps=_ANY)
    _refused(tiny_manifest, tmp_path / "run", choices, "--objects and --traps: .* labelled no_face")


@pytest.mark.parametrize(("field", "message"), [("objects", "no PNG file"), ("traps", "no file of false alarms")])
def test_objects_and_traps_are_read_before_the_training(
    field: str, message: str, tiny_manifest: Path, tmp_path: Path
) -> None:
    samples = read_manifest(tiny_manifest)
    index = next(at for at, sample in enumerate(samples) if sample.split == "train")
    samples[index] = replace(samples[index], label="no_face")
    manifest = _manifest_in(tmp_path, tiny_manifest, samples)
    material = tmp_path if field == "objects" else manifest
    choices = replace(Choices(size=32, steps=1, alpha=0.35), **{field: material})
    _refused(manifest, tmp_path / "run", choices, message)


def test_two_trainings_in_one_folder_at_once_are_refused(tiny_manifest: Path, tmp_path: Path) -> None:
    with claimed(tmp_path / "run"), pytest.raises(UnavailableError, match="run is in use by another maskgate-train"):
        fit(tiny_manifest, RunFolder(tmp_path / "run"), _CNN4, Progress())


def test_what_is_wrong_with_weights_is_said_before_pictures_are_read(tiny_manifest: Path, tmp_path: Path) -> None:
    choices = Choices(size=32, steps=1, alpha=0.35, weights=tiny_manifest)
    read: list[int] = []
    with pytest.raises(UsageError, match=r"holds no weights of MobileNetV2 of width 0\.35: "):
        fit(tiny_manifest, RunFolder(tmp_path / "run"), choices, Progress(read=lambda done, _total: read.append(done)))
    assert read == []
    assert not (tmp_path / "run").exists()


def test_the_pictures_that_are_read_are_counted(tiny_manifest: Path, tmp_path: Path) -> None:
    read: list[tuple[int, int]] = []
    fit(tiny_manifest, RunFolder(tmp_path / "run"), _CNN4, Progress(read=lambda *count: read.append(count)))
    parts = [sample.split for sample in read_manifest(tiny_manifest)]
    assert {total for _, total in read} == {parts.count("train"), parts.count("val")}


def test_a_run_of_a_network_that_is_not_known_is_named(tiny_run: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.write_settings(replace(tiny_run.settings(), arch="cnn9"))
    with pytest.raises(UsageError, match="a network that is not known here, 'cnn9'"):
        run.best_model()


@pytest.mark.parametrize("part", ["train", "val"])
def test_faces_too_small_to_learn_from_or_to_judge_are_none(part: str, tiny_manifest: Path, tmp_path: Path) -> None:
    small = Box(10, 10, 8, 8)
    samples = [
        replace(sample, kind="boxed", box=small) if sample.split == part else sample
        for sample in read_manifest(tiny_manifest)
    ]
    manifest = _manifest_in(tmp_path, tiny_manifest, samples)
    choices = Choices(size=32, steps=1, alpha=0.35)
    message = f"the {part} part .* no mask and no no_mask that counts .*a boxed face of less than 1[46] px do"
    _refused(manifest, tmp_path / "run", choices, message)


def test_masks_that_are_all_drawn_on_give_no_score(tiny_manifest: Path, tmp_path: Path) -> None:
    samples = [
        replace(sample, flags=frozenset({"simulated_mask"}))
        if (sample.split, sample.label) == ("val", "mask")
        else sample
        for sample in read_manifest(tiny_manifest)
    ]
    manifest = _manifest_in(tmp_path, tiny_manifest, samples)
    choices = Choices(size=32, steps=1, alpha=0.35)
    _refused(manifest, tmp_path / "run", choices, r"the val part .* has no mask that counts \(a drawn-on mask and")


def test_weights_that_are_no_numbers_are_named(tiny_manifest: Path, tmp_path: Path) -> None:
    model = mobilenet_backbone(32, 0.35, None)
    model.set_weights([np.full_like(values, np.nan) for values in model.get_weights()])
    file = tmp_path / "nan.weights.h5"
    model.save_weights(str(file))
    choices = Choices(size=32, steps=1, alpha=0.35, weights=file)
    _refused(tiny_manifest, tmp_path / "run", choices, r"nan\.weights\.h5 holds weights that are no finite numbers")
    file.write_bytes(file.read_bytes().replace(b"HEAP", b"HEAQ"))
    _refused(tiny_manifest, tmp_path / "run", choices, r"nan\.weights\.h5 holds no weights of MobileNetV2")


def test_a_run_for_pictures_of_another_size_is_no_start(
    tiny_run: RunFolder, tiny_manifest: Path, tmp_path: Path
) -> None:
    choices = Choices(arch="cnn4", size=96, start=tiny_run.path)
    _refused(tiny_manifest, tmp_path / "run", choices, "holds a network for pictures of 64 px; give --size 64")


def test_hard_examples_of_a_run_that_knows_fewer_classes_are_refused(
    tiny_run: RunFolder, tiny_manifest: Path, tmp_path: Path
) -> None:
    samples = read_manifest(tiny_manifest)
    first = next(index for index, sample in enumerate(samples) if sample.split == "train")
    samples[first] = replace(samples[first], label="no_face")
    manifest = _manifest_in(tmp_path, tiny_manifest, samples)
    run = RunFolder(Path(shutil.copytree(tiny_run.path, tmp_path / "earlier")))
    run.write_settings(replace(run.settings(), manifest_sha256=hashlib.sha256(manifest.read_bytes()).hexdigest()))
    choices = Choices(size=32, alpha=0.35, steps=1, weights=None, hard_run=run.path)
    _refused(manifest, tmp_path / "run", choices, "--hard-examples: .* give a run of --preset maskgate")
