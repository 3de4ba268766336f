from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edge.errors import ModelError, UsageError
from edge.vision.cards import ModelCard, file_sha256, load_card
from edge.vision.classifier import MaskClassifier
from edge.vision.geometry import whole

pytest.importorskip("tensorflow", reason="the training extra is not installed")

from support.disk import fill, small_disk
from support.drawn import drawn_face
from train.architectures import SYMMETRIC, UNIT, load_keras
from train.cards import card_of
from train.dataset import open_dataset
from train.export import export
from train.quantize import converter_of, float_file, representative_given, scaled
from train.runs import RunFolder
from train.safety import check_file, check_parity
from train.samples import Sample, rebased, write_manifest


def test_the_exported_file_tells_drawn_faces_apart_through_the_daemons_own_code(tiny_model: Path) -> None:
    classifier = MaskClassifier(str(tiny_model))
    rng = np.random.default_rng(99)
    for masked in (True, False):
        face = drawn_face(rng, masked=masked)
        p_mask = classifier.judge(classifier.crop(face, whole(face), 0.0)).p_mask
        assert (p_mask > 0.5) == masked


def test_the_card_describes_the_file(tiny_model: Path, tiny_run: RunFolder) -> None:
    card = load_card(tiny_model)
    assert card.sha256 == file_sha256(tiny_model)
    assert card.labels == ("mask", "no_mask")
    assert (card.input.scale, card.input.zero_point) == (UNIT.scale, UNIT.zero_point)
    assert card.training["preset"] == "fakhrezi/cnn4"
    assert card.metrics["test"]["balanced_accuracy"] == 1.0
    assert {row["network"] for row in card.metrics["seeds"]} == {"cnn3", "cnn4", "mobilenet_v2"}
    assert str(tiny_run.path) not in tiny_model.with_suffix(".json").read_text()


def test_names_that_are_no_utf8_are_spelt_out_in_the_card(tiny_model: Path, tiny_run: RunFolder) -> None:
    odd = os.fsdecode(b"caf\xe9")
    settings = tiny_run.settings()
    settings = replace(settings, manifest=f"{odd}.csv", command=f"fit {odd}", details={"digests": {}, "list": [odd]})
    card = card_of(odd, tiny_model, settings, {})
    again = ModelCard.model_validate_json(json.dumps(card.model_dump(mode="json")))
    assert again.name == r"caf\xe9"
    assert again.training["data"]["manifest"] == r"caf\xe9.csv"
    assert (again.training["command"], again.training["list"]) == (r"fit caf\xe9", [r"caf\xe9"])


def test_the_run_keeps_float_model_parity_and_representative_list(tiny_model: Path, tiny_run: RunFolder) -> None:
    parity = json.loads((tiny_run.path / "parity.json").read_text())
    assert abs(parity["float_balanced_accuracy"] - parity["int8_balanced_accuracy"]) <= 0.003
    assert (tiny_run.path / "model.float.tflite").stat().st_size > 3 * tiny_model.stat().st_size
    assert (tiny_run.path / "representative.csv").read_text().count("\n") > 5


def test_a_full_place_for_temporary_files_does_not_end_an_export(
    tiny_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        fill(disk)
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        export(tiny_run, tmp_path / "m.tflite")
        assert tempfile.tempdir == str(disk)
    assert load_card(tmp_path / "m.tflite").name == "m"


def test_a_run_on_a_full_disk_is_named_before_the_conversion(
    tiny_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4096))
    with pytest.raises(OSError, match=rf"No space left on device: '{tiny_run.path}"):
        export(tiny_run, tmp_path / "m.tflite")


def test_a_name_that_is_no_model_is_refused(tiny_run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in \.tflite"):
        export(tiny_run, tmp_path / "model.bin")


def test_a_refused_file_does_not_take_the_place_of_the_one_before(
    tiny_model: Path, tiny_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [(tiny_run.path / f"model{suffix}").read_bytes() for suffix in (".tflite", ".json")]

    def refuse(_float: float, _int8: float) -> None:
        raise ModelError("too far apart")

    monkeypatch.setattr("train.export.check_parity", refuse)
    with pytest.raises(ModelError, match="too far apart"):
        export(tiny_run, tmp_path / "other.tflite")
    assert not (tmp_path / "other.tflite").exists()
    assert [(tiny_run.path / f"model{suffix}").read_bytes() for suffix in (".tflite", ".json")] == before


def test_an_export_that_is_stopped_leaves_the_file_before_with_its_card(
    tiny_model: Path, tiny_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, card, write = tmp_path / "m.tflite", tmp_path / "m.json", Path.write_bytes
    before = tiny_model.with_suffix(".json").read_text()

    def stopped(path: Path, data: bytes) -> int:
        if path.parent == tmp_path and path.suffix == ".json":
            raise KeyboardInterrupt
        return write(path, data)

    output.write_bytes(b"the one before")
    card.write_text(before)
    monkeypatch.setattr(Path, "write_bytes", stopped)
    with pytest.raises(KeyboardInterrupt):
        export(tiny_run, output)
    assert (output.read_bytes(), card.read_text()) == (b"the one before", before)
    assert sorted(tmp_path.iterdir()) == [card, output]


def test_a_card_that_cannot_be_written_is_named_before_the_work(
    tiny_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.export.mean_model", lambda _: pytest.fail("the work has begun"))
    (tmp_path / "m.json").mkdir()
    with pytest.raises(IsADirectoryError, match=r"m\.json"):
        export(tiny_run, tmp_path / "m.tflite")


def test_a_card_is_not_written_over_what_is_none(tiny_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"name": "mine"}')
    with pytest.raises(UsageError, match=r"mine\.json is no card of a model .* give another name with -o"):
        export(tiny_run, tmp_path / "mine.tflite")
    assert (tmp_path / "mine.json").read_text() == '{"name": "mine"}'


@pytest.mark.parametrize("name", ["run", "state"])
def test_a_card_is_not_written_over_the_run(name: str, tiny_run: RunFolder) -> None:
    before = (tiny_run.path / f"{name}.json").read_bytes()
    with pytest.raises(UsageError, match=f"{name}.json is read here and would be written over"):
        export(tiny_run, tiny_run.path / f"{name}.tflite")
    assert (tiny_run.path / f"{name}.json").read_bytes() == before


def quantized(model: object, low: float, high: float) -> bytes:
    import tensorflow as tf

    converter = converter_of(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    size = model.input.shape[1]  # type: ignore[attr-defined]
    converter.representative_dataset = lambda: (
        [np.full((1, size, size, 3), level, np.float32)] for level in (low, high)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return bytes(converter.convert())


def small(head: str) -> object:
    """A convolution with three outputs, by a Dense layer or by our own head."""
    keras = load_keras()
    layers = keras.layers
    pixels = keras.Input((8, 8, 3))
    values = layers.GlobalAveragePooling2D(keepdims=True)(layers.Conv2D(4, 3)(pixels))
    if head == "dense":
        return keras.Model(pixels, layers.Dense(3)(layers.Flatten()(values)))
    return keras.Model(pixels, layers.Flatten()(layers.Conv2D(3, 1)(values)))


def test_a_dense_head_with_a_scale_for_each_output_is_refused() -> None:
    with pytest.raises(ModelError, match="FULLY_CONNECTED with 3 weight scales"):
        check_file(quantized(small("dense"), -127 / 127.5, 128 / 127.5), SYMMETRIC)


def test_a_convolution_as_head_passes_and_an_input_that_never_saw_white_is_refused() -> None:
    check_file(quantized(small("convolution"), -127 / 127.5, 128 / 127.5), SYMMETRIC)
    with pytest.raises(ModelError, match="do not reach from 0 to 255"):
        check_file(quantized(small("convolution"), -127 / 127.5, 100 / 127.5), SYMMETRIC)


def test_a_float_file_is_refused() -> None:
    with pytest.raises(ModelError, match="not quantised"):
        check_file(float_file(small("convolution")), SYMMETRIC)


@pytest.mark.parametrize("int8", [0.9769, 0.9831, float("nan")])
def test_int8_that_is_not_the_network_it_was_made_from_is_refused(int8: float) -> None:
    check_parity(0.98, 0.9775)
    with pytest.raises(ModelError, match="apart"):
        check_parity(0.98, int8)


def test_black_and_white_come_out_as_the_card_says() -> None:
    values = scaled(np.array([[[0, 127, 255]]], np.uint8), SYMMETRIC)
    assert values.ravel() == pytest.approx([-127 / 127.5, 0, 128 / 127.5])


def test_the_list_of_representative_pictures_can_be_given_again(tiny_model: Path, tiny_run: RunFolder) -> None:
    assert tiny_model.is_file()
    dataset = open_dataset(tiny_run.path / "representative.csv")
    assert all(dataset.store().readable(sample.path) for sample in dataset.samples)


def test_what_the_run_is_measured_on_is_not_quantized_on(
    tiny_run: RunFolder, tiny_manifest: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(tiny_manifest)
    parts = {part: dataset.part(part) for part in ("train", "val", "test")}
    train, val, test = parts["train"][:6], parts["val"][:2], parts["test"][:2]
    # Without parts; one of val by its path, one of test as a copy of another name.
    shutil.copy(tiny_manifest.parent / test[0].path, tmp_path / "copy.png")
    copy = Sample("copy.png", test[0].label, sha256=test[0].sha256)
    given = rebased([*train, val[0]], dataset.root, tmp_path)
    write_manifest(tmp_path / "plain.csv", [*(replace(s, split="", group=s.path, sha256="") for s in given), copy])
    write_manifest(tmp_path / "divided.csv", rebased([*train, *val, *test], dataset.root, tmp_path))
    write_manifest(tmp_path / "none.csv", rebased([*val, *test], dataset.root, tmp_path))
    wanted = sorted(sample.name for sample in train)
    for name, left_out in (("plain.csv", 2), ("divided.csv", 4)):
        notes: list[str] = []
        chosen = representative_given(tmp_path / name, dataset, notes.append)
        assert sorted(sample.name for sample in chosen.samples) == wanted
        assert notes[0].startswith(f"{left_out} pictures of {tmp_path / name} are of another part than train")
    with pytest.raises(UsageError, match=r"none\.csv has no picture to quantize on"):
        representative_given(tmp_path / "none.csv", dataset)
    export(tiny_run, tmp_path / "m.tflite", tmp_path / "divided.csv")
    said = load_card(tmp_path / "m.tflite").training["representative"]
    assert said == {"manifest": "divided.csv", "sha256": file_sha256(tmp_path / "divided.csv")}
