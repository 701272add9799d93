"""The page in headless Chromium, on a server that scores drawn faces by their brightness."""

import json
import re
import time
from pathlib import Path

import pytest
import serve_case
from hostile.worker import FRAMES
from html_page import BROWSER, needs_browser
from odd.encoder import draw, encode

api = pytest.importorskip("playwright.sync_api", reason="the group `browser` is not installed")
pytestmark = needs_browser
api.expect.set_options(timeout=60_000)  # ms, for a busy machine
SCRIPT = "document.title='run'"
HOSTILE = f"<img src=x onerror={SCRIPT}>\u202e.mp4"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = serve_case.start(tmp_path_factory.mktemp("bright"), "bright", megabytes=2, seconds=20, videos=3)
    yield server
    server.stop()
    assert "Traceback" not in server.process.stderr.read()


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "ünï face.mp4"
    encode(path, draw(2 * FRAMES + 4))
    return path


@pytest.fixture(scope="module")
def browser():
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser, server):
    """() -> a new tab. Whatever any of them asks of anyone else, or complains of, fails the test."""
    context, wrong = browser.new_context(viewport={"width": 1280, "height": 800}), []
    context.set_default_timeout(60_000)

    def complained(message):
        expected = "the server responded with a status", "net::ERR_FAILED"  # what some tests are about
        if message.type in ("error", "warning") and not any(each in message.text for each in expected):
            wrong.append(message.text)

    def open_tab(of=server):
        def asked(request):
            if not request.url.startswith((of.address, "data:", "blob:")):
                wrong.append(request.url)

        page = context.new_page()
        page.on("console", complained)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", asked)
        page.goto(of.address)
        api.expect(page.locator("#videos")).to_be_attached()
        return page

    yield open_tab
    context.close()
    assert wrong == []
    for each in server.videos():
        server.ask("DELETE", f"/api/videos/{each['id']}")


def row(page, name):
    return page.locator("#videos > li").filter(has=page.get_by_role("heading", name=name, exact=True))


def expect_state(page, name, text):
    api.expect(row(page, name).locator(".state")).to_have_text(re.compile(text))


def drop(page, *files):
    """Files (name, bytes) dropped on the page."""
    held = page.evaluate_handle(
        """files => { const held = new DataTransfer();
           for (const [name, bytes] of files) held.items.add(new File([new Uint8Array(bytes)], name));
           return held; }""",
        [[name, list(data)] for name, data in files],
    )
    page.dispatch_event("body", "dragover", {"dataTransfer": held})
    assert "over" in page.evaluate("document.body.className")
    page.dispatch_event("body", "drop", {"dataTransfer": held})
    assert page.evaluate("document.body.className") == ""


def reaches(page):
    """Pixels that the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def test_a_video_is_chosen_by_keyboard_followed_shown_and_saved(tab, video):
    page = tab()
    page.evaluate(
        """window.seen = [];
           const note = () => { for (const e of document.querySelectorAll('.state')) window.seen.push(e.textContent); };
           new MutationObserver(note).observe(document.querySelector('#videos'), {subtree: true, childList: true})"""
    )
    page.keyboard.press("Tab")
    api.expect(page.locator("#pick")).to_be_focused()
    with page.expect_file_chooser() as chosen:
        page.keyboard.press("Space")
    assert chosen.value.is_multiple()
    chosen.value.set_files(video)
    expect_state(page, video.name, r"Called (real|fake): P\(fake\) 0\.\d\d, from 0\.50 on it is called fake")
    said = "\n".join(page.evaluate("window.seen"))
    order = [said.index(word) for word in ("Uploading", "Finding faces", "Scoring", "Called")]
    assert order == sorted(order)
    one = row(page, video.name)
    api.expect(one.locator(".distance")).to_contain_text("How far this video is from what the model was trained on")
    assert (
        "Finding faces" in page.locator("#spoken").text_content() and "Called" in page.locator("#spoken").text_content()
    )
    assert page.locator("#spoken").get_attribute("aria-live") == "polite"

    one.get_by_role("button", name=re.compile("^Show what it rests on")).focus()
    page.keyboard.press("Enter")
    frame = page.frame_locator("iframe")
    api.expect(frame.get_by_role("heading", level=1)).to_have_text(video.name)
    api.expect(frame.locator("img").first).to_be_visible()
    until(lambda: page.evaluate("document.querySelector('iframe').offsetHeight") > 1000)  # as high as what it shows
    for width in (320, 390):
        page.set_viewport_size({"width": width, "height": 700})
        assert reaches(page) == 0, width
    api.expect(one.get_by_role("button", name=re.compile("^Hide"))).to_have_attribute("aria-expanded", "true")

    with page.expect_download() as saved:
        one.get_by_role("link", name=re.compile("^Save as JSON")).click()
    assert saved.value.suggested_filename == f"{video.name}.json"
    answer = json.loads(Path(saved.value.path()).read_text())
    assert answer["video"] == video.name and len(answer["windows"]) == 2
    with page.expect_download() as saved:
        one.get_by_role("link", name=re.compile("^Save as HTML")).click()
    assert "Windows, the highest score first" in Path(saved.value.path()).read_text()
    with page.context.expect_page() as opened:
        one.get_by_role("link", name=re.compile("^Open in a new tab")).click()
    api.expect(opened.value.get_by_role("heading", level=1)).to_have_text(video.name)
    assert opened.value.evaluate("document.scripts.length") == 0


def test_what_is_dropped_is_taken_and_what_is_no_video_says_why(tab, video):
    page = tab()
    drop(
        page,
        ("text.mp4", b"only words"),
        (HOSTILE, b"more words"),
        ("good.mp4", video.read_bytes()),
        ("empty.mp4", b""),
    )
    expect_state(page, "text.mp4", "Not scored: .*a text file")
    expect_state(page, "empty.mp4", r"Not scored: the file is empty \(0 bytes\)")
    expect_state(page, "good.mp4", "Called")
    api.expect(page.locator("#videos > li")).to_have_count(4)
    assert page.title() == "Score videos" and page.locator("#videos img").count() == 0
    hostile = page.locator("#videos > li").nth(1)
    assert "onerror" in hostile.locator("h3").inner_text() and "Not scored" in hostile.locator(".state").inner_text()
    assert page.locator("#videos > li").first.locator("a.html").is_hidden()
    page.set_viewport_size({"width": 320, "height": 600})
    assert reaches(page) == 0
    page.emulate_media(color_scheme="dark", forced_colors="active")  # no colour of ours is left
    assert "Not scored" in row(page, "text.mp4").inner_text() and "Called" in row(page, "good.mp4").inner_text()


def test_a_video_that_is_too_large_is_refused_before_it_is_sent_and_by_the_server_too(tab, server):
    page = tab()
    posted = []
    page.on("request", lambda request: posted.append(request.method) if request.method != "GET" else None)
    large = {"name": "large.mp4", "mimeType": "video/mp4", "buffer": b"x" * 2_000_001}
    page.locator("#pick").set_input_files([large])
    expect_state(page, "large.mp4", "Not scored: it has 2 MB, and a video may have at most 2 MB here. Cut it")
    assert posted == []
    said = page.evaluate(
        "fetch('api/videos?name=x', {method: 'POST', body: new Uint8Array(30_000_000)}).then(r => r.json())"
    )
    assert "at most 2 MB here. This one has 30 MB" in said["error"]
    row(page, "large.mp4").get_by_role("button", name="Remove large.mp4").click()
    api.expect(page.locator("#none")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "pick"  # the focus is not lost
    assert server.videos() == []


def test_more_than_fit_wait_in_the_page_and_none_is_refused(tab):
    page = tab()
    drop(page, *((f"{number}.mp4", b"words") for number in range(7)))
    for number in range(7):
        expect_state(page, f"{number}.mp4", "Not scored: .*a text file")


def test_two_tabs_show_the_same(tab, video):
    first, second = tab(), tab()
    first.locator("#pick").set_input_files(video)
    expect_state(second, video.name, "Called")
    expect_state(first, video.name, "Called")
    row(second, video.name).get_by_role("button", name=f"Remove {video.name}").click()
    api.expect(first.locator("#videos > li")).to_have_count(0)
    drop(first, ("a.mp4", b"words"))
    drop(second, ("b.mp4", b"words"))
    for page in (first, second):
        expect_state(page, "a.mp4", "Not scored")
        expect_state(page, "b.mp4", "Not scored")
        api.expect(page.locator("#videos > li")).to_have_count(2)


def until(true):
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A server whose disk is slow."""
    server = serve_case.start(tmp_path_factory.mktemp("slow"), megabytes=100, write_s=0.1)
    yield server
    server.stop()


@pytest.mark.parametrize("by", ["button", "closing the tab"])
def test_an_upload_shows_its_share_and_ends_when_it_is_cancelled(tab, slow, by):
    page, other = tab(slow), tab(slow)
    held = page.evaluate_handle(
        """() => { const held = new DataTransfer();
           held.items.add(new File([new Uint8Array(80_000_000)], 'slow.mp4')); return held; }"""
    )
    page.dispatch_event("body", "drop", {"dataTransfer": held})
    expect_state(page, "slow.mp4", r"Uploading: [1-9]\d? %")
    expect_state(other, "slow.mp4", r"Uploading: [1-9]\d? %")
    bar = row(page, "slow.mp4").get_by_role("progressbar", name="Progress of slow.mp4")
    assert 0 < bar.evaluate("bar => bar.position") < 1
    if by == "button":
        row(page, "slow.mp4").get_by_role("button", name="Cancel slow.mp4").click()
        api.expect(page.locator("#videos > li")).to_have_count(0)
    else:
        page.close(run_before_unload=False)
    until(lambda: slow.videos() == [] and slow.files_of_uploads() == [])
    api.expect(other.locator("#videos > li")).to_have_count(0)


def test_undetermined_is_said_without_its_score(tab):
    page = tab()
    result = serve_case.RESULT | {"label": "undetermined"}
    listed = {"id": "i", "name": "far.mp4", "key": "", "state": "done", "position": None, "progress": None}
    answer = {"videos": [listed | {"result": result, "error": None}], "room": 1}
    page.route("**/api/videos", lambda route: route.fulfill(json=answer))
    expect_state(page, "far.mp4", "^Undetermined: the model does not know videos like this one")
    assert "0.20" not in row(page, "far.mp4").locator(".state").inner_text()


def test_a_server_that_is_gone_is_said_and_one_that_is_back_is_noticed(tab):
    page = tab()
    page.route("**/api/videos", lambda route: route.abort())
    api.expect(page.get_by_role("alert")).to_contain_text("does not answer")
    page.unroute("**/api/videos")
    api.expect(page.get_by_role("alert")).to_have_count(0)


def test_every_control_has_a_name(tab):
    page = tab()
    drop(page, ("a.mp4", b"words"))
    expect_state(page, "a.mp4", "Not scored")
    tree = page.locator("body").aria_snapshot()
    assert 'button "Remove a.mp4"' in tree and 'heading "Add videos"' in tree and "Choose videos" in tree
    assert not re.search(r"- (button|link|progressbar|textbox)\s*$", tree, re.M)
