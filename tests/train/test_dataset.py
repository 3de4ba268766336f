from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest

from edge.errors import ImageError, UsageError
from edge.vision.geometry import Box
from train.dataset import Dataset, open_dataset, with_boxes
from train.samples import Sample


def test_a_folder_with_train_and_validation_levels_gives_labels_and_parts(tiny_folder: Path) -> None:
    samples = open_dataset(tiny_folder).samples
    assert len(samples) == 56
    assert {(s.label, s.split) for s in samples} == {(a, b) for a in ("mask", "no_mask") for b in ("train", "val")}


def test_a_zip_of_the_folder_gives_the_same_samples(tiny_folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "tiny.zip", "w") as archive:
        for path in sorted(tiny_folder.rglob("*.png")):
            archive.write(path, path.relative_to(tiny_folder))
    dataset = open_dataset(tmp_path / "tiny.zip")
    assert [s.path.partition("!")[2] for s in dataset.samples] == [s.path for s in open_dataset(tiny_folder).samples]
    assert dataset.store().image(dataset.samples[0].path).shape == (96, 96, 3)


def test_files_that_are_no_pictures_and_folders_that_are_no_classes_are_left_alone(tmp_path: Path) -> None:
    for name in ("Mask/a.jpg", "Mask/notes.txt", "holiday/b.jpg", "__MACOSX/Mask/._a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [s.path for s in open_dataset(tmp_path).samples] == ["Mask/a.jpg"]


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(UsageError, match="class folders"):
        open_dataset(tmp_path)


def test_a_member_that_is_not_in_the_archive_is_an_image_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.jpg", b"")
    with pytest.raises(ImageError, match=r"y\.jpg"):
        Dataset(tmp_path, []).store().read("a.zip!y.jpg")


def test_a_photo_becomes_one_sample_a_box(tmp_path: Path) -> None:
    (tmp_path / "detection").mkdir()
    (tmp_path / "detection" / "annotations.json").write_text(
        json.dumps(
            {
                "categories": [{"id": 1, "name": "mask"}, {"id": 3, "name": "incorrect"}],
                "images": [{"id": 5, "file_name": "p.jpg"}, {"id": 6, "file_name": "empty.jpg"}],
                "annotations": [
                    {"image_id": 5, "category_id": 1, "bbox": [1.2, 2, 30, 40]},
                    {"image_id": 5, "category_id": 3, "bbox": [50, 2, 20, 20]},
                ],
            }
        )
    )
    photos = [Sample(f"detection/photos.zip!{name}", "", "val", "g", "photo") for name in ("p.jpg", "empty.jpg")]
    scenery = Sample("detection/none.zip!z.jpg", "no_face", "val", "h", "photo")
    boxed = with_boxes(Dataset(tmp_path, [*photos, scenery])).samples
    assert [(s.kind, s.label, s.box) for s in boxed] == [
        ("boxed", "mask", Box(1, 2, 30, 40)),
        ("boxed", "incorrect", Box(50, 2, 20, 20)),
        ("photo", "no_face", None),
    ]


def test_a_name_that_no_manifest_can_hold_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Mask").mkdir()
    with open(os.fsencode(tmp_path) + b"/Mask/caf\xe9.png", "wb"):  # noqa: PTH123
        pass
    with pytest.raises(UsageError, match=r"not UTF-8, 'Mask/caf\\udce9\.png'; rename it"):
        open_dataset(tmp_path)


def _touched(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_pictures_in_folders_that_are_no_classes_are_counted(tmp_path: Path) -> None:
    dataset = open_dataset(_touched(tmp_path, "a.jpg", "Mask/b.jpg", "holiday/c.jpg", "holiday/d.jpg", "holiday/notes"))
    assert dataset.unlabelled == {".": 1, "holiday": 2}
    assert with_boxes(dataset).unlabelled == dataset.unlabelled


def test_the_name_of_a_data_set_is_no_class(tmp_path: Path) -> None:
    data = _touched(tmp_path, "face_mask/no_mask/a.jpg", "face_mask/improperly_worn/b.jpg", "face_mask/mask/Anna/c.jpg")
    dataset = open_dataset(data)
    assert [(s.path, s.label) for s in dataset.samples] == [
        ("face_mask/mask/Anna/c.jpg", "mask"),
        ("face_mask/no_mask/a.jpg", "no_mask"),
    ]
    assert dataset.unlabelled == {"face_mask/improperly_worn": 1}


def test_a_class_may_have_another_inside(tmp_path: Path) -> None:
    dataset = open_dataset(_touched(tmp_path, "mask/a.jpg", "mask/incorrect/b.jpg"))
    assert {s.path: s.label for s in dataset.samples} == {"mask/a.jpg": "mask", "mask/incorrect/b.jpg": "incorrect"}


def test_class_folders_may_be_links(tmp_path: Path) -> None:
    elsewhere = _touched(tmp_path / "elsewhere", "a.jpg", "more/b.jpg")
    data = _touched(tmp_path / "data", "NoMask/c.jpg")
    (data / "Mask").symlink_to(elsewhere)
    (elsewhere / "round").symlink_to(data)
    labels = {s.path: s.label for s in open_dataset(data).samples}
    assert labels == {"Mask/a.jpg": "mask", "Mask/more/b.jpg": "mask", "NoMask/c.jpg": "no_mask"}


def test_a_member_is_found_by_the_name_that_the_archive_gives_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("./Mask//a.jpg", b"some")
    dataset = open_dataset(tmp_path / "a.zip")
    assert dataset.store().read(dataset.samples[0].path) == b"some"


def test_a_box_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_text(
        '{"categories": [{"id": 1, "name": "mask"}], "images": [{"id": 5, "file_name": "p.jpg"}],'
        '"annotations": [{"image_id": 5, "category_id": 1, "bbox": [1, 2, Infinity, 40]}]}'
    )
    with pytest.raises(UsageError, match="not of the COCO form"):
        with_boxes(Dataset(tmp_path, [Sample("photos.zip!p.jpg", "", kind="photo")]))


def _annotated(folder: Path, *files: tuple[str, int]) -> None:
    """Writes COCO annotations with one masked face a file, told by the left edge of its box."""
    content = {
        "categories": [{"id": 1, "name": "mask"}],
        "images": [{"id": number, "file_name": name} for number, (name, _) in enumerate(files)],
        "annotations": [
            {"image_id": number, "category_id": 1, "bbox": [left, 2, 30, 40]} for number, (_, left) in enumerate(files)
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "annotations.json").write_text(json.dumps(content))


def _lefts(root: Path, *paths: str) -> list[tuple[str, int]]:
    boxed = with_boxes(Dataset(root, [Sample(path, "", kind="photo") for path in paths])).samples
    return [(sample.path, sample.box.x) for sample in boxed if sample.box]


@pytest.mark.parametrize(
    ("place", "path"),
    [("", "images/a.png"), ("set", "set/images/a.png"), ("set", "set/photos.zip!images/a.png"), ("", "b/c/a.png")],
)
def test_annotations_may_lie_above_the_photos_and_name_their_folder(place: str, path: str, tmp_path: Path) -> None:
    _annotated(tmp_path / place, ("./images/a.png", 7))
    assert _lefts(tmp_path, path) == [(path, 7)]


def test_photos_of_one_name_in_two_folders_have_their_own_boxes(tmp_path: Path) -> None:
    _annotated(tmp_path, ("one/a.png", 7), ("two/a.png", 9))
    assert _lefts(tmp_path, "two/a.png", "one/a.png") == [("two/a.png", 9), ("one/a.png", 7)]
    assert _lefts(tmp_path, "p.zip!two/a.png", "p.zip!one/a.png") == [("p.zip!two/a.png", 9), ("p.zip!one/a.png", 7)]


@pytest.mark.parametrize("names", [("a.png",), ("one/a.png", "three/a.png"), ("a.png", "a.png")])
def test_a_name_that_two_photos_have_is_taken_for_neither(names: tuple[str, ...], tmp_path: Path) -> None:
    _annotated(tmp_path, *((name, 7) for name in names))
    with pytest.raises(UsageError, match=r"two/a\.png: a photo without a label, and .*annotations\.json"):
        _lefts(tmp_path, "two/a.png", "four/a.png")


def test_the_nearest_annotations_count(tmp_path: Path) -> None:
    _annotated(tmp_path, ("a.png", 7))
    _annotated(tmp_path / "set", ("a.png", 9))
    assert _lefts(tmp_path, "set/a.png", "a.png") == [("set/a.png", 9), ("a.png", 7)]


def test_a_photo_without_label_and_annotations_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"images/a\.png: a photo without a label, and there is no annotations\.json"):
        _lefts(tmp_path, "images/a.png")


def test_a_photo_that_has_a_label_needs_no_annotations(tmp_path: Path) -> None:
    photo = Sample("a.png", "no_face", kind="photo")
    assert with_boxes(Dataset(tmp_path, [photo])).samples == [photo]


def test_annotations_that_are_nested_without_end_are_refused(tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_text("[" * 100_000)
    with pytest.raises(UsageError, match=r"annotations\.json is not of the COCO form"):
        with_boxes(Dataset(tmp_path, [Sample("photos.zip!p.jpg", "", kind="photo")]))


def test_hidden_folders_hold_no_pictures(tmp_path: Path) -> None:
    names = ("Mask/a.jpg", ".Trash-0/files/Mask/b.jpg", "Mask/.hidden/c.jpg", "Mask/.d.jpg")
    dataset = open_dataset(_touched(tmp_path / ".data", *names))
    assert [sample.path for sample in dataset.samples] == ["Mask/a.jpg"]
    assert dataset.unlabelled == {}


def test_a_member_may_begin_with_a_way_up(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../Mask/a.jpg", b"some")
    assert [sample.label for sample in open_dataset(tmp_path / "a.zip").samples] == ["mask"]
