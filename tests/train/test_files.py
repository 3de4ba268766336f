from __future__ import annotations

import errno
import os
import re
import subprocess
from pathlib import Path

import pytest

from edge.errors import UnavailableError, UsageError
from train.files import check_output, claimed, replacing, write_output, write_outputs


def _on_a_full_disk(path: Path) -> None:
    with replacing(path) as draft:
        draft.write_text("ha")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # As Python says it when a file is written: no name.


def test_a_file_that_the_disk_has_no_room_for_is_named_and_the_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("old")
    with pytest.raises(OSError, match=re.escape(str(path))):
        _on_a_full_disk(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_draft_that_cannot_be_made_is_told_by_the_name_that_was_given(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "page.html"
    for write in (lambda: write_output(path, "page"), lambda: check_output(path)):
        with pytest.raises(FileNotFoundError) as raised:
            write()
        assert raised.value.filename == str(path)


def test_two_who_write_one_file_at_once_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    with replacing(path) as one, replacing(path) as other:
        one.write_text("one")
        other.write_text("other")
        check_output(path)
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_writers_have_left_does_not_pile_up(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait(10)
    path = tmp_path / "m [1].csv"
    left = [tmp_path / f".draft-{ended.pid}-0123abcd-{path.name}", tmp_path / f".draft-{path.name}"]
    others = [
        tmp_path / f".draft-{os.getpid()}-0123abcd-{path.name}",
        tmp_path / f".draft-{ended.pid}-0123abcd-other-{path.name}",
        tmp_path / f".draft-{ended.pid}-4567abcd-{path.name}",
    ]
    for file in (*left, *others):
        file.write_text("ha")
        os.utime(file, (1e9, 1e9))
    os.utime(others[-1])  # Written a moment ago, perhaps by a machine that has the folder, too.
    write_output(path, "whole")
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])


def test_of_files_that_belong_together_all_are_replaced_or_none(tmp_path: Path) -> None:
    model, card = tmp_path / "m.tflite", tmp_path / "m.json"
    write_outputs({model: b"old", card: "old"})
    with pytest.raises(FileNotFoundError):
        write_outputs({model: b"new", tmp_path / "gone" / "m.json": "new"})
    assert (model.read_bytes(), card.read_text()) == (b"old", "old")
    write_outputs({model: b"new", card: "new"})
    assert (model.read_bytes(), card.read_text()) == (b"new", "new")
    assert sorted(tmp_path.iterdir()) == [card, model]


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        check_output(tmp_path)


def test_what_a_link_points_to_is_replaced_and_a_pipe_is_written_to(tmp_path: Path) -> None:
    real, link, pipe = tmp_path / "real.json", tmp_path / "link.json", tmp_path / "pipe"
    real.write_text("old")
    link.symlink_to(real)
    check_output(link)
    write_output(link, "new")
    assert (link.is_symlink(), real.read_text()) == (True, "new")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    check_output(pipe)
    write_output(pipe, "new")
    assert os.read(reader, 10) == b"new"
    os.close(reader)
    assert pipe.is_fifo()


def test_what_is_read_is_not_written_over(tmp_path: Path) -> None:
    data = tmp_path / "data.zip"
    data.write_text("pictures")
    check_output(tmp_path / "other.zip", data)
    with pytest.raises(UsageError, match="is read here"):
        check_output(tmp_path / "." / "data.zip", tmp_path / "gone", data)
    assert sorted(tmp_path.iterdir()) == [data]


def test_a_folder_is_claimed_by_one_at_a_time(tmp_path: Path) -> None:
    with (
        claimed(tmp_path / "run"),
        pytest.raises(UnavailableError, match="in use by another"),
        claimed(tmp_path / "run"),
    ):
        pytest.fail("two have it")
    with claimed(tmp_path / "run"):
        assert list((tmp_path / "run").iterdir()) == []
