"""HTML pages in tests: parsed more strictly than a browser would, and opened in Chromium if it is installed."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

VOID = {"meta", "img", "br", "input"}
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
# Shows the page in frames as wide as phones and a desktop, and writes how far it reaches beyond them.
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
    """Tags must close in order and ids be unique; collects tags, ids, attributes and text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open, self.attributes, self.words, self.tags = [], [], [], []
        self.feed(source)
        self.close()
        assert self.open == []
        ids = [value for _, key, value in self.attributes if key == "id"]
        assert len(ids) == len(set(ids)), "an id is used twice"
        self.ids = set(ids)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            assert "alt" in dict(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:  # as SVG's may
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """All text between the tags."""
        return "".join(self.words)


def check_in_browser(path: Path, folder: Path, cards: int | None = None) -> None:
    """The page opens without an error or a request to the network, and is no wider than a phone or a desktop.

    Args:
      folder: for the browser's files. cards: how many the page must show.
    """
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


def _browse(path: Path, folder: Path) -> subprocess.CompletedProcess:
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=3000"]
    options += [f"--user-data-dir={folder / 'browser'}", f"--log-net-log={folder / 'net.json'}", "--dump-dom"]
    assert BROWSER is not None
    return subprocess.run([BROWSER, *options, path.as_uri()], capture_output=True, text=True, timeout=120)


def _page_requests(log: Path) -> str:
    """The net log's lines about requests of the page; those of the browser (updates, accounts) have no initiator."""
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join(line for line in lines if re.search(r'"initiator":"(?!not an origin)', line))
