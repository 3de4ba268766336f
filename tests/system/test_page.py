"""The local page in a real browser: what people see, touch, and hear of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge.vision.geometry import Image
from support.browser import FLAGS, PHONE, accessibility_problems, opened
from support.components import eventually, free_port, require_program, require_shared
from support.daemon import running, write_config
from support.web import Visitor, page_served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATHS = ("/", "/camera", "/picture", "/model")
LAPTOP = {"width": 1280, "height": 860}
BARE_COLOUR, MASKED_COLOUR = (255, 150, 115), (88, 199, 149)
# How many pixels of a canvas are about of a colour; the picture itself has none of these.
COUNT_PIXELS = """([canvas, [red, green, blue]]) => {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let count = 0;
  for (let at = 0; at < data.length; at += 4)
    count += Math.abs(data[at] - red) + Math.abs(data[at + 1] - green) + Math.abs(data[at + 2] - blue) < 12;
  return count;
}"""


def until(page: Page, expression: str, limit_s: float = 15.0) -> None:
    """Asks from outside: the page's own policy forbids the polling that playwright would do inside it."""
    eventually(lambda: page.evaluate(expression), limit_s)


@contextmanager
def another(browser: Browser, *flags: str) -> Iterator[Browser]:
    """A second browser with flags of its own, beside the one that the module shares."""
    program = require_program("chromium", "chromium")
    started = browser.browser_type.launch(executable_path=program, args=[*FLAGS, *flags], timeout=60_000)
    try:
        yield started
    finally:
        started.close()


def pixels(page: Page, canvas: str, colour: tuple[int, int, int]) -> int:
    return int(page.evaluate(COUNT_PIXELS, [page.query_selector(canvas), colour]))


@contextmanager
def daemon(folder: Path, url: str) -> Iterator[str]:
    """A daemon with its page; its address."""
    port = free_port()
    door = f'[[sources]]\nname = "door"\nkind = "camera"\nurl = "{url}"'
    inbox = f'[[sources]]\nname = "inbox"\nkind = "folder"\npath = "{folder / "inbox"}"'
    config = write_config(folder, "", door, inbox, f"[web]\nenabled = true\nport = {port}")
    with running(config):
        visitor = Visitor(port)
        eventually(lambda: _up(visitor), 30)
        yield f"http://127.0.0.1:{port}"


def _up(visitor: Visitor) -> bool:
    try:
        return visitor.ask("/healthz").status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with daemon(tmp_path_factory.mktemp("page"), "demo:") as running_at:
        yield running_at


@pytest.fixture(scope="module")
def two_faces(tmp_path_factory: pytest.TempPathFactory, bare_face: Image, masked_face: Image) -> Path:
    path = tmp_path_factory.mktemp("two") / "two.jpg"
    cv2.imwrite(str(path), np.hstack([bare_face, masked_face]))
    return path


def test_the_live_view_shows_who_is_there_with_the_verdict_as_it_forms(address: str, page: Page) -> None:
    page.set_viewport_size(LAPTOP)
    page.goto(address)
    until(page, "document.querySelector('.who').textContent === '1 in view, 1 judged'", 20)
    for colour in (BARE_COLOUR, MASKED_COLOUR):
        eventually(lambda colour=colour: pixels(page, ".camera canvas", colour) > 300, 20)  # type: ignore[misc]
    until(page, "/^door: (No mask|Mask), \\d/.test(document.getElementById('announce').textContent)")
    assert page.locator("#panel-events li").count() > 0
    assert page.locator("#panel-sources li").first.inner_text().startswith("ok")
    assert page.locator("#panel-today .counts").inner_text() != "0\nMask\n0\nNo mask\n0\nNot sure"


def test_a_clip_of_people_is_seen_with_its_boxes(tmp_path: Path, page: Page) -> None:
    clip = require_shared("data", "clips", "one_masked_shop.mp4")
    with daemon(tmp_path, str(clip)) as address:
        page.goto(address)
        until(page, "/[1-9] judged/.test(document.querySelector('.who').textContent)", 30)
        eventually(lambda: pixels(page, ".camera canvas", MASKED_COLOUR) > 100, 20)


def test_a_paused_page_asks_for_no_pictures_and_goes_on_when_told_to(address: str, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/live?" in request.url else None)
    with page.expect_request("**/live?source=door"):
        page.goto(address)
    page.get_by_role("button", name="Pause").focus()
    with page.expect_request("**/live?"):  # it has to be on its way before it is called off
        page.keyboard.press("Enter")
    with page.expect_request("**/live?source=door"):
        page.get_by_role("button", name="Show live picture").press("Enter")
    assert [url.partition("?")[2] for url in asked] == ["source=door", "", "source=door"]


def test_a_page_that_is_not_in_front_closes_its_stream(address: str, page: Page) -> None:
    page.goto(address)
    until(page, "document.querySelector('.stage-note').hidden")
    hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
    tell = "document.dispatchEvent(new Event('visibilitychange'))"
    ended: list[str] = []
    page.on("requestfailed", lambda request: ended.append(request.url))
    page.evaluate(hide % "true" + tell)
    eventually(lambda: page.evaluate("1") and ended)
    with page.expect_request("**/live?source=door"):
        page.evaluate(hide % "false" + tell)


def test_who_wants_less_motion_begins_with_a_still_page(address: str, browser: Browser) -> None:
    with opened(browser, reduced_motion="reduce") as page:
        with page.expect_request("**/live?*") as request:
            page.goto(address)
        assert request.value.url.endswith("/live?")
        page.get_by_role("button", name="Show live picture").click()
        until(page, "document.querySelector('.stage-note').hidden")


def test_a_camera_that_is_gone_leaves_no_picture_that_looks_like_one_of_now(tmp_path: Path, page: Page) -> None:
    clip = cv2.VideoWriter(str(tmp_path / "short.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240))
    for shade in range(120):  # twelve seconds
        clip.write(np.full((240, 320, 3), 100 + shade, np.uint8))
    clip.release()
    with daemon(tmp_path, str(tmp_path / "short.avi")) as address:
        page.goto(address)
        until(page, "/^No picture for/.test(document.querySelector('.stage-note').textContent)", 40)
        assert page.locator(".stage-note").is_visible()
        assert page.locator("#panel-sources li").first.inner_text().startswith("lost")


def camera_file(path: Path, face: Image) -> Path:
    """A face that holds still before a wall, as the file that Chromium plays instead of a camera."""
    frame = np.full((480, 640, 3), 180, np.uint8)
    frame[30:480, 128:512] = cv2.resize(face, (384, 450), interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
    path.write_bytes(data * 10)
    return path


@pytest.mark.parametrize(("kind", "words"), [("bare", "No mask"), ("masked", "Mask")])
def test_a_phones_camera_finds_a_face_by_itself_and_says_what_it_sees(
    tmp_path: Path, browser: Browser, bare_face: Image, masked_face: Image, kind: str, words: str
) -> None:
    video = camera_file(tmp_path / "camera.mjpeg", bare_face if kind == "bare" else masked_face)
    flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    (tmp_path / "state").mkdir()
    with (
        daemon(tmp_path, "/dev/video77") as address,
        another(browser, *flags, f"--use-file-for-fake-video-capture={video}") as phone,
        opened(phone, viewport=PHONE) as page,
    ):
        page.goto(f"{address}/camera")
        page.evaluate("""() => {
            window.said = [];
            new MutationObserver(() => said.push(document.getElementById("announce").textContent))
                .observe(document.getElementById("announce"), {childList: true, characterData: true, subtree: true});
        }""")
        page.get_by_role("button", name="Start the camera").press("Enter")
        page.wait_for_selector("#result:not([hidden])", timeout=20_000)
        assert page.locator("#result strong").inner_text() == words
        assert re.fullmatch(r"Probability \d\d(\.\d)? %", page.locator("#result p").inner_text())
        said = page.evaluate("said")
        assert said[0] == "Look into the camera"
        assert said[-3:-1] == ["Hold still", "Judging"]
        assert said[-1].startswith(f"{words}. Probability")
        assert page.evaluate("document.activeElement.textContent") == "Look again"
        assert accessibility_problems(page) == []

        page.keyboard.press("Enter")
        until(page, "document.getElementById('result').hidden")
        page.wait_for_selector("#result:not([hidden])", timeout=20_000)
        page.get_by_role("button", name="Stop the camera").click()
        assert page.evaluate("document.getElementById('video').srcObject") is None

        text = Visitor(int(address.rsplit(":", 1)[1])).ask("/metrics").text
        assert 'maskgate_verdicts_total{label="no_mask"} 0.0' in text
        assert "maskgate_images_total" in text
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert {name for name in left if not name.startswith("outbox")} <= {
        "camera.mjpeg",
        "maskgate.toml",
        "daemon.log",
        "lock",
    }


def test_a_camera_that_is_refused_is_told_what_to_do(address: str, browser: Browser) -> None:
    with opened(browser) as page:  # nobody answers the question in a headless browser: it is refused
        page.goto(f"{address}/camera")
        page.get_by_role("button", name="Start the camera").click()
        page.wait_for_selector("#unavailable:not([hidden])")
        assert "start again" in page.locator("#unavailable").inner_text() or "no camera" in page.inner_text("main")


DWELL = """async (steps) => {
  const { Dwell } = await import("/static/dwell.js");
  const dwell = new Dwell();
  return steps.map(([at, ...box]) => {
    const faces = box.length ? [{ box: { x: box[0], y: box[1], width: box[2], height: box[2] } }] : [];
    return dwell.see(faces, { width: 640, height: 480 }, at).state;
  });
}"""


@pytest.mark.parametrize(
    ("steps", "states"),
    [
        ([[0], [250]], ["looking", "looking"]),
        ([[0, 200, 100, 40], [250, 200, 100, 40]], ["closer", "closer"]),
        ([[0, 200, 100, 200], [600, 205, 100, 200], [1200, 210, 100, 200]], ["hold", "hold", "ready"]),
        # It moves away: the time begins anew.
        (
            [[0, 0, 0, 200], [1100, 300, 100, 200], [1300, 300, 100, 200], [2300, 300, 100, 200]],
            ["hold"] * 3 + ["ready"],
        ),
        # It is missed once, and held on.
        ([[0, 200, 100, 200], [500], [1000, 200, 100, 200], [1250, 200, 100, 200]], ["hold"] * 3 + ["ready"]),
        # It is gone for longer: somebody else may stand there.
        ([[0, 200, 100, 200], [900], [1300, 200, 100, 200]], ["hold", "looking", "hold"]),
    ],
)
def test_a_face_is_ready_when_it_was_held_for_a_moment(
    address: str, page: Page, steps: list[list[int]], states: list[str]
) -> None:
    page.goto(f"{address}/model")
    assert page.evaluate(DWELL, steps) == states


def test_a_picture_of_ones_own_comes_back_with_boxes(address: str, page: Page, two_faces: Path) -> None:
    page.goto(f"{address}/picture")
    page.set_input_files("#file", two_faces)
    page.wait_for_selector("#shown:not([hidden])")
    assert page.locator("#result strong").inner_text() == "Some with, some without"
    words = page.locator("#faces li").all_inner_texts()
    assert [re.sub(r" [\d.]+ %$", "", text) for text in words] == ["No mask", "Mask"]
    assert pixels(page, "#picture", BARE_COLOUR) > 100
    assert pixels(page, "#picture", MASKED_COLOUR) > 100
    assert accessibility_problems(page) == []


def test_a_picture_larger_than_any_limit_is_made_smaller_before_it_is_sent(
    address: str, page: Page, tmp_path: Path, bare_face: Image
) -> None:
    path = tmp_path / "huge.jpg"
    cv2.imwrite(str(path), cv2.resize(bare_face, (5632, 6600)))  # 37 megapixels
    sent: list[int] = []
    page.on(
        "request", lambda request: sent.append(len(request.post_data_buffer or b"")) if "/judge" in request.url else 0
    )
    page.goto(f"{address}/picture")
    page.set_input_files("#file", path)
    page.wait_for_selector("#shown:not([hidden])", timeout=30_000)
    assert "1748 \N{MULTIPLICATION SIGN} 2048 pixels" in page.locator("#result").inner_text()
    assert sent


def test_what_is_no_picture_is_told_and_the_next_one_is_taken(
    address: str, browser: Browser, tmp_path: Path, two_faces: Path
) -> None:
    other = tmp_path / "notes.jpg"
    other.write_text("no picture at all")
    context = browser.new_context()  # a refused upload is an error on the console, as it should be
    page = context.new_page()
    page.goto(f"{address}/picture")
    page.set_input_files("#file", other)
    page.wait_for_selector("#problem:not([hidden])")
    assert page.inner_text("#problem").startswith("Not a picture of a known format")
    page.set_input_files("#file", two_faces)
    page.wait_for_selector("#shown:not([hidden])")
    assert page.locator("#problem").is_hidden()
    context.close()


def test_the_token_opens_the_page_and_logging_out_closes_it(browser: Browser) -> None:
    with page_served(token="let me in") as visitor:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{visitor.port}/picture")
        assert page.url.endswith("/login")
        assert accessibility_problems(page) == []
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        assert page.get_by_role("alert").inner_text() == "That is not the token."
        assert accessibility_problems(page) == []
        page.get_by_label("Token").fill("let me in")
        page.keyboard.press("Enter")
        page.wait_for_selector("h2#cameras")
        assert page.evaluate("document.cookie") == ""
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login")
        page.goto(f"http://127.0.0.1:{visitor.port}/")
        assert page.url.endswith("/login")
        context.close()


def test_over_plain_http_one_can_log_in_and_is_told_why_there_is_no_camera(browser: Browser) -> None:
    """A name that is not localhost, as a phone in the house sees it."""
    with (
        page_served(token="let me in") as visitor,
        another(browser, "--host-resolver-rules=MAP lobby.test 127.0.0.1") as phone,
        opened(phone, viewport=PHONE) as page,
    ):
        page.goto(f"http://lobby.test:{visitor.port}/")
        page.get_by_label("Token").fill("let me in")
        page.keyboard.press("Enter")
        page.wait_for_selector("h2#cameras")
        page.goto(f"http://lobby.test:{visitor.port}/camera")
        assert "https" in page.inner_text("#unavailable")
        assert page.get_by_role("button", name="Start the camera").is_disabled()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["phone", "laptop"])
def test_every_page_can_be_used_by_everybody(address: str, browser: Browser, scheme: str, size: str) -> None:
    viewport = PHONE if size == "phone" else LAPTOP
    with opened(browser, viewport=viewport, color_scheme=scheme) as page:
        for path in PATHS:
            page.goto(address + path)
            if path == "/":
                until(page, "document.querySelector('.stage-note').hidden")
                page.locator("summary").first.click()
            assert accessibility_problems(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], path


def test_the_keyboard_reaches_everything_and_stays_where_it_was(address: str, page: Page) -> None:
    page.goto(address)
    names = []
    for _ in range(7):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert names == ["Skip to content", "Live", "My camera", "A picture", "Model", "Pause", "By hour, as a table"]
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel-today details[open]")
    before = page.inner_text("#panel-today .counts")
    eventually(lambda: page.inner_text("#panel-today .counts") != before, 20)
    assert page.locator("#panel-today details[open]").count() == 1
    assert page.evaluate("document.activeElement.textContent.trim()") == "By hour, as a table"
