"""The loop and the way to a file, on a network with random weights: sound, not good."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the training side needs the extra `train`")

from edge.errors import ModelError  # noqa: E402
from edge.vision.face_detector import MaskAwareFaceDetector  # noqa: E402
from train.detector import export  # noqa: E402
from train.detector.architecture import STRIDES, build, output_names  # noqa: E402
from train.detector.calibrate import Line  # noqa: E402
from train.detector.data import Photo  # noqa: E402
from train.detector.feeder import Batch  # noqa: E402
from train.detector.float_detector import FloatDetector  # noqa: E402
from train.detector.trainer import FitOptions, Trainer  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")

_SIZE = (64, 96)
_PROVENANCE = export.Provenance("face_detector", "0", "none", 1, "none", "none")


def _batch(seed: int) -> Batch:
    """Grey pictures with a bright oval each."""
    rng = np.random.default_rng(seed)
    pixels = np.full((2, 64, 64, 3), 90, np.uint8)
    faces = np.zeros((2, 4, 4), np.float32)
    for row in range(2):
        left, top = (int(v) for v in rng.integers(4, 30, 2))
        cv2.ellipse(pixels[row], (left + 12, top + 14), (12, 14), 0, 0, 360, (230, 200, 180), -1)
        faces[row, 0] = (left, top, 24, 28)
    return Batch(pixels, faces, np.zeros_like(faces), *np.ones((2, 2, 4), np.float32))


def test_learning_lowers_the_loss_and_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    options = FitOptions(steps=60, batch=2, size=64, warm=2, rate=5e-3)
    trainer = Trainer(options, tmp_path)
    assert not trainer.resume()
    trainer.begin_average()
    box_losses = [trainer.learn(_batch(0))[1] for _ in range(40)]
    assert np.mean(box_losses[-5:]) < 0.85 * np.mean(box_losses[:5])
    trainer.save()

    again = Trainer(options, tmp_path)
    assert again.resume()
    assert int(again.step) == 40
    for mine, its in zip(trainer.average.get_weights(), again.average.get_weights(), strict=True):
        assert np.array_equal(mine, its)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tf.keras.utils.set_random_seed(5)
    path = tmp_path_factory.mktemp("weights") / "average.weights.h5"
    network = build()
    # A random network gives the same score everywhere; a larger last layer makes it give some that differ, and the
    # bias keeps their range from being a sliver around zero, which no 8-bit scale can hold (XNNPACK refuses it).
    kernel, _ = network.get_layer("score").get_weights()
    network.get_layer("score").set_weights([kernel * 40, np.full(1, -0.5, np.float32)])
    network.save_weights(str(path))
    return path


@pytest.fixture(scope="module")
def content(weights: Path) -> bytes:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (*_SIZE, 3)).astype(np.uint8) for _ in range(4)]
    return export.quantise(export.finished_network(weights, _SIZE, Line()), pictures)


def test_outputs_have_the_shapes_of_their_strides() -> None:
    network = build(_SIZE)
    shapes = [tuple(output.shape[1:]) for output in network.outputs]
    assert shapes == [(64 // s, 96 // s, c) for c in (1, 4) for s in STRIDES]
    assert len(output_names()) == len(shapes)


def test_a_size_that_is_no_multiple_of_the_stride_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        build((60, 96))


def test_the_line_is_built_into_the_scores(weights: Path) -> None:
    pixels = np.random.default_rng(1).uniform(-1, 1, (1, *_SIZE, 3)).astype(np.float32)
    plain = export.finished_network(weights, _SIZE, Line())(pixels)[0].numpy()
    steep = export.finished_network(weights, _SIZE, Line(2.0, 0.5))(pixels)[0].numpy()
    logit = np.log(plain / (1 - plain))
    assert steep == pytest.approx(1 / (1 + np.exp(-(2 * logit + 0.5))), abs=1e-4)


@pytest.mark.parametrize(
    ("size", "covered"),
    [
        ((96, 128), [1 / 4] * 4),
        ((480, 640), [1 / 100, 4 / 100] * 2),
        # Three photos side by side, whose places are not all of one size.
        ((768, 1024), [1 / 256, 9 / 256]),
        ((736, 960), [1 / 230, 9 / 230]),
    ],
    ids=["small", "large", "no third of a width", "no third of a height"],
)
def test_a_large_input_is_calibrated_on_groups_of_photos_too(size: tuple[int, int], covered: list[float]) -> None:
    white = np.full((48, 64, 3), 255, np.uint8)
    none = np.zeros((0, 4), np.float32)
    jpeg = cv2.imencode(".png", white)[1].tobytes()
    photo = Photo("white", "no_face", "train", jpeg, none, none, np.zeros(0, np.int64))
    pictures = export.calibration_pictures([photo] * 18, size, 4, seed=1)
    assert [picture.shape for picture in pictures] == [(*size, 3)] * len(covered)
    assert [float((picture == 255).mean()) for picture in pictures] == pytest.approx(covered)


def test_the_file_is_what_the_daemon_relies_on(content: bytes) -> None:
    names = export.checked_outputs(content, _SIZE)
    assert len(set(names)) == 6
    with pytest.raises(ModelError, match="expected an input"):
        export.checked_outputs(content, (64, 64))


def test_the_daemon_reads_the_file_by_its_card(content: bytes, weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "face_detector.tflite"
    export.write(content, export.card(content, _SIZE, _PROVENANCE, Line()), path)
    detector = MaskAwareFaceDetector(path, 0.3)
    assert detector.model.identity.startswith("face_detector@")
    image = np.random.default_rng(2).integers(0, 255, (50, 70, 3)).astype(np.uint8)
    network = build()
    network.load_weights(str(weights))
    wanted = FloatDetector(network, _SIZE, 0.3).detect(image)
    found = detector.detect(image)
    assert wanted
    assert abs(len(found) - len(wanted)) <= 0.5 * len(wanted) + 2
    for face in found:
        assert 0 <= face.box.x < face.box.x + face.box.width <= 70
        assert 0 <= face.box.y < face.box.y + face.box.height <= 50
        assert 0.29 <= face.score <= 1


def test_another_file_than_the_card_tells_of_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "face_detector.tflite"
    text = export.card(content, _SIZE, _PROVENANCE, Line())
    export.write(content, text, path)
    path.with_suffix(".json").write_text(json.dumps({**text, "sha256": "0" * 64}))
    with pytest.raises(ModelError):
        MaskAwareFaceDetector(path, 0.3)
