"""The letterbox, and the bundled model on the portrait that travels with it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.assembly import load_detector_of
from edge.errors import ModelError
from edge.settings import DetectorSettings, Settings
from edge.sources.demo import masked
from edge.vision.cards import find_model
from edge.vision.face_detector import Letterbox, MaskAwareFaceDetector
from edge.vision.geometry import Image
from edge.vision.tflite import TfliteModel


@pytest.mark.parametrize(
    ("shape", "covered"),
    [
        ((100, 200), (192, 96)),
        ((200, 100), (48, 96)),
        ((96, 192), (192, 96)),
        ((20, 30), (60, 40)),
        ((1, 900), (192, 1)),
    ],
    ids=["landscape", "portrait", "as large as the input", "small: twice, not more", "a line"],
)
def test_pictures_of_any_shape_fit_without_distortion(shape: tuple[int, int], covered: tuple[int, int]) -> None:
    letterbox = Letterbox([(192, 96)], background=7, enlarge=2.0)
    pixels, ratio = letterbox(np.full((*shape, 3), 200, np.uint8))
    assert pixels.shape == (96, 192, 3)
    inside = np.zeros((96, 192), bool)
    inside[: covered[1], : covered[0]] = True
    assert (pixels[inside] == 200).all()
    assert (pixels[~inside] == 7).all()
    assert ratio == (shape[1] / covered[0], shape[0] / covered[1])


def test_a_smaller_picture_leaves_nothing_of_the_one_before() -> None:
    letterbox = Letterbox([(64, 64)], background=0, enlarge=1.0)
    pixels: NDArray[np.uint8] = np.full((64, 64, 3), 255, np.uint8)
    letterbox.fit(np.full((10, 10, 3), 255, np.uint8), pixels)
    assert int((pixels > 0).sum()) == 10 * 10 * 3


@pytest.mark.parametrize(
    ("picture", "size"),
    [
        ((1280, 720), (448, 256)),
        ((3000, 2000), (384, 256)),
        ((400, 267), (384, 256)),
        ((400, 270), (384, 288)),
        ((2000, 3000), (256, 384)),
        ((1024, 768), (384, 288)),
        ((1200, 1000), (384, 288)),
        ((1100, 1000), (320, 320)),
        ((1000, 1000), (320, 320)),
        ((768, 1024), (288, 384)),
        ((720, 1280), (256, 448)),
        ((100, 100), (384, 256)),
        ((300, 300), (320, 320)),
        ((4000, 1), (448, 256)),
    ],
    ids=lambda pair: "x".join(map(str, pair)),
)
def test_the_smallest_input_that_shows_a_picture_largest_is_taken(
    picture: tuple[int, int], size: tuple[int, int]
) -> None:
    sizes = [(384, 288), (448, 256), (384, 256), (320, 320), (288, 384), (256, 384), (256, 448)]
    letterbox = Letterbox(sizes, background=0, enlarge=1.0)
    image = np.zeros((picture[1], picture[0], 3), np.uint8)
    assert letterbox.size_for(image) == size
    assert letterbox(image)[0].shape[1::-1] == size


def test_of_equal_inputs_that_show_a_picture_alike_the_first_is_taken() -> None:
    image = np.zeros((500, 500, 3), np.uint8)
    for sizes in ([(64, 96), (96, 64)], [(96, 64), (64, 96)]):
        assert Letterbox(sizes, background=0, enlarge=1.0).size_for(image) == sizes[0]


def test_colours_are_swapped_to_rgb() -> None:
    pixels, _ = Letterbox([(8, 8)], 0, 1.0)(np.full((8, 8, 3), (255, 0, 0), np.uint8))
    assert pixels[0, 0].tolist() == [0, 0, 255]


def test_a_large_picture_is_averaged_not_sampled() -> None:
    stripes = np.zeros((640, 640, 3), np.uint8)
    stripes[:, ::2] = 255
    pixels, _ = Letterbox([(64, 64)], 0, 1.0)(stripes)
    assert 120 <= pixels.min() <= pixels.max() <= 135


@pytest.fixture(scope="module")
def bundled() -> MaskAwareFaceDetector:
    return MaskAwareFaceDetector(find_model("face_detector"), 0.5)


@pytest.mark.parametrize("wears", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.5, 0.35, 0.25])
def test_the_bundled_model_finds_a_face_large_and_small(
    bundled: MaskAwareFaceDetector,
    bare_face: Image,
    wears: bool,
    scale: float,
) -> None:
    face = cv2.resize(masked(bare_face) if wears else bare_face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    picture = np.full((640, 853, 3), 128, np.uint8)
    picture[20 : 20 + face.shape[0], 60 : 60 + face.shape[1]] = face
    found = bundled.detect(picture)[0]
    x, y = found.box.centre
    assert (x - 60) / face.shape[1] == pytest.approx(0.52, abs=0.06)
    assert (y - 20) / face.shape[0] == pytest.approx(0.39, abs=0.06)


@pytest.mark.parametrize(
    "shape",
    [(720, 1280), (960, 1280), (900, 900), (1280, 960), (1280, 720)],
    ids=lambda shape: f"{shape[1]}x{shape[0]}",
)
def test_a_face_is_where_it_is_in_pictures_of_every_shape(
    bundled: MaskAwareFaceDetector, bare_face: Image, shape: tuple[int, int]
) -> None:
    picture = np.full((*shape, 3), 128, np.uint8)
    left, top = shape[1] - bare_face.shape[1], shape[0] - bare_face.shape[0]
    picture[top:, left:] = bare_face
    (found,) = bundled.detect(picture)
    x, y = found.box.centre
    assert (x - left) / bare_face.shape[1] == pytest.approx(0.52, abs=0.06)
    assert (y - top) / bare_face.shape[0] == pytest.approx(0.39, abs=0.06)


@pytest.mark.parametrize(
    ("picture", "shown"),
    [((720, 1280), (256, 448)), ((960, 1280), (288, 384)), ((900, 900), (320, 320)), ((1280, 960), (384, 288))],
    ids=["wide", "first", "square", "upright"],
)
def test_the_network_gets_the_input_that_suits_the_picture_and_an_older_one_its_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: tuple[int, int], shown: tuple[int, int]
) -> None:
    model = find_model("face_detector")
    shutil.copy(model, tmp_path / model.name)
    card = json.loads(model.with_suffix(".json").read_text())
    del card["input"]["further"]
    (tmp_path / "face_detector.json").write_text(json.dumps(card))
    seen, right = [], TfliteModel.invoke
    monkeypatch.setattr(
        TfliteModel, "invoke", lambda self, pixels: seen.append(pixels.shape[:2]) or right(self, pixels)
    )

    for file in (model, tmp_path / model.name):
        MaskAwareFaceDetector(file, 0.5).detect(np.zeros((*picture, 3), np.uint8))

    assert seen == [shown, (288, 384)]


@pytest.mark.parametrize(("box", "says"), [("no such", "no output named 'no such'"), (None, "outputs of other shapes")])
def test_a_card_that_speaks_of_other_outputs_is_refused(
    box: str | None, says: str, tmp_path: Path, bare_face: Image
) -> None:
    model = Path(shutil.copy(find_model("face_detector"), tmp_path))
    card = json.loads(find_model("face_detector").with_suffix(".json").read_text())
    first, second, _ = card["decoding"]["grids"]
    first["box"] = box or second["box"]
    model.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=says):
        MaskAwareFaceDetector(model, 0.5).detect(bare_face)


@pytest.mark.parametrize("wears", [False, True])
@pytest.mark.parametrize(("contrast", "veil"), [(0.25, 110), (0.2, 0)], ids=["haze", "underexposed"])
def test_the_bundled_model_finds_a_small_face_in_a_picture_of_little_contrast(
    bundled: MaskAwareFaceDetector, bare_face: Image, wears: bool, contrast: float, veil: int
) -> None:
    face = cv2.resize(masked(bare_face) if wears else bare_face, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    picture = np.full((640, 853, 3), 128, np.uint8)
    picture[20 : 20 + face.shape[0], 60 : 60 + face.shape[1]] = face
    flat = (picture * contrast + veil).astype(np.uint8)
    x, y = bundled.detect(flat)[0].box.centre
    assert 60 < x < 60 + face.shape[1]
    assert 20 < y < 20 + face.shape[0]


@pytest.mark.parametrize("shape", [(480, 640), (1, 1), (2000, 3), (7, 900), (33, 17)])
def test_plain_pictures_of_any_shape_hold_no_face(bundled: MaskAwareFaceDetector, shape: tuple[int, int]) -> None:
    assert bundled.detect(np.full((*shape, 3), 60, np.uint8)) == []


def test_nothing_of_one_picture_is_left_in_the_network_for_the_next(
    bundled: MaskAwareFaceDetector, bare_face: Image
) -> None:
    upright = np.ascontiguousarray(bare_face[:, :400])
    first = bundled.detect(upright)
    bundled.detect(np.full((480, 640, 3), 255, np.uint8))
    assert first
    assert bundled.detect(upright) == first


def test_a_profiler_that_holds_frames_disturbs_nothing(bundled: MaskAwareFaceDetector, bare_face: Image) -> None:
    picture, held = bare_face, list[object]()
    expected = bundled.detect(picture)
    sys.setprofile(lambda frame, _event, _about: held.append(frame))
    try:
        found = [bundled.detect(picture) for _ in range(2)]
    finally:
        sys.setprofile(None)

    assert found == [expected, expected]
    assert expected


def test_more_threads_find_the_same_faces(bare_face: Image) -> None:
    def tasks() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    one = load_detector_of(Settings(detector=DetectorSettings(threads=1)))
    before = tasks()
    three = load_detector_of(Settings(detector=DetectorSettings(threads=3)))

    for picture in (bare_face, masked(bare_face)):
        assert three.detect(picture) == one.detect(picture) != []
    assert tasks() >= before + 2
