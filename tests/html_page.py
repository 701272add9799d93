"""A page for a test's eyes: parsed more strictly than a browser would, and opened in one where there is one."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

VOID = {"meta", "img", "br", "input"}
BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
# Frames as wide as a phone and a desktop; says how far the page reaches beyond them.
_PROBE = """<!DOCTYPE html><meta charset="utf-8"><body><script>
for (const width of [360, 390, 1280]) {
  const frame = document.createElement("iframe");
  frame.width = width; frame.height = 800; frame.srcdoc = PAGE;
  frame.onload = () => { document.body.append(` beyond-${width}=${frame.contentDocument.documentElement.scrollWidth -
    frame.contentDocument.documentElement.clientWidth} ` +
    `cards-${width}=${frame.contentDocument.querySelectorAll(".card").length} `); };
  document.body.append(frame);
}
</script>"""


class Parsed(HTMLParser):
    """Tags must close in order, an id stand once; collects tags, ids, attributes and text."""

    def __init__(self, source: str):
        super().__init__()
        self.open, self.attributes, self.words, self.tags = [], [], [], []
        self.feed(source)
        self.close()
        assert self.open == []
        ids = [value for _, key, value in self.attributes if key == "id"]
        assert len(ids) == len(set(ids)), "an id stands twice"
        self.ids = set(ids)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            assert "alt" in dict(attrs)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:  # as SVG's may
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def check_in_browser(path, folder, cards: int | None = None) -> None:
    """It opens with no error and no request to the network, and is no wider than a phone or a desktop."""
    probe = folder / "probe.html"
    probe.write_text(_PROBE.replace("PAGE", json.dumps(path.read_text(encoding="utf-8")).replace("</", "<\\/")))
    for page in (path, probe):
        done = _browse(page, folder)
        assert done.returncode == 0 and "</html>" in done.stdout, done.stderr
        assert "CONSOLE" not in done.stderr, done.stderr
        assert not re.search(r'"url":"(https?|wss?)://', _page_requests(folder / "net.json"))
    for width in (360, 390, 1280):
        assert f"beyond-{width}=0" in done.stdout
        assert cards is None or f"cards-{width}={cards} " in done.stdout


def _browse(path, folder) -> subprocess.CompletedProcess:
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=3000"]
    options += [f"--user-data-dir={folder / 'browser'}", f"--log-net-log={folder / 'net.json'}", "--dump-dom"]
    return subprocess.run([BROWSER, *options, path.as_uri()], capture_output=True, text=True, timeout=120)


def _page_requests(log) -> str:
    """The net log's lines of requests that a page makes; the browser's own (updates, accounts) name no initiator."""
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join(line for line in lines if re.search(r'"initiator":"(?!not an origin)', line))
