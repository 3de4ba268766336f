"""The report of a folder in a real browser: by mouse, by keyboard, on a phone, and with the names that break pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge.report.page import Run
from edge.report.writer import new_report
from support.browser import PHONE, accessibility_problems, opened
from support.daemon import maskgate
from support.reports import classified, many

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DESKTOP = {"width": 1280, "height": 900}
TIMES, NOTHING = "\u00d7", "\u2013"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """130 pictures of all kinds."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    with new_report(path, Run(["photos"], 130, datetime(2026, 11, 25, 12, tzinfo=UTC)), None) as writer:
        for each in many(130):
            writer.write(each)
    return path


@pytest.fixture
def shown(page: Page, report: Path) -> Page:
    page.goto(report.as_uri())
    return page


def column(page: Page, number: int) -> list[str]:
    return page.locator(f"#table tr > :nth-child({number})").all_inner_texts()


def paths(page: Page) -> list[str]:
    return [text.split("\n")[0].removeprefix("photos/IMG_").removesuffix(".jpg") for text in column(page, 2)]


def test_nothing_is_asked_of_any_network(page: Page, report: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    page.goto(report.as_uri())
    page.locator("#table button").nth(20).click()

    assert {url for url in asked if not url.startswith("data:image/jpeg;base64,")} == {report.as_uri()}


def test_what_failed_and_what_is_uncertain_comes_first(shown: Page) -> None:
    results = column(shown, 3)

    assert results == ["failed"] * 13 + ["uncertain"] * 13 + ["mixed"] * 13 + ["no mask"] * 11
    assert paths(shown)[:13] == [str(number) for number in range(9, 130, 10)], "as a person counts: 9, 19, 109"
    assert column(shown, 2)[0] == "photos/IMG_9.jpg\nthe JPEG is damaged"
    assert shown.locator("[aria-sort]").inner_text() == "Result"


def test_it_is_sorted_with_the_keyboard(shown: Page) -> None:
    head = shown.get_by_role("columnheader", name="File")

    head.get_by_role("button").focus()
    shown.keyboard.press("Enter")
    assert paths(shown)[:3] == ["0", "1", "2"]
    assert head.get_attribute("aria-sort") == "ascending"
    shown.keyboard.press("Space")
    assert paths(shown)[:3] == ["129", "128", "127"]
    assert head.get_attribute("aria-sort") == "descending"
    assert shown.locator("[aria-sort]").count() == 1


@pytest.mark.parametrize(
    ("key", "number", "first"),
    [("Faces", 4, "2"), ("Closest call", 5, "0.500"), ("Size", 6, f"640 {TIMES} 480"), ("Time", 7, "96 ms")],
)
def test_every_column_is_sorted_with_what_matters_in_front(shown: Page, key: str, number: int, first: str) -> None:
    shown.get_by_role("button", name=key, exact=True).click()

    assert column(shown, number)[0] == first


def test_pictures_without_a_face_are_no_close_call_either_way(shown: Page) -> None:
    for _ in range(2):
        shown.get_by_role("button", name="Closest call").click()

        assert NOTHING not in column(shown, 5)


def test_kinds_are_hidden_and_shown_with_the_keyboard(shown: Page) -> None:
    shown.get_by_role("checkbox", name="failed").focus()
    shown.keyboard.press("Space")
    assert shown.get_by_role("status").inner_text() == "1 to 50 of 117"
    assert "failed" not in column(shown, 3)

    for kind in ("uncertain", "mixed", "no mask", "no face"):
        shown.get_by_role("checkbox", name=kind).uncheck()
    assert set(column(shown, 3)) == {"mask"}
    shown.locator("[value=mask]").uncheck()
    assert shown.get_by_role("status").inner_text() == "No picture matches."
    assert column(shown, 2) == []


def test_it_is_searched_by_path_and_by_error(shown: Page) -> None:
    search = shown.get_by_role("searchbox", name="Path or error contains")

    search.fill("img_12")
    assert sorted(map(int, paths(shown))) == [12, *range(120, 130)]
    search.fill("DAMAGED")
    assert shown.get_by_role("status").inner_text() == "1 to 13 of 13"
    search.fill("\\d")
    assert shown.get_by_role("status").inner_text() == "No picture matches."


def test_pages_are_turned_and_the_focus_is_not_lost(shown: Page) -> None:
    shown.get_by_role("button", name="File").click()
    pager = shown.get_by_role("navigation", name="Pages of the table")
    next_ = pager.get_by_role("button", name="Next")

    next_.focus()
    shown.keyboard.press("Enter")
    assert paths(shown)[0] == "50"
    assert shown.evaluate("document.activeElement.textContent") == "Next"
    shown.keyboard.press("Enter")
    assert paths(shown) == [str(number) for number in range(100, 130)]
    assert next_.is_disabled()
    assert shown.evaluate("document.activeElement.textContent") == "First", "a disabled button holds no focus"
    shown.keyboard.press("Enter")
    assert paths(shown)[0] == "0"


def test_details_are_opened_walked_through_and_left_with_the_keyboard(shown: Page) -> None:
    shown.get_by_role("button", name="File").click()
    shown.get_by_role("button", name="Details of photos/IMG_48.jpg").focus()
    shown.keyboard.press("Enter")
    dialog = shown.get_by_role("dialog")

    assert dialog.get_by_role("heading").inner_text() == "photos/IMG_48.jpg uncertain"
    assert dialog.get_by_role("row").nth(1).inner_text().split()[:5] == ["uncertain", "0.500", "0.90", "60", TIMES]
    shown.keyboard.press("ArrowRight")
    assert dialog.get_by_role("heading").inner_text() == "photos/IMG_49.jpg failed"
    assert "the JPEG is damaged" in dialog.inner_text()
    shown.keyboard.press("ArrowRight")
    assert dialog.get_by_role("img").get_attribute("alt") == "photos/IMG_50.jpg, 1 face drawn in"
    dialog.get_by_role("link", name="Open the picture").focus()
    shown.keyboard.press("ArrowLeft")
    shown.keyboard.press("ArrowRight")
    assert dialog.get_by_role("heading").inner_text().startswith("photos/IMG_50.jpg"), "a key went astray"
    shown.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert paths(shown)[0] == "50", "the table has not come along to the next page"
    assert shown.evaluate("document.activeElement.ariaLabel") == "Details of photos/IMG_50.jpg"


def test_the_first_and_the_last_picture_have_no_neighbour(shown: Page) -> None:
    shown.get_by_role("searchbox").fill("img_12.")
    shown.get_by_role("button", name="Details of").click()

    assert shown.get_by_role("button", name="Previous picture").is_disabled()
    assert shown.get_by_role("button", name="Next picture").is_disabled()
    shown.keyboard.press("ArrowRight")
    shown.get_by_role("button", name="Close", exact=True).click()
    assert not shown.get_by_role("dialog").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_is_accessible(browser: Browser, report: Path, viewport: dict[str, int], scheme: str) -> None:
    with opened(browser, viewport=viewport, color_scheme=scheme) as page:
        page.goto(report.as_uri())
        assert accessibility_problems(page) == []

        page.locator("#table button").nth(30).click()
        assert accessibility_problems(page) == []


WIDEST = "Math.max(...[...document.querySelectorAll('body *')].map((e) => e.getBoundingClientRect().right))"


def test_a_small_phone_shows_it_without_scrolling_sideways(browser: Browser, report: Path) -> None:
    with opened(browser, viewport=PHONE, has_touch=True) as page:
        page.goto(report.as_uri())

        assert page.evaluate(WIDEST) <= PHONE["width"]
        page.get_by_label("Sort by").select_option("file")
        assert paths(page)[:2] == ["0", "1"]
        for control in page.locator("button:visible, select:visible, .tile:visible").all()[:12]:
            box = control.bounding_box()
            assert box is not None
            assert min(box["width"], box["height"]) >= 24, "WCAG 2.2 asks for 24 pixels"
        page.locator("#table button").nth(6).tap()
        assert page.evaluate(WIDEST) <= PHONE["width"]
        dialog = page.get_by_role("dialog").bounding_box()
        assert dialog is not None
        assert dialog["height"] <= PHONE["height"]


def test_without_javascript_the_counts_are_there(browser: Browser, report: Path) -> None:
    with opened(browser, java_script_enabled=False) as page:
        page.goto(report.as_uri())

        assert page.get_by_role("img", name="Pictures: failed 13, uncertain 13, mixed 13, no mask 13").is_visible()
        assert page.get_by_text("The table needs JavaScript").is_visible()
        assert not page.locator("table").is_visible()


HOSTILE = {
    b"<img src=x onerror=alert(1)>.jpg": "<img src=x onerror=alert(1)>.jpg",
    b"\"'&amp;`${1}.jpg": "\"'&amp;`${1}.jpg",
    b"<!--<script>.jpg": "<!--<script>.jpg",
    b"</script><script>alert(2)</script>.jpg": "</script><script>alert(2)</script>.jpg",
    b"two\nlines.jpg": r"two\nlines.jpg",
    b"\xff\xfe.jpg": r"\xff\xfe.jpg",
    "photo\u202egpj.exe.jpg".encode(): r"photo\u202egpj.exe.jpg",
    b"javascript:alert(3)?#%41.jpg": "javascript:alert(3)?#%41.jpg",
    "漢字 שלום.jpg".encode(): "漢字 שלום.jpg",
}
"""Names of files by what the report shows of them. A `/` is a folder, so that one of them holds `</script>`."""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Iterator[Path]:
    """A report of pictures with such names, and its folder."""
    folder = tmp_path_factory.mktemp("hostile")
    for name in HOSTILE:
        path = folder / "photos" / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pictures / "bare.jpg", path)
    done = maskgate(
        "classify",
        folder / "photos",
        "--report",
        folder / "report.html",
        "--annotate",
        folder / "out",
        "--faces",
        "whole",
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_names_that_look_like_markup_are_text(page: Page, hostile: Path) -> None:
    alarms: list[str] = []
    page.on("dialog", lambda dialog: (alarms.append(dialog.message), dialog.dismiss()))

    page.goto((hostile / "report.html").as_uri())

    assert sorted(column(page, 2)) == sorted(f"{hostile}/photos/{seen}" for seen in HOSTILE.values())
    assert alarms == []
    assert page.locator("script").count() == 4
    assert page.locator("bdi").count() == len(HOSTILE) + 1, "each name keeps its direction to itself"


def test_links_lead_to_the_picture_whatever_its_name(page: Page, hostile: Path) -> None:
    page.goto((hostile / "report.html").as_uri())

    for number in range(len(HOSTILE)):
        page.locator("#table button").nth(number).click()
        name = page.locator("#details-heading bdi").inner_text()
        for link in page.locator("#details-links a").all():
            with page.context.expect_page() as found:
                link.click()
            found.value.wait_for_load_state()
            size = found.value.evaluate("[document.images.length, document.images[0]?.naturalWidth]")
            assert size == [1, 512], f"{link.inner_text()} of {name} leads to {found.value.url}"
            found.value.close()
        page.keyboard.press("Escape")


def test_ten_thousand_pictures_are_a_page_like_any_other(page: Page, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    with new_report(report, Run(["photos"], 10_000, datetime(2026, 11, 25, 12, tzinfo=UTC)), None) as writer:
        for each in many(10_000):
            writer.write(each)

    page.goto(report.as_uri())

    assert page.get_by_role("status").inner_text() == "1 to 50 of 10,000"
    page.get_by_role("button", name="File").click()
    page.get_by_role("button", name="Last").click()
    assert page.locator("#place").inner_text() == "Page 200 of 200"
    assert paths(page)[-1] == "9999"
    assert page.locator("#table tr").count() == 50
    page.get_by_role("searchbox").fill("img_7777")
    assert paths(page) == ["7777"]
    assert report.stat().st_size < 3_000_000, "records alone, with tiny pictures"


def test_an_empty_report_is_no_empty_page(page: Page, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()

    done = maskgate("classify", tmp_path / "photos", "--report", tmp_path / "report.html")
    page.goto((tmp_path / "report.html").as_uri())

    assert done.returncode == 0
    assert page.get_by_role("status").inner_text() == "No picture matches."
    assert accessibility_problems(page) == []


def test_a_report_that_ended_early_warns_at_the_top(page: Page, tmp_path: Path) -> None:
    with new_report(tmp_path / "report.html", Run(["photos"], 9, datetime(2026, 11, 25, tzinfo=UTC)), None) as writer:
        writer.write(classified("a.jpg", "mask"))

    page.goto((tmp_path / "report.html").as_uri())

    assert page.get_by_role("banner").get_by_text("Ended early: 1 of 9 pictures are in this report.").is_visible()
