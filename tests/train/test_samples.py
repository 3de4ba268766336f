from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.errors import UsageError
from edge.vision.geometry import Box
from train.samples import Sample, read_manifest, rebased, write_manifest


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    samples = [
        Sample(
            "a/4.4",
            "mask",
            "train",
            "g1",
            "crop",
            None,
            "here",
            "train",
            "mask",
            "ff",
            20,
            30,
            frozenset({"augmented"}),
        ),
        Sample("b.zip!x/27.9.jpg", "no_mask", "val", "g2", "context_crop", Box(1, 2, 30, 40)),
    ]
    write_manifest(tmp_path / "m.csv", samples)
    assert read_manifest(tmp_path / "m.csv") == samples


def test_the_name_of_a_member_keeps_its_dots() -> None:
    assert Sample("b.zip!x/27.9.jpg", "mask").name == "27.9.jpg"


def test_a_file_without_the_columns_is_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="path and label"):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("b.jpg,WithMask,10,", "line 3: label 'WithMask' is none of mask, no_mask"),
        ("b.jpg,mask,ten,", "line 3: sizes and face boxes are numbers"),
        ("b.jpg,mask,10,left", "line 3: sizes and face boxes are numbers"),
        ("b.jpg,mask,10,inf", "line 3: sizes and face boxes are numbers"),
        ("b.jpg,mask,10,1,1", "line 3: has more or fewer columns"),
    ],
)
def test_a_line_that_cannot_be_understood_is_named(tmp_path: Path, line: str, says: str) -> None:
    head = "path,label,width,face_x,face_y,face_w,face_h\na.jpg,mask,10,1,1,5,5\n"
    (tmp_path / "m.csv").write_text(f"{head}{line},1,5,5\n")
    with pytest.raises(UsageError, match=says):
        read_manifest(tmp_path / "m.csv")


def test_paths_follow_the_manifest_to_another_folder(tmp_path: Path) -> None:
    moved = rebased([Sample("faces/a.zip!b.jpg", "mask")], tmp_path / "data", tmp_path / "runs" / "one")
    assert moved[0].path == "../../data/faces/a.zip!b.jpg"


def test_a_manifest_whose_last_line_is_cut_off_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.csv", [Sample("a.jpg", "mask", "train"), Sample("b.jpg", "mask", "test")])
    content = (tmp_path / "m.csv").read_bytes()
    (tmp_path / "m.csv").write_bytes(content[: content.rindex(b"test")])
    with pytest.raises(UsageError, match=r"line 3: .* was the file cut off\?"):
        read_manifest(tmp_path / "m.csv")


def test_a_manifest_that_cannot_be_written_to_its_end_leaves_the_one_before(tmp_path: Path) -> None:
    def samples() -> Iterator[Sample]:
        yield Sample("b.jpg", "mask")
        raise InterruptedError("killed")

    write_manifest(tmp_path / "m.csv", [Sample("a.jpg", "mask")])
    with pytest.raises(InterruptedError):
        write_manifest(tmp_path / "m.csv", samples())
    assert [sample.path for sample in read_manifest(tmp_path / "m.csv")] == ["a.jpg"]


def test_a_manifest_that_a_spreadsheet_saved_is_read(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.csv", [Sample("a.jpg", "mask")])
    (tmp_path / "m.csv").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "m.csv").read_bytes())
    assert [sample.path for sample in read_manifest(tmp_path / "m.csv")] == ["a.jpg"]


def test_a_path_from_the_root_stays_as_it_is(tmp_path: Path) -> None:
    samples = [Sample("/data/a.zip!b.jpg", "mask"), Sample("/data/c.jpg", "mask")]
    assert rebased(samples, tmp_path / "data", tmp_path / "runs") == samples


def test_sizes_may_be_written_with_a_point(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,label,width,height\na.jpg,mask,640.0,480.0\n")
    (sample,) = read_manifest(tmp_path / "m.csv")
    assert (sample.width, sample.height) == (640, 480)


@pytest.mark.parametrize("part", ["Train", "tset", "valid", "train "])
def test_a_part_that_there_is_not_is_named(part: str, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(f"path,label,split\na.jpg,mask,\nb.jpg,mask,{part}\n")
    with pytest.raises(UsageError, match=f"m.csv, line 3: split '{part}' is none of train, val, test"):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize("name", ["a\rb.jpg", "a\nb.jpg", "a\r\nb.jpg", 'a"\r,b.jpg'])
def test_a_name_may_hold_ends_of_lines(name: str, tmp_path: Path) -> None:
    samples = [Sample(name, "mask", group=name), Sample("plain.jpg", "mask", group="plain.jpg")]
    write_manifest(tmp_path / "m.csv", samples)
    assert read_manifest(tmp_path / "m.csv") == samples
    assert (tmp_path / "m.csv").read_text().endswith("\nplain.jpg,mask,,,,,plain.jpg,crop,,,,,,,,\n")
