"""Names of annotated copies."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import UnavailableError, UsageError
from edge.mirror import Mirror, write_copy


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder `album` in the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "album").mkdir()
    return Path("album")


def pictures_of(folder: Path, *names: str) -> list[Path]:
    found = []
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        found.append(path)
    return sorted(found, key=os.fsencode)


def copies(arguments: list[str], pictures: list[Path], folder: str = "out") -> list[str]:
    mirror = Mirror.plan(Path(folder), arguments, pictures)
    return [os.fsencode(mirror.copy_of(picture)).decode("utf-8", "backslashreplace") for picture in pictures]


def test_folders_inside_a_folder_are_mirrored(album: Path) -> None:
    pictures = pictures_of(album, "a.jpg", "one/a.jpg", "one/two/b.png")

    assert copies(["album"], pictures) == ["out/a.jpg", "out/one/a.jpg", "out/one/two/b.png"]


def test_a_folder_is_mirrored_from_its_top_even_if_all_pictures_are_deeper(album: Path) -> None:
    assert copies(["album"], pictures_of(album, "one/a.jpg")) == ["out/one/a.jpg"]


def test_several_folders_are_told_apart(album: Path) -> None:
    pictures = pictures_of(Path(), "album/a.jpg", "b/a.jpg", "c/deep/a.jpg")

    assert copies(["album", "b", "c/deep/a.jpg"], pictures) == ["out/album/a.jpg", "out/b/a.jpg", "out/c/deep/a.jpg"]


def test_named_files_go_straight_into_the_folder(album: Path) -> None:
    pictures = pictures_of(album, "a.jpg", "b.jpg")

    assert copies(["album/a.jpg", "album/b.jpg"], pictures) == ["out/a.jpg", "out/b.jpg"]


def test_copies_stay_in_the_folder_wherever_the_pictures_are(album: Path, tmp_path: Path) -> None:
    pictures = pictures_of(tmp_path, "x.jpg", "elsewhere/y.jpg")

    assert copies(["album/../x.jpg", str(pictures[0])], [Path("album/../x.jpg"), pictures[0]]) == [
        "out/x.jpg",
        "out/elsewhere/y.jpg",
    ]


def test_what_is_no_jpeg_and_no_png_becomes_one(album: Path) -> None:
    pictures = pictures_of(album, "a.BMP", "a.JPG", "a.Png", "a.webp", "b.tar.gz", "no-suffix")

    assert copies(["album"], pictures) == [
        "out/a.BMP.jpg",
        "out/a.JPG",
        "out/a.Png",
        "out/a.webp.jpg",
        "out/b.tar.gz.jpg",
        "out/no-suffix.jpg",
    ]


def test_copies_that_would_have_one_name_are_numbered(album: Path) -> None:
    pictures = pictures_of(album, "A.jpg", "a.bmp", "a.bmp-2.jpg", "a.bmp.jpg", "a.jpg", "e\u0301.jpg", "\u00e9.jpg")

    found = copies(["album"], pictures)

    assert found == [
        "out/A.jpg",
        "out/a.bmp.jpg",
        "out/a.bmp-2.jpg",
        "out/a.bmp-3.jpg",
        "out/a-2.jpg",
        "out/e\u0301.jpg",
        "out/\u00e9-2.jpg",
    ]
    assert found == copies(["album"], pictures), "a second run would give other names"


def test_names_as_long_as_can_be_and_of_any_bytes_are_kept_to_what_can_be(album: Path) -> None:
    long = "ä" * 125 + ".webp"
    pictures = pictures_of(album, long, os.fsdecode(b"\xff\xfe.jpg"))

    found = copies(["album"], pictures)

    assert any(name == r"out/\xff\xfe.jpg" for name in found)
    assert all(len(Path(name).name.encode()) <= 255 for name in found)
    for picture in pictures:
        write_copy(Mirror.plan(Path("out"), ["album"], pictures).copy_of(picture), np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize("folder", ["album", "album/annotated", "album/one/../annotated", "link/annotated"])
def test_a_folder_inside_what_is_classified_is_refused(album: Path, folder: str) -> None:
    Path("link").symlink_to("album")
    pictures = pictures_of(album, "a.jpg", "one/b.jpg")

    with pytest.raises(UsageError, match=r"lies in album, which is classified; choose a folder outside of it"):
        Mirror.plan(Path(folder), ["album"], pictures)
    assert not (album / "annotated").exists()


def test_a_copy_never_takes_the_place_of_a_picture(album: Path) -> None:
    pictures = pictures_of(album, "a.jpg", "one/b.jpg")
    Path("out").mkdir()
    Path("out/one").symlink_to(Path("album/one").resolve())

    with pytest.raises(UsageError, match=r"out/one/b.jpg: is one of the pictures"):
        Mirror.plan(Path("out"), ["album"], pictures)
    with pytest.raises(UsageError, match=r"album/a.jpg: is one of the pictures"):
        Mirror.plan(album, ["album/a.jpg"], pictures[:1])


def test_a_folder_that_cannot_be_made_is_named(album: Path) -> None:
    Path("file").touch()

    with pytest.raises(UsageError, match="file: File exists"):
        Mirror.plan(Path("file"), ["album"], [])
    with pytest.raises(UsageError, match="file/out: Not a directory"):
        Mirror.plan(Path("file/out"), ["album"], [])


def test_a_copy_is_what_its_name_says_and_replaces_an_older_one(tmp_path: Path) -> None:
    picture = np.full((20, 30, 3), (10, 120, 250), np.uint8)

    for name, mark in (("one/a.jpeg", b"\xff\xd8"), ("two/a.PNG", b"\x89PNG")):
        write_copy(tmp_path / name, picture)
        write_copy(tmp_path / name, picture)

        assert (tmp_path / name).read_bytes().startswith(mark)
        found = cv2.imread(str(tmp_path / name))
        assert np.abs(found.astype(int) - picture).max() < 6
        assert len(list((tmp_path / name).parent.iterdir())) == 1


def test_a_copy_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").mkdir()

    with pytest.raises(UnavailableError, match=r"a.jpg: cannot be written: Is a directory"):
        write_copy(tmp_path / "a.jpg", np.zeros((4, 4, 3), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]
