"""Further input sizes of a file: which there are, that they answer as a file made for them, and what is refused."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

tf = pytest.importorskip("tensorflow", reason="the training side needs the extra `train`")

import flatbuffers  # noqa: E402
from tensorflow.lite.python import schema_py_generated as schema  # noqa: E402

from edge.errors import ModelError  # noqa: E402
from edge.vision.cards import ModelCard, bundled_models, load_card  # noqa: E402
from edge.vision.face_detector import MaskAwareFaceDetector  # noqa: E402
from edge.vision.tflite import TfliteModel  # noqa: E402
from support.networks import loud_detector  # noqa: E402
from train.detector import export  # noqa: E402
from train.detector.architecture import build  # noqa: E402
from train.detector.calibrate import Line  # noqa: E402
from train.detector.float_detector import FloatDetector  # noqa: E402
from train.detector.input_sizes import Size, further_sizes, sizes_of, with_further_sizes  # noqa: E402
from train.kernels import read_kernels  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")

_FIRST, _UPRIGHT, _OTHER = (64, 96), (96, 64), (160, 128)
_PROVENANCE = export.Provenance("face_detector", "0", "none", 1, "none", "none")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "average.weights.h5"
    network = loud_detector(5)
    score = network.get_layer("score")
    score.set_weights([score.get_weights()[0], np.full(1, -0.5, np.float32)])
    network.save_weights(str(path))
    return path


@pytest.fixture(scope="module")
def one_size(weights: Path) -> bytes:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (*_FIRST, 3)).astype(np.uint8) for _ in range(4)]
    return export.quantise(export.finished_network(weights, _FIRST, Line()), pictures)


@pytest.fixture(scope="module")
def content(one_size: bytes) -> bytes:
    return with_further_sizes(one_size, (_UPRIGHT, _OTHER))


def _changed(content: bytes, change: Callable[[Any], None]) -> bytes:
    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    change(model)
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _by_shape(outputs: dict[str, NDArray[np.float32]]) -> dict[tuple[int, ...], NDArray[np.float32]]:
    return {values.shape: values for values in outputs.values()}


@pytest.mark.parametrize(
    ("first", "further"),
    [
        ((288, 384), [(256, 448), (256, 384), (320, 320), (384, 288), (384, 256), (448, 256)]),
        ((480, 640), [(416, 736), (448, 672), (544, 544), (640, 480), (672, 448), (736, 416)]),
        ((320, 320), [(256, 416), (256, 384), (288, 352), (352, 288), (384, 256), (416, 256)]),
        ((64, 96), [(64, 64), (96, 64)]),
        ((32, 32), []),
    ],
    ids=lambda value: None if isinstance(value, list) else f"{value[1]}x{value[0]}",
)
def test_further_sizes_have_about_the_area_of_the_first_and_suit_other_pictures(
    first: Size, further: list[Size]
) -> None:
    assert list(further_sizes(first)) == further


@pytest.fixture(scope="module")
def in_floats(weights: Path) -> bytes:
    """Converted without quantisation: nothing depends on what the file is calibrated with."""
    converter = tf.lite.TFLiteConverter.from_keras_model(export.finished_network(weights, _FIRST, Line()))
    with contextlib.redirect_stdout(sys.stderr):
        return with_further_sizes(converter.convert(), (_UPRIGHT, _OTHER))


@pytest.mark.parametrize("size", [_UPRIGHT, _OTHER], ids=["upright", "larger"])
def test_a_further_size_answers_like_the_network_of_that_size(in_floats: bytes, weights: Path, size: Size) -> None:
    picture = np.random.default_rng(3).uniform(-1, 1, (1, *size, 3)).astype(np.float32)
    resized = tf.lite.Interpreter(model_content=in_floats)
    found = _by_shape(resized.get_signature_runner(f"{size[1]}x{size[0]}")(pixels=picture))
    made_for_it = export.finished_network(weights, size, Line())(picture)

    assert len(made_for_it) == len(found) == 6
    for output in made_for_it:
        values = np.asarray(output)
        assert float(values.std()) > 0.01
        assert np.abs(found[values.shape] - values).max() < 1e-4


@pytest.fixture(scope="module")
def network(weights: Path) -> Any:
    network = build()
    network.load_weights(str(weights))
    return network


@pytest.mark.parametrize("shape", [(50, 70), (90, 60), (300, 200)], ids=["wide", "upright", "upright and large"])
def test_the_daemon_sees_what_the_float_network_sees(
    one_size: bytes, network: Any, tmp_path: Path, shape: tuple[int, int]
) -> None:
    path = tmp_path / "face_detector.tflite"
    content = with_further_sizes(one_size, further_sizes(_FIRST))
    export.write(content, export.card(content, _FIRST, _PROVENANCE, Line()), path)
    image = np.random.default_rng(2).integers(0, 255, (*shape, 3)).astype(np.uint8)

    wanted = FloatDetector(network, _FIRST, 0.3).detect(image)
    found = MaskAwareFaceDetector(path, 0.3).detect(image)

    assert wanted
    assert abs(len(found) - len(wanted)) <= 0.5 * len(wanted) + 2
    assert found[0].score == pytest.approx(wanted[0].score, abs=0.1)


@pytest.mark.parametrize("size", [_FIRST, _UPRIGHT, _OTHER], ids=["first", "upright", "larger"])
def test_8_bits_hold_in_a_further_size_what_they_hold_in_the_first(
    content: bytes, weights: Path, tmp_path: Path, size: Size
) -> None:
    """Scales are those of the first size, by which the file was calibrated."""
    path = tmp_path / "face_detector.tflite"
    text = export.card(content, _FIRST, _PROVENANCE, Line())
    export.write(content, text, path)
    pixels = np.random.default_rng(2).integers(0, 255, (*size, 3)).astype(np.uint8)

    wanted = export.finished_network(weights, size, Line())(pixels[None].astype(np.float32) / 127.5 - 1)[0]
    found = TfliteModel(path, load_card(path)).invoke(pixels)[text["decoding"]["grids"][0]["score"]]

    assert found.shape == (size[0] // 8, size[1] // 8, 1)
    assert np.corrcoef(found.ravel(), np.ravel(wanted))[0, 1] > 0.9


def test_the_first_size_and_the_weights_stay_what_they_were(one_size: bytes, content: bytes) -> None:
    assert sizes_of(one_size) == (_FIRST,)
    assert sizes_of(content) == (_FIRST, _UPRIGHT, _OTHER)
    assert export.checked_outputs(content, _FIRST) == export.checked_outputs(one_size, _FIRST)
    assert len(content) - len(one_size) < 2 * 20_000
    (before, plain_before), (after, plain_after) = read_kernels(one_size), read_kernels(content)
    assert before.keys() == after.keys()
    pairs = [*((before[name], after[name]) for name in before), *zip(plain_before, plain_after, strict=True)]
    assert all(np.array_equal(old.kernel, new.kernel) and np.array_equal(old.bias, new.bias) for old, new in pairs)


def test_the_card_tells_of_the_further_sizes(one_size: bytes, content: bytes) -> None:
    def sizes(file: bytes) -> tuple[tuple[int, int], ...]:
        return ModelCard.model_validate(export.card(file, _FIRST, _PROVENANCE, Line())).input.sizes

    assert sizes(one_size) == ((96, 64),)
    assert sizes(content) == ((96, 64), (64, 96), (128, 160))


@pytest.mark.parametrize("model", sorted(bundled_models().glob("face_*.tflite")), ids=lambda path: path.stem)
def test_a_shipped_detector_has_the_sizes_that_go_with_its_first(model: Path) -> None:
    first = load_card(model).input
    assert sizes_of(model.read_bytes())[1:] == further_sizes((first.height, first.width))
    assert first.sizes[1:] == tuple((width, height) for height, width in further_sizes((first.height, first.width)))


def test_what_cannot_be_resized_is_refused(one_size: bytes, content: bytes) -> None:
    with pytest.raises(ModelError, match="a file of one subgraph, got 3"):
        with_further_sizes(content, (_UPRIGHT,))
    with pytest.raises(ModelError, match="multiples of 32, got 100x64 beside 96x64"):
        with_further_sizes(one_size, ((64, 100),))

    def with_a_reshape(model: Any) -> None:
        model.operatorCodes[0].builtinCode = model.operatorCodes[0].deprecatedBuiltinCode = (
            schema.BuiltinOperator.RESHAPE
        )

    with pytest.raises(ModelError, match="RESHAPE, which may depend on the size"):
        with_further_sizes(_changed(one_size, with_a_reshape), (_UPRIGHT,))


def _no_signature(model: Any) -> None:
    model.signatureDefs.pop()


def _signature_of_another(model: Any) -> None:
    model.signatureDefs[2].subgraphIndex = 1


def _other_name(model: Any) -> None:
    model.signatureDefs[1].outputs[0].name = b"score"


def _other_scale(model: Any) -> None:
    graph = model.subgraphs[2]
    graph.tensors[graph.inputs[0]].quantization.scale[0] *= 2


def _other_output(model: Any) -> None:
    graph = model.subgraphs[1]
    graph.tensors[graph.outputs[0]].shape[1] += 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_no_signature, "subgraph 2 of the file has no signature 128x160"),
        (_signature_of_another, "subgraph 2 of the file has no signature 128x160"),
        (_other_name, "the outputs of 64x96 have other names"),
        (_other_scale, "the input of the file has scale"),
        (_other_output, "expected an output of"),
    ],
)
def test_every_size_of_a_file_is_checked(content: bytes, change: Callable[[Any], None], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        export.checked_outputs(_changed(content, change), _FIRST)
