"""Reading the data's layout, from a tiny set of the same layout."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import ImageError, UsageError
from edge.vision.geometry import Image
from fuzz.pictures import damaged_animation
from support.components import ROOT
from train.detector import material, teacher
from train.detector.boxes import BARE, GUESSED, INCORRECT, MARGINS, MASK, to_our_rule
from train.detector.data import NO_FACE, Photo, decode, read_face_free, read_faces, read_folder, read_photos
from train.detector.scene import FACE, IGNORE, scene_of


def _jpeg(value: int) -> bytes:
    _, data = cv2.imencode(".jpg", np.full((40, 60, 3), value, np.uint8))
    return bytes(data.tobytes())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "detection").mkdir()
    (tmp_path / "faces").mkdir()
    photos = [("a.jpg", "andrewmvd", "train"), ("b.jpg", "macwin", "test")]
    boxes = [(1, 1, [10, 10, 20, 20]), (1, 2, [40, 10, 10, 10]), (1, 3, [0, 0, 5, 5])]
    content = {
        "images": [
            {"id": i + 1, "file_name": name, "width": 60, "height": 40, "source": source, "split": split}
            for i, (name, source, split) in enumerate(photos)
        ],
        "annotations": [{"image_id": image, "category_id": category, "bbox": box} for image, category, box in boxes],
        "categories": [{"id": 1, "name": "mask"}, {"id": 2, "name": "no_mask"}, {"id": 3, "name": "incorrect"}],
    }
    (tmp_path / "detection" / "annotations.json").write_text(json.dumps(content))
    with ZipFile(tmp_path / "detection" / "photos.zip", "w") as archive:
        for name, _, _ in photos:
            archive.writestr(name, _jpeg(100))
    with ZipFile(tmp_path / "detection" / "no_face.zip", "w") as archive:
        archive.writestr("owl.jpg", _jpeg(50))
    rows = list(_rows())
    with ZipFile(tmp_path / "faces" / "extra.zip", "w") as archive:
        for row in rows:
            if row["path"].startswith("faces"):
                archive.writestr(row["path"].split("!")[1], _jpeg(200))
    with (tmp_path / "MANIFEST.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path


def _rows() -> Iterator[dict[str, str]]:
    base = {"label": "no_mask", "split": "train", "kind": "crop", "group_id": "g1", "flags": ""}
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        yield {"path": f"faces/extra.zip!{name}", **base}
    yield {"path": "faces/extra.zip!4.jpg", **base, "group_id": "g2", "flags": "simulated_mask augmented"}
    yield {"path": "faces/extra.zip!5.jpg", **base, "group_id": "g3", "label": "drop"}
    yield {"path": "faces/extra.zip!6.jpg", **base, "group_id": "g4", "split": "test"}
    yield {"path": "detection/no_face.zip!owl.jpg", **base, "label": "no_face", "flags": "detector_bait"}


def test_photos_come_by_split_with_both_sorts_of_boxes(data: Path) -> None:
    (photo,) = read_photos(data, "train")
    assert photo.name == "a.jpg"
    assert photo.kinds.tolist() == [MASK, BARE, INCORRECT]
    assert photo.given[0].tolist() == [10, 10, 20, 20]
    assert photo.boxes[0] == pytest.approx([10, 7.6, 20, 22.4])
    assert photo.pixels().shape == (40, 60, 3)


def test_a_photo_without_boxes_is_kept(data: Path) -> None:
    (photo,) = read_photos(data, "test")
    assert photo.given.shape == photo.boxes.shape == (0, 4)


def test_face_free_photos_know_whether_they_are_bait(data: Path) -> None:
    (photo,) = read_face_free(data, "train")
    assert photo.bait
    assert read_face_free(data, "val") == []


def test_crops_are_few_of_a_group_and_none_that_is_augmented_or_dropped(data: Path) -> None:
    assert [face.name for face in read_faces(data, "train", per_group=2)] == [
        "faces/extra.zip!1.jpg",
        "faces/extra.zip!2.jpg",
    ]


def test_bytes_that_are_no_picture_are_named() -> None:
    for content, reason in ((b"abc", "not a picture"), (b"", "the file is empty"), (_jpeg(9)[:-9], "is cut off")):
        with pytest.raises(ImageError, match=f"^cat.jpg cannot be decoded: .*{reason}"):
            decode(content, "cat.jpg")


def _alter(data: Path, part: str, index: int, **values: object) -> None:
    path = data / "detection" / "annotations.json"
    content = json.loads(path.read_text())
    content[part][index] |= values
    path.write_text(json.dumps(content))


def test_an_unknown_source_of_boxes_is_named(data: Path) -> None:
    _alter(data, "images", 0, source="ours")
    with pytest.raises(UsageError, match=r"^a.jpg: .* source ours; known are andrewmvd and macwin"):
        read_photos(data, "train")


def test_an_annotation_file_of_another_form_is_named(data: Path) -> None:
    _alter(data, "categories", 0, name="visor")
    with pytest.raises(UsageError, match=r"annotations.json is not of the COCO form: KeyError\('visor'\)"):
        read_photos(data, "train")


@pytest.mark.parametrize(
    "box",
    [[1, 2, 3, 4, 1, 2, 3, 4], [1, 2, 3], [1, float("nan"), 9, 9], [20, 20, -5, 5], [20, 20, 5, 0], [60, 5, 9, 9]],
    ids=["two", "three numbers", "NaN", "negative width", "no height", "beside the photo"],
)
def test_a_box_that_is_none_is_named_with_its_photo(data: Path, box: list[float]) -> None:
    _alter(data, "annotations", 1, bbox=box)
    with pytest.raises(UsageError, match=r"^a.jpg: \[.*\] is no box in 60 x 40 pixels$"):
        read_photos(data, "train")


def test_a_box_may_reach_beyond_the_edge(data: Path) -> None:
    _alter(data, "annotations", 1, bbox=[50, -2, 11, 20])
    assert read_photos(data, "train")[0].given[1].tolist() == [50, -2, 11, 20]


def test_a_part_without_photos_is_refused(data: Path) -> None:
    with pytest.raises(UsageError, match="no photos of the split val"):
        read_photos(data, "val")


@pytest.mark.parametrize("content", [None, b"{", b"path,label\n", b"\xff"], ids=["missing", "JSON", "CSV", "no text"])
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("detection/annotations.json", read_photos),
        ("detection/photos.zip", read_photos),
        ("MANIFEST.csv", read_face_free),
        ("detection/no_face.zip", read_face_free),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    data: Path, name: str, read: Callable[[Path, str], list[Photo]], content: bytes | None
) -> None:
    _spoil(data / name, content)
    with pytest.raises(UsageError, match=Path(name).name):
        read(data, "train")


def test_a_manifest_that_was_cut_off_is_named(data: Path) -> None:
    path = data / "MANIFEST.csv"
    path.write_bytes(path.read_bytes().rstrip()[:-20])
    with pytest.raises(UsageError, match=r"MANIFEST\.csv, line 8: has more or fewer columns"):
        read_face_free(data, "train")


def test_a_manifest_may_begin_with_the_mark_of_a_spreadsheet(data: Path) -> None:
    path, without = data / "MANIFEST.csv", read_face_free(data, "train")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [photo.jpeg for photo in read_face_free(data, "train")] == [photo.jpeg for photo in without]


def _spoil(path: Path, content: bytes | None) -> None:
    path.unlink()
    if content is not None:
        path.write_bytes(content)


def test_a_photo_that_the_archive_lacks_is_named(data: Path) -> None:
    _alter(data, "images", 0, file_name="gone.jpg")
    with pytest.raises(ImageError, match=r"gone.jpg cannot be read from detection/photos.zip"):
        read_photos(data, "train")


def test_the_teacher_is_asked_again_about_other_pictures_of_the_same_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class _Teacher:
        """Gives one row, whose score is the picture's brightness."""

        def __init__(self, model: Path) -> None:
            pass

        def look(self, image: Image, _: tuple[int, ...]) -> NDArray[np.float32]:
            asked.append(int(image[0, 0, 0]))
            return np.array([[0, 0, 9, 9, image[0, 0, 0]]], np.float32)

    asked: list[int] = []
    monkeypatch.setattr(teacher, "Teacher", _Teacher)
    (tmp_path / "yunet.onnx").write_bytes(b"teacher")
    for value in (90, 200, 90):
        photo = replace(_photo(), jpeg=_jpeg(value))
        seen = teacher.labels(tmp_path / "yunet.onnx", [photo], tmp_path / "cache")
        assert seen[photo.name][0, 4] == value
    assert asked == [90, 200]


def _photo(source: str = "andrewmvd") -> Photo:
    box = np.array([[10, 10, 20, 20]], np.float32)
    return Photo("p", source, "train", _jpeg(9), box, box, np.array([MASK]))


@pytest.mark.parametrize(
    ("seen", "roles"),
    [
        ([12, 8, 18, 22, 0.9], [FACE]),
        ([12, 10, 16, 9, 0.9], [FACE]),
        ([40, 10, 10, 12, 0.9], [FACE, FACE]),
        ([40, 10, 10, 12, 0.3], [FACE, IGNORE]),
        ([40, 10, 10, 12, 0.1], [FACE]),
    ],
    ids=["the boxed face", "the eyes of the boxed face", "a face nobody boxed", "perhaps a face", "hardly a face"],
)
def test_the_teacher_adds_what_nobody_boxed(seen: list[float], roles: list[int]) -> None:
    assert scene_of(_photo(), np.array([seen], np.float32)).roles.tolist() == roles


def test_the_teacher_is_not_believed_where_there_is_no_face() -> None:
    empty = np.zeros((0, 4), np.float32)
    photo = Photo("p", "no_face", "train", _jpeg(9), empty, empty, np.zeros(0, np.int64))
    assert len(scene_of(photo, np.array([[40, 10, 10, 12, 0.9]], np.float32)).boxes) == 0


def test_a_folder_of_further_pictures_without_a_face(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "spoon.JPG").write_bytes(_jpeg(30))
    (tmp_path / "a.png").write_bytes(_jpeg(60))
    (tmp_path / "notes.txt").write_text("no picture")
    found = read_folder(tmp_path, NO_FACE)
    assert [Path(photo.name).name for photo in found] == ["a.png", "spoon.JPG"]
    assert [int(photo.pixels().mean().round()) for photo in found] == [60, 30]
    assert not any(len(photo.boxes) for photo in found)
    with pytest.raises(UsageError, match=r"holds no picture \(.bmp"):
        read_folder(tmp_path / "c", NO_FACE)


def test_a_damaged_second_frame_of_a_picture_without_a_face_does_not_crash(tmp_path: Path) -> None:
    (tmp_path / "animated.png").write_bytes(damaged_animation())
    program = "import sys, pathlib\nfrom train.detector.data import read_folder\n"
    program += "(photo,) = read_folder(pathlib.Path(sys.argv[1]), 'no_face')\nprint(photo.pixels().shape)"
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "(8, 8, 3)\n"), ended.stderr


def test_further_pictures_are_kept_no_larger_than_they_are_seen(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = tmp_path / "camera"
    camera.mkdir()
    cv2.imwrite(str(camera / "large.png"), np.zeros((1200, 1920, 3), np.uint8))
    row = np.array([[200, 400, 200, 240, 0.9]], np.float32)
    monkeypatch.setattr(material, "labels", lambda _, pictures, *__: {picture.name: row for picture in pictures})

    found = material.gather(data, "train", Path(), tmp_path, face_free=camera, unboxed=camera)

    assert [scene.pixels.shape for scene in (found.empty[-1], *found.unboxed)] == [(600, 960, 3)] * 2
    assert np.allclose(found.unboxed[0].boxes, to_our_rule(row[:, :4], MARGINS["teacher_bare"]) / 2, atol=0.5)


def test_pictures_of_one_name_in_two_archives_keep_their_own_faces(data: Path) -> None:
    with ZipFile(data / "faces" / "other.zip", "w") as archive:
        archive.writestr("1.jpg", _jpeg(80))
    with (data / "MANIFEST.csv").open("a") as file:
        file.write("faces/other.zip!1.jpg,mask,train,crop,g9,\n")

    names = [face.name for face in read_faces(data, "train")]

    assert len(set(names)) == len(names) == 3


@pytest.fixture
def further(tmp_path: Path) -> Path:
    """A folder with one picture."""
    folder = tmp_path / "further"
    folder.mkdir()
    (folder / "one.jpg").write_bytes(_jpeg(30))
    return folder


def test_further_pictures_without_a_face_are_background(
    data: Path, further: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(material, "labels", lambda *_: defaultdict(lambda: np.zeros((0, 5), np.float32)))
    alone = material.gather(data, "train", Path(), tmp_path)
    more = material.gather(data, "train", Path(), tmp_path, face_free=further)
    assert len(more.scenes) == len(alone.scenes)
    assert len(more.empty) == len(alone.empty) + 1
    assert int(more.empty[-1].pixels.mean().round()) == 30
    assert not len(more.empty[-1].boxes)
    (further / "torn.png").write_bytes(b"\x89PNG")
    with pytest.raises(ImageError, match=r"torn\.png cannot be decoded"):
        material.gather(data, "train", Path(), tmp_path, face_free=further)


def test_in_photos_that_nobody_boxed_the_teacher_says_where_faces_are(
    data: Path, further: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {str(further / "one.jpg"): [[10, 10, 12, 14, 0.9], [40, 10, 10, 12, 0.3], [60, 10, 10, 12, 0.1]]}
    monkeypatch.setattr(
        material,
        "labels",
        lambda _, pictures, *__: {p.name: np.reshape(np.float32(seen.get(p.name, [])), (-1, 5)) for p in pictures},
    )

    alone = material.gather(data, "train", Path(), tmp_path)
    more = material.gather(data, "train", Path(), tmp_path, unboxed=further)

    assert (len(alone.unboxed), len(more.scenes), len(more.empty)) == (0, len(alone.scenes), len(alone.empty))
    (crowd,) = more.unboxed
    assert int(crowd.pixels.mean().round()) == 30
    assert crowd.roles.tolist() == [FACE, IGNORE]
    assert crowd.kinds.tolist() == [GUESSED, GUESSED]
    by_our_rule = to_our_rule(np.array([[10, 10, 12, 14]], np.float32), MARGINS["teacher_bare"])
    assert np.allclose(crowd.boxes[0], by_our_rule)
