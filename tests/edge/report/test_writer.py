"""The report as a file: whole or not at all."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge.errors import UsageError
from edge.mirror import Mirror
from edge.report.page import Run
from edge.report.writer import MOST_THUMBNAILS, new_report
from support.reports import JPEG, classified, data_of, many

RUN = Run(["photos"], 3, datetime(2026, 11, 25, 12, tzinfo=UTC))


def test_a_row_holds_what_its_record_says(tmp_path: Path) -> None:
    with new_report(tmp_path / "report.html", RUN, None) as report:
        for each in (classified("b.jpg", "mixed"), classified("c.jpg", "failed"), classified("a.jpg", "no_face")):
            report.write(each)

    rows = data_of(tmp_path / "report.html", "rows")
    faces = [[0, 100, 60, 60, 4, 0.97, 0.9], [100, 100, 60, 60, 3, 0.03, 0.9]]
    kinds = [kind for kind, _ in data_of(tmp_path / "report.html", "kinds")]
    assert [(path, kinds[kind], *rest) for path, _, kind, *rest in rows] == [
        ("b.jpg", "mixed", 640, 480, 7.0, faces, None),
        ("c.jpg", "failed", None, None, 7.0, [], "the JPEG is damaged"),
        ("a.jpg", "no_face", 640, 480, 7.0, [], None),
    ]
    assert data_of(tmp_path / "report.html", "thumbnails") == dict.fromkeys("02", base64.b64encode(JPEG).decode())


def test_no_more_thumbnails_than_can_be_sent_are_kept(tmp_path: Path) -> None:
    with new_report(tmp_path / "report.html", Run(["photos"], 4000, RUN.began), None) as report:
        for each in many(4000):
            report.write(each)

    assert len(data_of(tmp_path / "report.html", "thumbnails")) == MOST_THUMBNAILS
    assert "300 of 3,600 pictures are shown small" in (tmp_path / "report.html").read_text()


def test_links_lead_to_the_picture_and_its_copy_from_where_the_report_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reports").mkdir()
    picture = Path("photos/a b?%\udcff.jpg")
    mirror = Mirror(Path("out"), tmp_path / "photos", {})
    made = classified("x", "mask")

    with new_report(Path("reports/today.html"), RUN, mirror) as report:
        report.write(type(made)(picture, made.record, made.thumbnail))
        report.write(classified("c.jpg", "failed"))

    first, second = data_of(Path("reports/today.html"), "rows")
    assert first[1] == ["./../photos/a%20b%3F%25%FF.jpg", "./../out/a%20b%3F%25%FF.jpg"]
    assert second[1] == []


def test_a_run_that_breaks_off_leaves_the_report_of_before(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("of yesterday")

    def break_off() -> None:
        with new_report(tmp_path / "report.html", RUN, None) as report:
            report.write(classified("a.jpg", "mask"))
            assert (tmp_path / "report.html").read_text() == "of yesterday"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert (tmp_path / "report.html").read_text() == "of yesterday"
    assert len(list(tmp_path.iterdir())) == 1


def test_where_no_report_can_be_is_said_at_once(tmp_path: Path) -> None:
    for path, problem in (
        (tmp_path / "missing" / "report.html", "No such file or directory"),
        (Path("/dev/null"), "is no file"),
    ):
        with pytest.raises(UsageError, match=problem), new_report(path, RUN, None):
            pytest.fail("it was begun")


def test_a_link_to_a_report_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.html").write_text("of yesterday")
    (tmp_path / "latest.html").symlink_to("real.html")

    with new_report(tmp_path / "latest.html", RUN, None) as report:
        report.write(classified("a.jpg", "mask"))

    assert (tmp_path / "latest.html").is_symlink()
    assert "<!doctype html>" in (tmp_path / "real.html").read_text()
