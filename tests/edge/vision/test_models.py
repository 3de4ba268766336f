"""Cards, the runtime seam, the detectors, the classifier and the analyzer, on the models that are shipped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import ModelError
from edge.vision import tflite
from edge.vision.analyzer import Analyzer
from edge.vision.cards import Thresholds, bundled_models, file_sha256, find_model, load_card
from edge.vision.classifier import Label, MaskClassifier, calibrated, label_of, sharpness
from edge.vision.detector import load_detector
from edge.vision.geometry import Box, Image, whole
from edge.vision.tflite import TfliteModel
from edge.vision.yunet import Yunet
from support.components import ROOT, require, require_shared

CLASSIFIER = bundled_models() / "mask_classifier.tflite"


@pytest.fixture(scope="module")
def classifier() -> MaskClassifier:
    return MaskClassifier("mask_classifier")


def copied_model(folder: Path, **changes: object) -> Path:
    """The shipped classifier under its name in another folder, its card changed."""
    shutil.copy(CLASSIFIER, folder / "mask_classifier.tflite")
    card = json.loads(CLASSIFIER.with_suffix(".json").read_text())
    for key, value in changes.items():
        card[key] = card[key] | value if isinstance(value, dict) else value
    (folder / "mask_classifier.json").write_text(json.dumps(card))
    return folder / "mask_classifier.tflite"


@pytest.mark.parametrize("model", sorted(bundled_models().glob("*.tflite")), ids=lambda path: path.stem)
def test_a_shipped_model_has_a_card_that_says_everything(model: Path) -> None:
    card = load_card(model)

    assert card.name == model.stem
    assert card.sha256 == file_sha256(model)
    assert card.licence
    assert card.metrics
    assert {"data", "seed", "command", "weights"} <= card.training.keys()
    assert model.stat().st_size < 3_000_000


@pytest.mark.parametrize("model", sorted(bundled_models().glob("*.tflite")), ids=lambda path: path.stem)
def test_a_shipped_model_holds_nothing_that_crashes_the_runtime_of_the_boards(model: Path) -> None:
    """A FULLY_CONNECTED with a scale a channel ends tflite-runtime 2.14 on aarch64 with SIGSEGV."""
    interpreter = TfliteModel(model, load_card(model))._interpreter
    scales = {t["index"]: t["quantization_parameters"]["scales"] for t in interpreter.get_tensor_details()}

    for operation in interpreter._get_ops_details():
        if operation["op_name"] == "FULLY_CONNECTED":
            assert all(len(scales.get(index, ())) <= 1 for index in operation["inputs"])


def test_a_damaged_model_is_an_error_and_never_a_warning(tmp_path: Path) -> None:
    model = copied_model(tmp_path)
    content = bytearray(model.read_bytes())
    content[1000] ^= 1
    model.write_bytes(content)

    with pytest.raises(ModelError, match="is not the file that its card describes"):
        MaskClassifier(str(model))


def test_a_model_without_its_card_is_named(tmp_path: Path) -> None:
    model = copied_model(tmp_path)
    model.with_suffix(".json").unlink()

    with pytest.raises(ModelError, match=r"needs its card mask_classifier\.json beside it"):
        MaskClassifier(str(model))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"sha256": "short"}, "sha256: String should match"),
        ({"input": {"width": 96}}, "its card says uint8"),
        ({"input": {"scale": 1.0, "zero_point": 0}}, "pixels would be misread"),
        ({"task": "face-detector"}, "not a mask classifier"),
        ({"thresholds": None}, "not a mask classifier"),
        ({"labels": ["with", "without", "neither"]}, "a mask classifier has mask and no_mask"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        MaskClassifier(str(copied_model(tmp_path, **changes)))


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    model = tmp_path / "mask_classifier.tflite"
    model.write_bytes(b"not a flatbuffer" * 100)
    card = json.loads(CLASSIFIER.with_suffix(".json").read_text()) | {"sha256": file_sha256(model)}
    model.with_suffix(".json").write_text(json.dumps(card))

    with pytest.raises(ModelError, match="cannot be loaded"):
        MaskClassifier(str(model))


def test_a_name_that_is_not_bundled_is_answered_with_those_that_are() -> None:
    with pytest.raises(ModelError, match=r"no bundled model is named 'mask_clasifier'; there is .*mask_classifier"):
        find_model("mask_clasifier")
    with pytest.raises(ModelError, match=r"no model file at /none/x\.tflite"):
        find_model("/none/x.tflite")


@pytest.mark.parametrize(
    ("p_mask", "label"),
    [(1.0, "mask"), (0.8, "mask"), (0.79, "uncertain"), (0.21, "uncertain"), (0.2, "no_mask"), (0.0, "no_mask")],
)
def test_the_label_follows_from_the_two_thresholds(p_mask: float, label: str) -> None:
    assert label_of(p_mask, Thresholds(mask_above=0.8, no_mask_below=0.2)) == label


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, 0.9), (2.0, 0.75), (0.5, 0.9878)])
def test_temperature_spreads_or_sharpens_probabilities(temperature: float, expected: float) -> None:
    scaled = calibrated(np.array([0.9, 0.1], np.float32), temperature)

    assert scaled[0] == pytest.approx(expected, abs=1e-4)
    assert scaled.sum() == pytest.approx(1)


def test_a_probability_of_zero_is_not_taken_for_certainty() -> None:
    assert 0.99 < calibrated(np.array([1.0, 0.0], np.float32), 1.0)[0] < 1


def test_labels_travel_with_the_model(classifier: MaskClassifier, tmp_path: Path, bare_face: Image) -> None:
    """Where the card names the outputs the other way round, the verdict turns round: nothing is known by position."""
    labels = list(classifier.card.labels)
    labels[:2] = labels[1::-1]
    swapped = MaskClassifier(str(copied_model(tmp_path, labels=labels)))
    face = classifier.crop(bare_face, Box(183, 120, 170, 212), classifier.card.crop.margin)

    assert classifier.judge(face).p_mask < 0.2
    assert swapped.judge(face).p_mask > 0.8


def test_thresholds_can_be_set_and_must_not_cross() -> None:
    assert MaskClassifier("mask_classifier", mask_above=0.99).thresholds.mask_above == 0.99
    with pytest.raises(ModelError, match=r"no_mask_below \(0\.9\) is above classifier.mask_above \(0\.5\)"):
        MaskClassifier("mask_classifier", mask_above=0.5, no_mask_below=0.9)


def test_bare_and_masked_faces_are_told_apart(bare_face: Image, masked_face: Image) -> None:
    analyzer = Analyzer(load_detector("face_detector", 0.5), MaskClassifier("mask_classifier"), min_face_px=24)

    (bare,) = analyzer.analyze(bare_face)
    (masked,) = analyzer.analyze(masked_face)

    assert (bare.label, masked.label) == (Label.NO_MASK, Label.MASK)
    assert bare.p_mask < 0.1
    assert masked.p_mask > 0.9
    assert 150 < bare.box.x + bare.box.width / 2 < 370


def test_without_a_detector_the_picture_is_the_face(classifier: MaskClassifier, bare_face: Image) -> None:
    face = bare_face[110:340, 170:365]

    (found,) = Analyzer(None, classifier, min_face_px=24).analyze(face)

    assert (found.box, found.score, found.label) == (whole(face), None, Label.NO_MASK)


def test_a_face_that_is_too_small_is_uncertain_whatever_the_classifier_says(
    classifier: MaskClassifier, bare_face: Image
) -> None:
    tiny = cv2.resize(bare_face[110:340, 170:365], (20, 23), interpolation=cv2.INTER_AREA)

    (found,) = Analyzer(None, classifier, min_face_px=24).analyze(np.asarray(tiny))

    assert (found.label, found.too_small) == (Label.UNCERTAIN, True)


def test_a_smear_is_uncertain(classifier: MaskClassifier, bare_face: Image) -> None:
    smear = np.asarray(cv2.GaussianBlur(bare_face[110:340, 170:365], (0, 0), 25))

    (found,) = Analyzer(None, classifier, min_face_px=24).analyze(smear)

    assert found.sharpness < 12
    assert (found.label, found.too_small) == (Label.UNCERTAIN, False)


def test_sharpness_does_not_depend_on_size(bare_face: Image) -> None:
    face = bare_face[110:340, 170:365]
    half = np.asarray(cv2.resize(face, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))

    assert sharpness(half) == pytest.approx(sharpness(face), rel=0.35)


def test_yunet_finds_faces_in_pictures_of_any_size(yunet: str, bare_face: Image) -> None:
    detector = load_detector(yunet, 0.6)
    large = np.asarray(cv2.resize(bare_face, None, fx=3, fy=3))

    (small_face,) = detector.detect(bare_face)
    (large_face,) = detector.detect(large)

    assert detector.model.identity == "face_detection_yunet_2023mar@8f2383e4"
    assert large_face.box.width == pytest.approx(3 * small_face.box.width, rel=0.1)
    assert detector.detect(np.full((40, 40, 3), 128, np.uint8)) == []


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (20, 20), (640, 3), (3, 640), (10_000, 1)])
def test_yunet_bears_pictures_that_are_too_small_for_it(yunet: str, size: tuple[int, int]) -> None:
    detector = load_detector(yunet, 0.5)
    random = np.random.default_rng(1)

    for _ in range(20):
        for found in detector.detect(random.integers(0, 256, (size[1], size[0], 3), np.uint8)):
            assert found.box.clipped(*size) == found.box


def test_what_yunet_cannot_give_a_place_is_no_face(yunet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV has answered with rows that are not numbers, where depends on what the memory held before: a stand-in."""
    face = np.array([8, 9, 30, 40, *range(10), 0.9], np.float32)
    lost = np.full(15, np.nan, np.float32)

    class Network:
        def setInputSize(self, size: tuple[int, int]) -> None:  # noqa: N802  OpenCV's name.
            self.size = size

        def detect(self, image: Image) -> tuple[int, np.ndarray]:
            assert (image.shape[1], image.shape[0]) == self.size
            return 1, np.stack([lost, face])

    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *_: Network())

    assert Yunet(Path(yunet), 0.5).rows(np.zeros((80, 90, 3), np.uint8)).tolist() == [face.tolist()]


def copied_detector(folder: Path, further: list[dict[str, int]]) -> Path:
    """The shipped detector with other further sizes in its card."""
    model = bundled_models() / "face_detector.tflite"
    shutil.copy(model, folder / model.name)
    card = json.loads(model.with_suffix(".json").read_text())
    card["input"]["further"] = further
    (folder / "face_detector.json").write_text(json.dumps(card))
    return folder / model.name


def test_a_size_that_the_file_lacks_is_named_with_those_that_it_has(tmp_path: Path) -> None:
    model = copied_detector(tmp_path, [{"width": 288, "height": 384}, {"width": 96, "height": 64}])

    with pytest.raises(ModelError, match=r"no signature 96x64, an input size of its card; it has 384x288, .*288x384"):
        load_detector(str(model), 0.5)


@pytest.mark.parametrize("problem", [RuntimeError("XNNPack delegate failed to reshape\nmore"), ValueError("no memory")])
def test_a_size_that_fails_when_it_is_first_used_is_named(problem: Exception) -> None:
    def fails(**_: object) -> None:
        raise problem

    signature = tflite._Signature("face.tflite, input 448x256,", fails, "pixels", {})
    first_line = str(problem).splitlines()[0]

    with pytest.raises(ModelError, match=f"face.tflite, input 448x256, cannot be run: {first_line}$"):
        signature.invoke(np.zeros((256, 448, 3), np.uint8))


@pytest.mark.parametrize(
    "further",
    [[{"width": 288}], [{"width": 0, "height": 384}], [{"width": 448, "height": 256}] * 16],
    ids=["no height", "no width", "very many"],
)
def test_a_further_size_that_is_none_is_refused(tmp_path: Path, further: list[dict[str, int]]) -> None:
    with pytest.raises(ModelError, match=r"face_detector\.json: input\.further"):
        load_detector(str(copied_detector(tmp_path, further)), 0.5)


@pytest.mark.parametrize("model", sorted(bundled_models().glob("face_*.tflite")), ids=lambda path: path.stem)
def test_outputs_of_every_size_go_by_the_same_names(model: Path) -> None:
    card = load_card(model)
    network = TfliteModel(model, card)
    first, *further = [
        network.invoke(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
        for width, height in card.input.sizes
    ]

    assert further
    for outputs in further:
        assert {name: values.ndim for name, values in outputs.items()} == {n: v.ndim for n, v in first.items()}


def test_a_detector_file_that_is_none_is_named(tmp_path: Path) -> None:
    pointer = tmp_path / "yunet.onnx"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\n")

    with pytest.raises(ModelError, match="Git LFS pointer"):
        load_detector(str(pointer), 0.5)
    with pytest.raises(ModelError, match=r"no model file at .*missing\.onnx"):
        load_detector(str(tmp_path / "missing.onnx"), 0.5)


def test_the_runtime_names_itself() -> None:
    assert tflite.runtime_name().split()[0] in ("ai-edge-litert", "tflite-runtime")


def test_the_other_runtime_agrees() -> None:
    """tflite-runtime, which boards with Python 3.11 use, in its own environment (it needs numpy 1)."""
    python = ROOT / ".venv-tflite" / "bin" / "python"
    require(python.exists(), "the second runtime is missing: make tflite (needs Python 3.11)")
    folder = require_shared("data", "faces")
    script = ROOT / "tests" / "support" / "judge_faces.py"
    answers = []
    for interpreter in (python, Path(sys.executable)):
        done = subprocess.run(
            [str(interpreter), str(script), str(folder)],
            capture_output=True,
            text=True,
            timeout=240,
            check=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        answers.append(json.loads(done.stdout))
    ours, other = (np.array(answer["p_mask"]) for answer in answers[::-1])

    assert answers[0]["runtime"].startswith("tflite-runtime 2.14")
    assert len(ours) == 60
    assert ((ours > 0.5) == (other > 0.5)).mean() >= 0.96
    assert np.median(np.abs(ours - other)) < 0.02


def test_the_other_runtime_agrees_on_every_size_of_the_detector() -> None:
    python = ROOT / ".venv-tflite" / "bin" / "python"
    require(python.exists(), "the second runtime is missing: make tflite (needs Python 3.11)")
    ask = (
        "import json; from support.judge_pictures import *; "
        "print(json.dumps([runtime_name(), outputs_of(bundled_models() / 'face_detector.tflite')]))"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    answers = [
        json.loads(
            subprocess.run(
                [str(interpreter), "-c", ask],
                capture_output=True,
                text=True,
                timeout=240,
                check=True,
                env=os.environ | {"PYTHONPATH": path},
            ).stdout
        )
        for interpreter in (python, Path(sys.executable))
    ]
    (runtime, theirs), (_, ours) = answers

    assert runtime.startswith("tflite-runtime 2.14")
    assert len(ours) == 6 * len(load_card(bundled_models() / "face_detector.tflite").input.sizes)
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        largest = max(1.0, float(np.abs(values).max()))
        assert np.abs(np.array(values) - theirs[name]).mean() / largest < 0.04, (
            name
        )  # as tests/system/test_aarch64.py allows
