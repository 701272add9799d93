"""Names that no one would give a file, through predict, its page and its JSON, and a run's report, in a browser."""

import json
import os
import re

import pytest
import tiny_page
from command import run_main
from html_page import BROWSER, Parsed, _browse, needs_browser
from odd.encoder import draw, encode

from cpml_jax import predict, report
from cpml_jax.data.input_size import InputSize
from cpml_jax.errors import UserError, printable
from cpml_jax.evaluation.verdict import Verdict
from cpml_jax.prediction.detector import Detector, load_video_clips
from cpml_jax.report import canvas
from hostile import counts
from hostile.worker import FRAMES, Brightness

# Their bytes; on the disk they end with .mp4. A page that runs one of them calls itself "run" (document.title).
SCRIPT = "document.title='run'"
NAMES = (
    f"<img src=x onerror={SCRIPT}>", f"<script>{SCRIPT}<script>", f"'\"><svg onload={SCRIPT}>",
    f'" onmouseover="{SCRIPT}',
    "line\nbreak\r\nand\ttab", "\x1b[2J\x1b]0;title\x07", "$(touch x)`id`;&|", "%s%d%n{0}{x}", "=1+1", "-rf", "--help",
    "\u202ecod.exe", "\u2028\u2029\x85", "\x00".replace("\x00", "\x01"), "ünï 顔 😀", "&lt;b&gt;&amp;&#60;", "x" * 251,
    "é" * 125 + "x", "]]>", "-->", "<!--", "$x_1^2$\\frac{", "__proto__", "con", " ", ".. ",
)  # fmt: skip
BYTES = (b"\xff\xfe\xe9", b"\xed\xa0\x80", b"\xc3(", b"<b>\xff<b>", b"\xf0\x9f\x98")


def all_names() -> list[bytes]:
    """Without slashes, which no name has, and of at most 255 bytes with the suffix."""
    return [name.replace("/", "∕").encode()[:251] + b".mp4" for name in NAMES] + [name + b".mp4" for name in BYTES]


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """(folder, paths, lines that predict printed, page): every third name is a video, the others no video at all."""
    root = tmp_path_factory.mktemp("names")
    encode(root / "whole.mp4", draw(FRAMES + 4))
    (root / "videos").mkdir()
    paths = []
    for number, name in enumerate(all_names()):
        path = os.path.join(os.fsencode(root / "videos"), name)
        if number % 3:
            with open(path, "wb") as file:
                file.write(b"text " + name)
        else:
            os.link(root / "whole.mp4", path)
        paths.append(os.fsdecode(path))
    size = InputSize(FRAMES, frame_size=32, num_stills=1, batch_size=8, inputs=("frames", "landmarks"))
    with open(root / "out", "w+", encoding="utf-8") as out, pytest.MonkeyPatch.context() as patch:
        patch.setattr(canvas, "svg", lambda figure, name: "<svg></svg>")
        patch.setattr(
            Brightness, "saliency", lambda self, batch: batch["frames"][:, 0, 0, ..., 0] / 255.0, raising=False
        )
        page = str(root / "page.html")
        predict.predict(Detector(Brightness(), Verdict(), size, load_video_clips()), paths, page=page, out=out)
        out.seek(0)
        lines = out.read().splitlines()
    return root, paths, lines


def test_every_name_gives_one_line_of_json(answered):
    _, paths, lines = answered
    assert len(lines) == len(paths)
    answers = [json.loads(line, parse_constant=refuse) for line in lines]
    assert [answer["video"] for answer in answers] == paths
    assert ["error" not in answer for answer in answers] == [number % 3 == 0 for number in range(len(paths))]
    assert all(
        answer.get("error", "a").isprintable() and line.isascii() for answer, line in zip(answers, lines, strict=True)
    )
    refused = sum("error" in answer for answer in answers)
    counts.say({"part": "names", "cases": len(lines), "answers": len(lines) - refused, "refused": refused})


def test_the_page_holds_names_as_text(answered):
    root, paths, _ = answered
    source = (root / "page.html").read_bytes().decode("utf-8")
    parsed = Parsed(source)
    assert not {"script", "iframe", "object"} & set(parsed.tags)
    assert not [key for _, key, _ in parsed.attributes if key.startswith("on")]
    assert SCRIPT in parsed.text and len(re.findall(SCRIPT, parsed.text)) >= 4
    assert not re.search(r"[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f]", parsed.text)


@needs_browser
def test_the_page_runs_nothing_in_a_browser(answered, tmp_path):
    root, _, _ = answered
    shown = _browse(root / "page.html", tmp_path)
    assert shown.returncode == 0 and "</html>" in shown.stdout and "<title>run</title>" not in shown.stdout
    assert "CONSOLE" not in shown.stderr
    bad = tmp_path / "bad.html"  # that a script would be seen
    bad.write_text(f"<!DOCTYPE html><title>a</title><body><img src=x onerror={SCRIPT}></body>")
    assert "<title>run</title>" in _browse(bad, tmp_path).stdout and BROWSER


def named_run(folder) -> None:
    """A run all of whose names are such."""
    names = [name.decode("utf-8", "replace") for name in all_names()]
    lines = tiny_page.scores(methods=("Deepfakes",), compressions=("raw",), identities=4, windows=1)
    lines = [line | {"video": names[i], "identity": names[i], "method": line["method"]} for i, line in enumerate(lines)]
    document = tiny_page.evaluation()
    document["config"]["name"] = names[0]
    for entry, name in zip(document["results"], names, strict=False):
        entry["test"] = {"dataset": name, "compression": name, "methods": [name]}
        entry["note"] = name
    tiny_page.write_run(folder, lines, document)


@pytest.fixture
def reported(tmp_path, monkeypatch):
    monkeypatch.setattr(canvas, "png", lambda figure: b"")
    monkeypatch.setattr(canvas, "svg", lambda figure, name: "<svg></svg>")
    named_run(tmp_path / "run")
    return report.write(tmp_path / "run", {})


def test_a_report_holds_names_as_text(reported):
    parsed = Parsed(reported.read_text(encoding="utf-8"))
    assert "script" not in parsed.tags and not [key for _, key, _ in parsed.attributes if key.startswith("on")]
    assert SCRIPT in parsed.text


@pytest.mark.hostile
@needs_browser
def test_a_report_runs_nothing_in_a_browser(reported, tmp_path):
    shown = _browse(reported, tmp_path)
    assert shown.returncode == 0 and "<title>run</title>" not in shown.stdout and "CONSOLE" not in shown.stderr


def test_a_comparison_keeps_its_table(tmp_path, capsys):
    """A line break or a bar in a name would make another row or column of compare.md."""
    for name in ("a", "b|c"):
        named_run(tmp_path / name)
    assert run_main("compare", str(tmp_path / "a"), str(tmp_path / "b|c"), f"--out={tmp_path / 'out'}") == 0
    text = (tmp_path / "out/compare.md").read_text()
    table = [line for line in text.split("\n") if line.startswith("|")]
    bars = {len(re.findall(r"(?<!\\)\|", line)) for line in table}
    assert len(bars) == 1 and len(table) == 2 + 14, table[:5]
    assert not re.search(r"<[a-zA-Z]", text) and text.replace("\n", "").isprintable()
    assert (tmp_path / "out/compare.tex").read_text().replace("\n", "").isprintable()
    assert capsys.readouterr().out.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", all_names())
def test_a_refusal_is_one_line_whatever_the_name(name):
    text = os.fsdecode(name)
    said = str(UserError(f"{text}: no such file"))
    assert said.isprintable() and "\n" not in said and printable(said) == said
    assert said.isascii() or any(not c.isascii() and c.isprintable() for c in text)
