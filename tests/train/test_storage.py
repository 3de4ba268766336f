from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from edge.errors import ImageError, UsageError
from train.dataset import open_dataset
from train.storage import PictureStore


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_is_a_picture_that_cannot_be_read(compression: int, tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("Mask/a.png", b"the same again and again" * 400)
        start = archive.getinfo("Mask/a.png").header_offset + 30 + len("Mask/a.png")
    content = bytearray(path.read_bytes())
    content[start + 12 : start + 30] = b"\xff" * 18
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"Mask/a\.png cannot be read from set\.zip"):
        PictureStore(tmp_path).read("set.zip!Mask/a.png")


def test_a_member_that_is_too_large_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Mask/bomb.png", bytes(65 * 2**20))
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("unpacked"))
    with pytest.raises(ImageError, match="larger than 64 MiB"):
        PictureStore(tmp_path).read("set.zip!Mask/bomb.png")


def test_a_file_may_have_the_mark_of_archives_in_its_name(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "Mask").mkdir()
    (tmp_path / "Mask" / "look!.png").write_bytes((tiny_folder / "Train/Mask/0.0.png").read_bytes())
    dataset = open_dataset(tmp_path)
    assert dataset.store().image(dataset.samples[0].path).shape == (96, 96, 3)


def _with_a_damaged_name(path: Path, where: bytes) -> Path:
    """A zip in which one byte of a UTF-8 name is wrong: in the directory (PK12), or before the member (PK34)."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Mask/caf\u00e9.png", b"some")
    content = bytearray(path.read_bytes())
    content[content.index(b"caf\xc3\xa9", content.index(where)) + 4] = ord("x")
    path.write_bytes(content)
    return path


def test_a_zip_with_a_damaged_name_in_its_directory_is_named(tmp_path: Path) -> None:
    path = _with_a_damaged_name(tmp_path / "set.zip", b"PK\x01\x02")
    with pytest.raises(UsageError, match=r"set\.zip is no zip archive, or a damaged one"):
        open_dataset(path)


def test_a_member_with_a_damaged_name_is_a_picture_that_cannot_be_read(tmp_path: Path) -> None:
    path = _with_a_damaged_name(tmp_path / "set.zip", b"PK\x03\x04")
    with pytest.raises(ImageError, match=r"Mask/caf\u00e9\.png cannot be read from set\.zip"):
        PictureStore(tmp_path).read(f"{path.name}!Mask/caf\u00e9.png")
