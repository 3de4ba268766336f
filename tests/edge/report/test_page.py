"""The parts of a report's HTML."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.report import page
from edge.report.page import Run, embedded, visible
from edge.report.tally import Tally, share
from support.reports import classified

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def tally_of(**kinds: int) -> Tally:
    tally = Tally()
    for kind, times in kinds.items():
        for _ in range(times):
            tally.add(classified("a.jpg", kind).record)
    return tally


def body(tally: Tally, *, found: int | None = None, shown: int = 0, argument: str = "photos") -> str:
    return page.body(Run([argument], tally.pictures.total() if found is None else found, NOON), tally, shown)


@given(st.text())
def test_what_is_embedded_is_read_back_and_ends_no_script(text: str) -> None:
    found = embedded({"path": text})

    assert json.loads(found) == {"path": text}
    assert not set("<>&\u2028\u2029") & set(found)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("schön 漢字 👩‍⚕️.jpg", "schön 漢字 👩‍⚕️.jpg"),
        ("two\nlines\t.jpg", r"two\nlines\t.jpg"),
        ("\x1b[31mred\x7f.jpg", r"\x1b[31mred\x7f.jpg"),
        ("photo\u202egpj.exe", r"photo\u202egpj.exe"),
        ("\u2067\u200f.jpg", r"\u2067\u200f.jpg"),
        ("שלום.jpg", "שלום.jpg"),
        ("\u2028.jpg", r"\u2028.jpg"),
    ],
)
def test_what_cannot_be_seen_is_spelt_out(text: str, seen: str) -> None:
    assert visible(text) == seen


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 0, "0.0 %"),
        (1, 8, "12.5 %"),
        (0, 9, "0.0 %"),
        (9, 9, "100.0 %"),
        (1, 10_000, "< 0.1 %"),
        (9_999, 10_000, "> 99.9 %"),
    ],
)
def test_a_share_never_says_none_of_some_or_all_of_most(part: int, whole: int, said: str) -> None:
    assert share(part, whole) == said


def test_counts_and_shares_are_in_the_page_itself() -> None:
    text = body(tally_of(mask=5, no_mask=2, uncertain=1, mixed=1, failed=1))

    assert 'aria-label="Pictures: failed 1, uncertain 1, mixed 1, no mask 2, mask 5"' in text
    assert 'aria-label="Faces: uncertain 1, no mask 3, mask 6"' in text
    tiles = re.findall(r'value="(\w+)".*?<b>([\d,]+)</b><span class=share>([^<]+)<', text)
    assert tiles == [
        ("failed", "1", "10.0 %"),
        ("uncertain", "1", "10.0 %"),
        ("mixed", "1", "10.0 %"),
        ("no_mask", "2", "20.0 %"),
        ("mask", "5", "50.0 %"),
        ("no_face", "0", "0.0 %"),
    ]


def test_the_bar_is_full_and_shows_even_one_of_thousands() -> None:
    text = body(tally_of(mask=3000, failed=1))
    (bar,) = re.findall(r'<svg class="bar"[^>]*aria-label="Pictures.*?</svg>', text)

    segments = [(float(x), float(width)) for x, width in re.findall(r'x="([\d.]+)" y="0" width="([\d.]+)"', bar)]

    assert segments[0] == (0, 1.3)
    assert segments[1][0] + segments[1][1] == pytest.approx(998, abs=0.2)


def test_the_models_the_version_and_the_date_are_at_the_foot() -> None:
    foot = body(tally_of(mask=1)).split("<footer>")[1]

    for each in ("face_detector@1a2b3c4d", "mask_classifier@5e6f7a8b", "maskgate 0", "2026-11-25 12:00 UTC"):
        assert each in foot


@pytest.mark.parametrize(("shown", "said"), [(2, True), (8, False)])
def test_it_says_how_many_are_shown_of_how_many(shown: int, said: bool) -> None:
    text = body(tally_of(mask=8, failed=3), shown=shown)

    assert ("2 of 8 pictures are shown small" in text) is said
    assert ("shown small" in text) is said


def test_a_report_that_ended_early_says_so() -> None:
    assert "Ended early: 3 of 2,000 pictures are in this report." in body(tally_of(mask=3), found=2000)
    assert "Ended early" not in body(tally_of(mask=3))


def test_a_folder_without_pictures_has_a_report_too() -> None:
    text = body(Tally())

    assert "0 pictures" in text
    assert "classifier <code>none</code>" in text


def test_many_arguments_are_named_in_short() -> None:
    run = Run([f"{number}.jpg" for number in range(1200)], 1200, NOON)

    assert "<title>Mask report: 0.jpg, 1.jpg, 2.jpg and 1,197 more</title>" in page.head(run)


def test_what_was_asked_for_cannot_be_markup() -> None:
    hostile = "</title><script>alert(1)</script>"
    run = Run([hostile], 1, NOON)

    for text in (page.head(run), body(tally_of(mask=1), argument=hostile)):
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)" in text


def test_only_the_reports_own_script_and_style_may_run() -> None:
    head, tail = page.head(Run(["photos"], 1, NOON)), body(tally_of(mask=1))
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', head)
    (style,) = re.findall(r"<style>(.*?)</style>", head, re.S)
    (script,) = re.findall(r"<script>(.*?)</script>", tail, re.S)

    assert policy is not None
    assert policy[1].startswith("default-src 'none'; img-src data:; ")
    for text, name in ((style, "style-src"), (script, "script-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy[1]
    assert "style=" not in tail
    assert not re.search(r"\son\w+=", tail), "an inline handler would not run"
