"""`maskgate classify --report` and `--annotate`: what there is to look at."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.vision.classifier import Label
from edge.vision.drawing import COLOURS
from edge.vision.geometry import Image
from support.components import eventually
from support.daemon import ENVIRONMENT, maskgate
from support.pictures import with_orientation
from support.reports import data_of


def left_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def share_of(image: Image, label: str) -> float:
    """How much of a picture has about the colour of a label; JPEG changes it a little."""
    return float((np.abs(image.astype(int) - COLOURS[Label(label)]).max(axis=2) < 24).mean())


def limited(blocks: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """With no file of more than so many kB, which is how a full disk looks to whoever writes."""
    command = f'ulimit -f {blocks}; exec "$0" -m edge "$@"'
    return subprocess.run(
        ["bash", "-c", command, sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env=ENVIRONMENT,
        check=False,
    )


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_report_tells_what_the_records_tell(pictures: Path, tmp_path: Path, jobs: str) -> None:
    report = tmp_path / "report.html"

    done = maskgate("classify", pictures, "--report", report, "--jobs", jobs)

    assert done.returncode == 1
    kinds = [kind for kind, _ in data_of(report, "kinds")]
    records = [json.loads(line) for line in done.stdout.splitlines()]
    for (path, _, kind, width, height, ms, faces, error), record in zip(data_of(report, "rows"), records, strict=True):
        assert (path, width, height, ms, error) == tuple(
            record[name] for name in ("path", "width", "height", "elapsed_ms", "error")
        )
        assert kinds[kind] == (record["summary"] or "failed")
        assert [
            [*face["box"].values(), kinds.index(face["label"]), face["p_mask"], face["score"]]
            for face in record["faces"]
        ] == faces
    assert list(data_of(report, "thumbnails")) == ["0", "2", "3"], "the empty file has none, all others have one"
    assert left_in(tmp_path) == ["report.html"]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_annotated_pictures_mirror_the_folder_without_what_cannot_be_read(
    pictures: Path, tmp_path: Path, jobs: str
) -> None:
    shutil.copytree(pictures, tmp_path / "photos" / "deep")
    before = {path: (tmp_path / path).read_bytes() for path in left_in(tmp_path)}
    out = tmp_path / "out"

    done = maskgate("classify", tmp_path / "photos", "--annotate", out, "--jobs", jobs)

    assert done.returncode == 1
    assert left_in(out) == ["deep/bare.jpg", "deep/masked.png", "deep/nobody.jpg"]
    assert f"maskgate: {out}: without the 1 of 4 that could not be read" in done.stderr
    assert before == {path: (tmp_path / path).read_bytes() for path in before}
    bare, masked = cv2.imread(str(out / "deep/bare.jpg")), cv2.imread(str(out / "deep/masked.png"))
    assert bare.shape == masked.shape == (600, 512, 3)
    assert share_of(bare, "no_mask") > 0.005 > share_of(bare, "mask")
    assert share_of(masked, "mask") > 0.005 > share_of(masked, "no_mask")


def test_a_second_run_replaces_what_the_first_one_drew(pictures: Path, tmp_path: Path) -> None:
    for _ in range(2):
        maskgate("classify", pictures, "--annotate", tmp_path / "out", "--report", tmp_path / "out" / "index.html")

        assert left_in(tmp_path) == ["out/bare.jpg", "out/index.html", "out/masked.png", "out/nobody.jpg"]


def test_whole_faces_are_framed_at_the_edge(pictures: Path, tmp_path: Path) -> None:
    done = maskgate("classify", pictures / "masked.png", "--faces", "whole", "--annotate", tmp_path)

    drawn = cv2.imread(str(tmp_path / "masked.png"))
    label = json.loads(done.stdout)["faces"][0]["label"]
    for edge in (drawn[100:, :4], drawn[100:, -4:], drawn[-4:]):
        assert share_of(edge, label) > 0.2
    assert share_of(drawn[100:-4, 4:-4], label) < 0.002


def test_a_picture_that_was_taken_sideways_is_drawn_upright(bare_face: Image, tmp_path: Path) -> None:
    lying = cv2.imencode(".jpg", cv2.rotate(bare_face, cv2.ROTATE_90_COUNTERCLOCKWISE))[1].tobytes()
    (tmp_path / "a.jpg").write_bytes(with_orientation(lying, 6))

    done = maskgate("classify", tmp_path / "a.jpg", "--annotate", tmp_path / "out")

    data = (tmp_path / "out" / "a.jpg").read_bytes()
    drawn = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    (found,) = json.loads(done.stdout)["faces"]
    box = found["box"]
    assert drawn.shape == bare_face.shape
    assert b"Exif" not in data
    inside = drawn[box["y"] + 4 : box["y"] + box["height"] - 4, box["x"] + 4 : box["x"] + box["width"] - 4]
    assert (
        np.abs(
            inside.astype(int) - bare_face[box["y"] + 4 :, box["x"] + 4 :][: inside.shape[0], : inside.shape[1]]
        ).mean()
        < 6
    )


def test_each_picture_is_decoded_once(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge.batch import Job, classify_all
    from edge.mirror import Mirror
    from edge.settings import Settings

    decoded = []
    decode = cv2.imdecode
    monkeypatch.setattr("cv2.imdecode", lambda *arguments: decoded.append(1) or decode(*arguments))
    paths = [pictures / "bare.jpg"]
    mirror = Mirror.plan(tmp_path / "out", [str(paths[0])], paths)

    (found,) = classify_all(paths, Job(Settings(), False, 320, mirror), 1)

    assert found.thumbnail is not None
    assert (tmp_path / "out" / "bare.jpg").exists()
    assert len(decoded) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["album", "--report", "album/bare.jpg"], "album/bare.jpg: is one of the pictures"),
        (["album", "--report", "same", "-o", "./same"], "same: cannot hold both the records and the report"),
        (["album", "--report", "missing/report.html"], "missing/report.html: No such file or directory"),
        (["album", "--report", "album"], "Invalid value for '--report'"),
        (["album", "--report", "/dev/null"], "/dev/null: is no file"),
        (["album", "--annotate", "album/out"], "album/out: lies in album, which is classified"),
        (["album/bare.jpg", "--annotate", "album"], "album/bare.jpg: is one of the pictures"),
        (["album", "--annotate", "album/bare.jpg"], "Invalid value for '--annotate'"),
        (["album", "--annotate", "/proc/nowhere"], "/proc/nowhere: No such file or directory"),
    ],
)
def test_nothing_is_written_where_it_would_do_harm(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("album").mkdir()
    shutil.copy(pictures / "bare.jpg", "album")

    done = maskgate("classify", *arguments)

    assert done.returncode == 2
    assert problem in done.stderr
    assert "Traceback" not in done.stderr
    assert left_in(tmp_path) == ["album/bare.jpg"]
    assert Path("album/bare.jpg").read_bytes() == (pictures / "bare.jpg").read_bytes()


def test_a_report_for_which_there_is_no_room_is_named_and_leaves_nothing(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("of yesterday")

    done = limited(8, "classify", pictures, "--report", tmp_path / "report.html")

    assert done.returncode == 69
    assert f"maskgate: {tmp_path / 'report.html'}: cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert left_in(tmp_path) == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "of yesterday"


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_copy_for_which_there_is_no_room_ends_the_run(pictures: Path, tmp_path: Path, jobs: str) -> None:
    done = limited(100, "classify", pictures, "--annotate", tmp_path / "out", "--jobs", jobs)

    assert done.returncode == 69
    assert f"maskgate: {tmp_path / 'out' / 'masked.png'}: cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [name for name in left_in(tmp_path) if "part" in name or "masked" in name]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_was_done_before_there_was_no_room_is_written(pictures: Path, tmp_path: Path, jobs: str) -> None:
    (tmp_path / "photos").mkdir()
    for each in range(24):
        source = "masked.png" if each == 2 else "nobody.jpg"
        (tmp_path / "photos" / f"{each:02d}{Path(source).suffix}").symlink_to(pictures / source)

    done = limited(100, "classify", tmp_path / "photos", "--annotate", tmp_path / "out", "--jobs", jobs)

    assert done.returncode == 69
    assert [Path(json.loads(line)["path"]).name for line in done.stdout.splitlines()] == ["00.jpg", "01.jpg"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(("jobs", "all_of_them"), [("1", False), ("2", False), ("2", True)])
def test_ctrl_c_leaves_a_report_of_what_was_done(
    pictures: Path, tmp_path: Path, number: signal.Signals, code: int, jobs: str, *, all_of_them: bool
) -> None:
    """A terminal sends Ctrl-C to all processes, and systemd SIGTERM; `kill` to the one."""
    (tmp_path / "photos").mkdir()
    for each in range(3000):
        (tmp_path / "photos" / f"{each:04d}.jpg").symlink_to(pictures / "nobody.jpg")
    records, report = tmp_path / "records.jsonl", tmp_path / "report.html"
    command = [sys.executable, "-m", "edge", "classify", str(tmp_path / "photos"), "-o", str(records)]
    process = subprocess.Popen(
        [*command, "--report", str(report), "--jobs", jobs],
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    eventually(lambda: records.exists() and records.stat().st_size > 0, 30)
    if all_of_them:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=30)

    rows = data_of(report, "rows")
    assert process.returncode == code
    assert 0 < len(rows) < 3000
    assert len(records.read_text().splitlines()) == len(rows)
    assert f"Ended early: {len(rows):,} of 3,000 pictures" in report.read_text()
    assert "Traceback" not in errors
    assert not list(tmp_path.glob(".maskgate-*"))
