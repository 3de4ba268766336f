"""Taking further photos out of packages, from tiny packages of the same forms."""

from __future__ import annotations

import csv
import io
import logging
import tarfile
from importlib.resources import files
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge.errors import ImageError, UsageError
from train.detector.cli import detector
from train.detector.collect import FOLDERS, collect, listed
from train.storage import digest


def _jpeg(value: int, width: int = 40) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((30, width, 3), value, np.uint8))[1])


def _package(path: Path, **members: bytes) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(f"package/{name}.jpg")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


CROWD, SPOON, OTHER, WIDE = _jpeg(200), _jpeg(90), _jpeg(10), _jpeg(120, width=1920)
WANTED = {
    digest(CROWD): ("people 1.0.0", "faces"),
    digest(SPOON): ("things 2.0.0", "nothing"),
    digest(WIDE): ("@views/wide 3.0.0", "faces"),
}


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "packages"
    folder.mkdir()
    _package(folder / "people-1.0.0.tgz", crowd=CROWD, other=OTHER)
    with ZipFile(folder / "things-2.0.0.zip", "w") as archive:
        archive.writestr("images/spoon.JPG", SPOON)
    (folder / "unpacked").mkdir()
    (folder / "unpacked" / "wide.jpg").write_bytes(WIDE)
    (folder / "unpacked" / "again.jpg").write_bytes(CROWD)
    return folder


def test_listed_pictures_are_found_by_their_bytes_and_shrunk(packages: Path, tmp_path: Path) -> None:
    output = tmp_path / "further"
    assert collect(packages, output, WANTED) == {"unboxed": 2, "face_free": 1}
    written = {str(path.relative_to(output)): cv2.imread(str(path)) for path in output.rglob("*.*")}
    assert {name: pixels.shape for name, pixels in written.items() if pixels is not None} == {
        f"unboxed/{digest(CROWD)}.jpg": (30, 40, 3),
        f"unboxed/{digest(WIDE)}.jpg": (15, 960, 3),
        f"face_free/{digest(SPOON)}.jpg": (30, 40, 3),
    }
    spoon = written[f"face_free/{digest(SPOON)}.jpg"]
    assert spoon is not None
    assert abs(float(spoon.mean()) - 90) < 2


def test_what_is_missing_is_named_with_its_package(
    packages: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (packages / "things-2.0.0.zip").unlink()
    with caplog.at_level(logging.WARNING):
        assert collect(packages, tmp_path / "further", WANTED) == {"unboxed": 2, "face_free": 0}
    assert caplog.messages == ["pictures that are missing: 1, of things 2.0.0"]


def test_a_folder_without_any_of_them_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds none of the 3 pictures of further_photos\.csv"):
        collect(tmp_path, tmp_path / "further", WANTED)
    done = CliRunner().invoke(detector, ["collect", str(tmp_path), "-o", str(tmp_path / "further")])
    assert isinstance(done.exception, UsageError)


@pytest.mark.parametrize("name", ["people-1.0.0.tgz", "things-2.0.0.zip"])
@pytest.mark.parametrize("share", [0.0, 0.6])
def test_a_damaged_archive_is_named(packages: Path, tmp_path: Path, name: str, share: float) -> None:
    whole = (packages / name).read_bytes()
    (packages / name).write_bytes(whole[: int(share * len(whole))] or b"no archive")
    with pytest.raises(UsageError, match=rf"{name} cannot be read: "):
        collect(packages, tmp_path / "further", WANTED)


def test_what_cannot_be_written_is_no_fault_of_a_package(packages: Path, tmp_path: Path) -> None:
    (tmp_path / "further").write_text("a file where the folder is to be")
    with pytest.raises(NotADirectoryError):
        collect(packages, tmp_path / "further", WANTED)


def test_a_strip_of_a_picture_keeps_a_line(tmp_path: Path) -> None:
    strip = bytes(cv2.imencode(".png", np.full((1, 3000, 3), 70, np.uint8))[1])
    (tmp_path / "line.png").write_bytes(strip)
    assert collect(tmp_path, tmp_path / "further", {digest(strip): ("lines 1.0.0", "nothing")})["face_free"] == 1


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "torn.jpg").write_bytes(CROWD[:300])
    torn = digest(CROWD[:300])
    with pytest.raises(ImageError, match=rf"{torn}\.jpg cannot be decoded"):
        collect(tmp_path, tmp_path / "further", {torn: ("people 1.0.0", "faces")})


def test_the_list_names_each_picture_once_and_none_that_the_detector_is_measured_on() -> None:
    rows = list(csv.DictReader((files("train.detector") / "further_photos.csv").read_text("utf-8").splitlines()))
    assert len(listed()) == len(rows) > 1000
    assert {row["shows"] for row in rows} == set(FOLDERS)
    measured = Path(__file__).parents[3] / "benchmarks" / "outside.csv"
    with measured.open(encoding="utf-8", newline="") as table:
        assert not listed().keys() & {row["sha256"] for row in csv.DictReader(table)}
