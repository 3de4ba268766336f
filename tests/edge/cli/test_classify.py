from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest

from edge.messages import failed_image_record, json_schema
from edge.plain import plain
from edge.sinks import CsvSink
from support.components import eventually, require, require_program
from support.daemon import ENVIRONMENT, ended, maskgate
from support.messages import MODELS


def records(output: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


def test_a_folder_with_a_broken_file_is_classified_but_for_that(pictures: Path) -> None:
    done = maskgate("classify", pictures)

    found = records(done.stdout)
    assert done.returncode == 1
    assert [Path(str(record["path"])).name for record in found] == ["bare.jpg", "empty.jpg", "masked.png", "nobody.jpg"]
    assert [record["summary"] for record in found] == ["no_mask", None, "mask", "no_face"]
    for record in found:
        jsonschema.validate(record, json_schema("image"))
    assert f"maskgate: {pictures / 'empty.jpg'}: the file is empty" in done.stderr
    assert "Traceback" not in done.stderr


def test_all_good_ends_with_0(pictures: Path) -> None:
    done = maskgate("classify", pictures / "bare.jpg", pictures / "nobody.jpg")

    assert done.returncode == 0
    assert len(records(done.stdout)) == 2


@pytest.mark.parametrize("name", ["=1+cmd.jpg", "+1.jpg", "-1.jpg", "@a.jpg", "\ta.jpg", "plain=.jpg", "a/=b.jpg"])
def test_no_name_in_csv_is_a_formula_of_a_spreadsheet(name: str) -> None:
    table = io.StringIO()

    CsvSink(table).write(failed_image_record(name, "the file is empty", 0.1, MODELS))

    (row,) = csv.DictReader(io.StringIO(table.getvalue()))
    assert row["path"] == (f"./{name}" if name[0] in "=+-@\t" else name)


def test_csv_has_a_row_a_face_and_a_row_for_a_picture_without(pictures: Path, tmp_path: Path) -> None:
    table = tmp_path / "faces.csv"

    done = maskgate("classify", pictures, "--format", "csv", "-o", table)

    assert done.stdout == ""
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert [(Path(row["path"]).name, row["label"], row["summary"]) for row in rows] == [
        ("bare.jpg", "no_mask", "no_mask"),
        ("empty.jpg", "", ""),
        ("masked.png", "mask", "mask"),
        ("nobody.jpg", "", "no_face"),
    ]
    assert (rows[0]["image_width"], rows[0]["image_height"]) == ("512", "600")
    assert 100 < int(rows[0]["width"]) < 300
    assert rows[1]["error"] == "the file is empty"


def test_the_output_is_left_alone_when_nothing_can_be_classified(pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "records.jsonl"
    output.write_text("of yesterday")

    done = maskgate("classify", pictures, "-o", output, "--classifier", "none")

    assert done.returncode == 78
    assert output.read_text() == "of yesterday"


def test_a_picture_cannot_be_its_own_output(pictures: Path, tmp_path: Path) -> None:
    shutil.copy(pictures / "bare.jpg", tmp_path / "a.jpg")

    done = maskgate("classify", tmp_path, "-o", tmp_path / "a.jpg")

    assert done.returncode == 2
    assert (tmp_path / "a.jpg").read_bytes() == (pictures / "bare.jpg").read_bytes()


def test_names_that_the_terminal_cannot_show_are_written_as_utf8(pictures: Path, tmp_path: Path) -> None:
    shutil.copy(pictures / "nobody.jpg", tmp_path / "schön.jpg")

    done = maskgate("classify", tmp_path, PYTHONIOENCODING="ascii")

    assert done.returncode == 0
    assert records(done.stdout)[0]["path"] == str(tmp_path / "schön.jpg")


EVIL = "a\x1b]0;owned\x07\x1b[2J\nmaskgate: all is well\u2028\x9b31m.jpg"


def test_names_that_would_command_the_terminal_or_forge_a_line_are_spelt_out(tmp_path: Path) -> None:
    (tmp_path / EVIL).touch()

    done = maskgate("classify", tmp_path)

    assert done.returncode == 1
    assert json.loads(done.stdout)["path"] == str(tmp_path / EVIL)
    said = done.stderr.split("\n")[-2]  # the runtime has words of its own before
    assert said == f"maskgate: {tmp_path / plain(EVIL)}: the file is empty"


@pytest.mark.parametrize("option", ["--output", "--classifier"])
def test_errors_that_name_such_a_file_are_one_line_too(pictures: Path, tmp_path: Path, option: str) -> None:
    done = maskgate("classify", pictures / "bare.jpg", option, tmp_path / "no" / EVIL)

    assert plain(EVIL) in done.stderr.split("\n")[-2]
    assert "".join(done.stderr.split("\n")).isprintable()


def test_a_folder_that_may_not_be_read_is_named_and_the_rest_classified(pictures: Path, tmp_path: Path) -> None:
    shutil.copy(pictures / "nobody.jpg", tmp_path / "a.jpg")
    (tmp_path / "locked").mkdir(mode=0)
    setpriv = require_program("setpriv", "util-linux")
    drop = [setpriv, "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    command = [*drop, sys.executable, "-m", "edge", "classify", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=ENVIRONMENT, check=False)

    assert done.returncode == 1
    assert [record["error"] for record in records(done.stdout)] == [None, "cannot be read: Permission denied"]


def test_links_that_lead_to_no_picture_are_named(pictures: Path, tmp_path: Path) -> None:
    shutil.copy(pictures / "nobody.jpg", tmp_path / "a.jpg")
    (tmp_path / "annexed.jpg").symlink_to(".git/annex/objects/not-here.jpg")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "notes.txt").symlink_to("not-here.txt")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "z.jpg").mkdir()
    shutil.copy(pictures / "nobody.jpg", tmp_path / "z.jpg" / "inside.jpg")

    done = maskgate("classify", tmp_path)

    assert done.returncode == 1
    assert [(Path(str(record["path"])).name, record["error"]) for record in records(done.stdout)] == [
        ("a.jpg", None),
        ("annexed.jpg", "cannot be read: No such file or directory"),
        ("loop.png", "cannot be read: Too many levels of symbolic links"),
        ("inside.jpg", None),
    ]


@pytest.fixture
def listed(pictures: Path, tmp_path: Path) -> Path:
    """A folder that may be read and not entered: its names are seen and nothing else."""
    folder = tmp_path / "listed"
    folder.mkdir()
    for name in ("a.jpg", "r.html", "x.onnx", "x.tflite"):
        shutil.copy(pictures / "nobody.jpg", folder / name)
    folder.chmod(0o444)
    return folder


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["listed/a.jpg"], 1, "listed/a.jpg: cannot be read: Permission denied"),
        (["listed/*"], 1, "listed/x.tflite: cannot be read: Permission denied"),
        (["listed/*", "--annotate", "annotated"], 1, "annotated: without the 4 of 4 that could not be read"),
        (["listed", "-o", "there.jsonl"], 1, "listed/a.jpg: cannot be read: Permission denied"),
        (["a.jpg", "-o", "listed/new.jsonl"], 2, "listed/new.jsonl: Permission denied"),
        (["a.jpg", "-o", "listed/new.jsonl", "--resume"], 2, "listed/new.jsonl: Permission denied"),
        (["a.jpg", "--report", "listed/r.html"], 2, "listed/r.html: Permission denied"),
        (["a.jpg", "--detector", "listed/x.onnx"], 78, "detector.model: listed/x.onnx: Permission denied"),
        (["a.jpg", "--detector", "listed/x.tflite"], 78, "detector.model: listed/x.tflite: Permission denied"),
        (["a.jpg", "--classifier", "listed/x.tflite"], 78, "classifier.model: listed/x.tflite: Permission denied"),
    ],
)
@pytest.mark.usefixtures("listed")
def test_what_lies_in_a_folder_that_may_not_be_entered_is_an_ordinary_error(
    pictures: Path, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    shutil.copy(pictures / "nobody.jpg", tmp_path / "a.jpg")
    (tmp_path / "there.jsonl").touch()
    drop = [require_program("setpriv", "util-linux"), "--bounding-set=-dac_override,-dac_read_search"]

    done = ended([*drop, sys.executable, "-m", "edge", "classify", *arguments], tmp_path)

    assert done.returncode == code
    assert done.stderr.endswith(f"maskgate: {said}\n")


def test_two_processes_give_the_same_records_in_the_same_order(pictures: Path) -> None:
    def without_times(output: str) -> list[dict[str, object]]:
        return [record | {"elapsed_ms": 0} for record in records(output)]

    one, two = maskgate("classify", pictures), maskgate("classify", pictures, "--jobs", "2")

    assert without_times(one.stdout) == without_times(two.stdout)
    assert two.returncode == 1


def test_whole_faces_need_no_detector(pictures: Path) -> None:
    (record,) = records(maskgate("classify", pictures / "bare.jpg", "--faces", "whole").stdout)

    assert record["faces"][0]["box"] == {"x": 0, "y": 0, "width": 512, "height": 600}  # type: ignore[index]
    assert record["faces"][0]["score"] is None  # type: ignore[index]
    assert record["model"]["detector"] is None  # type: ignore[index]
    jsonschema.validate(record, json_schema("image"))


def test_folders_globs_and_doubles(pictures: Path, tmp_path: Path) -> None:
    album = tmp_path / "album"
    (album / "deeper" / ".hidden").mkdir(parents=True)
    shutil.copy(pictures / "bare.jpg", album / "a.jpg")
    shutil.copy(pictures / "bare.jpg", album / "deeper" / "no-suffix")
    shutil.copy(pictures / "bare.jpg", album / "deeper" / ".hidden" / "b.jpg")
    (album / "notes.txt").write_text("not a picture")

    def found(*arguments: str | Path) -> list[str]:
        return [str(record["path"]) for record in records(maskgate("classify", *arguments, "--faces", "whole").stdout)]

    assert found(album) == [str(album / "a.jpg"), str(album / "deeper" / "no-suffix")]
    assert found(album, "--no-recursive") == [str(album / "a.jpg")]
    assert found(album / "*.jpg", album / "a.jpg") == [str(album / "a.jpg")]
    assert found(album / "notes.txt") == [str(album / "notes.txt")]


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["missing.jpg"], 2, "missing.jpg: no such file or folder"),
        ([], 2, "Missing argument 'PATH...'"),
        (["x.jpg", "--format", "xml"], 2, "Invalid value for '--format'"),
        (["{pictures}", "--classifier", "none"], 78, "classifier.model: no bundled model is named 'none'"),
        (["{pictures}", "--detector", "none.onnx"], 78, "detector.model: no model file at none.onnx"),
        (["{pictures}", "-o", "/nowhere/x.jsonl"], 2, "/nowhere/x.jsonl: No such file or directory"),
        (["{pictures}", "--config", "/nowhere.toml"], 78, "/nowhere.toml: there is no such file"),
    ],
)
def test_wrong_use_is_told_apart(pictures: Path, arguments: list[str], code: int, problem: str) -> None:
    done = maskgate("classify", *(argument.format(pictures=pictures) for argument in arguments))

    assert done.returncode == code
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_with_what_was_done(pictures: Path, tmp_path: Path) -> None:
    for number in range(2000):
        shutil.copy(pictures / "nobody.jpg", tmp_path / f"{number}.jpg")
    output = tmp_path / "records.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "edge", "classify", str(tmp_path), "-o", str(output)],
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    eventually(lambda: output.exists() and output.stat().st_size > 0, 30)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)

    assert process.returncode == 130
    assert time.monotonic() - began < 5
    assert 0 < len(records(output.read_text())) < 2000
    assert "Traceback" not in errors


def test_workers_import_nothing_from_where_the_user_is(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("open('imported', 'w')")
    program = "import sys; sys.path.remove(''); from edge.cli import main; main()"  # as an installed program begins
    both = [str(pictures / "nobody.jpg"), str(pictures / "bare.jpg")]

    done = ended([sys.executable, "-c", program, "classify", *both, "--jobs=2"], tmp_path)

    assert done.returncode == 0
    assert len(records(done.stdout)) == 2
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("workers", ["--jobs=2", "--engine=dask"])
@pytest.mark.parametrize(
    ("lost", "reason"),
    [("os.rmdir(os.getcwd())", "No such file or directory"), ("os.chmod(os.getcwd(), 0)", "Permission denied")],
)
def test_workers_that_cannot_be_where_the_user_is(
    pictures: Path, tmp_path: Path, workers: str, lost: str, reason: str
) -> None:
    if workers == "--engine=dask":
        require(find_spec("distributed"), "Dask is missing: pip install 'maskgate[cluster]'")
    as_user = []
    if os.geteuid() == 0:  # who may enter every folder
        as_user = [require_program("setpriv", "util-linux"), "--bounding-set=-dac_override,-dac_read_search"]
    # Settings first: with Python 3.13, pydantic's extension module cannot be loaded from a folder that is gone.
    program = f"import os, edge.settings; from edge.cli import main; {lost}; main()"

    done = ended([*as_user, sys.executable, "-c", program, "classify", str(pictures), workers], tmp_path)

    assert done.returncode == 2
    assert f"the folder that this was started in: {reason}: start it from another" in done.stderr
    assert "Traceback" not in done.stderr


def test_workers_end_with_who_started_them(pictures: Path, tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"{number:04d}.jpg").symlink_to(pictures / "nobody.jpg")
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "edge", "classify", str(tmp_path), "--jobs", "2"],
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()

    process.communicate(timeout=30)  # to the end of an output that they hold open, too


def test_a_reader_that_goes_away_is_no_error_of_ours(pictures: Path, tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:03d}.jpg").symlink_to(pictures / "bare.jpg")
    command = f"set -o pipefail; {sys.executable} -u -m edge classify {tmp_path} --faces whole | head -n 1"

    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, env=ENVIRONMENT, check=False
    )

    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def shell(command: str) -> subprocess.CompletedProcess[str]:
    return ended(["bash", "-o", "pipefail", "-c", command])


def test_a_reader_that_takes_nothing_at_all_is_no_error_of_ours_either(pictures: Path) -> None:
    done = shell(f"{sys.executable} -m edge classify {pictures / 'bare.jpg'} | true")

    assert (done.returncode, done.stdout) == (0, "")
    assert "maskgate: " not in done.stderr


def test_a_reader_of_complaints_that_goes_away_does_not_end_the_work(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"{number:02d}.jpg").touch()
    output = tmp_path / "records.jsonl"

    done = shell(f"{sys.executable} -m edge classify {tmp_path} -o {output} 2>&1 | head -n 1")

    assert done.returncode == 1
    assert len(records(output.read_text())) == 60
    assert len(done.stdout.splitlines()) == 1


def test_records_that_nobody_takes_are_an_error_where_they_do_not_go_to_stdout(pictures: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    classify = f"{sys.executable} -m edge classify {pictures / 'bare.jpg'} -o {tmp_path / 'pipe'}"

    done = shell(f"true < {tmp_path / 'pipe'} & {classify}")

    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.endswith("maskgate: output cannot be written: Broken pipe\n")


@pytest.mark.parametrize("more", [[], ["--resume"]])
def test_a_file_that_another_program_writes_to_is_left_alone(pictures: Path, tmp_path: Path, more: list[str]) -> None:
    output = tmp_path / "records.jsonl"
    with output.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write("half a rec")
        other.flush()
        done = maskgate("classify", pictures / "bare.jpg", "-o", output, *more)

    assert done.returncode == 69
    assert f"{output}: another program is writing to it" in done.stderr
    assert output.read_text() == "half a rec"


def test_a_file_is_written_anew(pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "records.jsonl"
    output.write_text("what was there before\n" * 1000)

    assert maskgate("classify", pictures / "bare.jpg", "-o", output).returncode == 0
    assert len(records(output.read_text())) == 1
