"""The report's part on what the model reads."""

import re

import pytest
from html_page import Parsed
from tiny_page import diagnostics, evaluation, result, scores, table, write_run, written

from cpml_jax.report import canvas, headline, run_files, what_is_read


@pytest.fixture
def no_drawing(monkeypatch):
    monkeypatch.setattr(canvas, "png", lambda figure: b"")
    monkeypatch.setattr(canvas, "svg", lambda figure, name: "<svg></svg>")


def read(folder, report):
    write_run(folder, scores(methods=("Deepfakes",), compressions=("raw",)), report, arrays=False)
    return run_files.read(folder)


@pytest.mark.usefixtures("no_drawing")
def test_the_head_says_what_is_read_and_the_section_shows_it(tmp_path):
    write_run(tmp_path, scores(methods=("Deepfakes",), compressions=("raw",)), arrays=False)
    source, parsed = written(tmp_path, {})
    head = source[source.index("<header>") : source.index("</header>")]
    assert "This model reads landmarks alone. The untrained landmark energy has less." in head
    section = source[source.index('<section id="reads"') :]
    section = section[: section.index("</section>")]
    assert "Stream swap by method" in section and "Untrained statistics by method" in section
    assert "What each stream could see of" in section and "inner face against rim" in section
    assert not re.search(r"\bnan\b|\bNone\b", parsed.text)
    rows = table(tmp_path, "stream_swap")
    assert [(r["test"], r["series"]) for r in rows[:3]] == [
        ("faces raw", "all its own"), ("faces c23", "all its own"), ("faces raw", "its real's rppg"),
    ]  # fmt: skip
    assert [float(r["auc"]) for r in rows if r["series"] == "its real's landmarks"] == [0.5, 0.5]
    grid = [r for r in table(tmp_path, "baselines") if r["series"] == "sharpness grid"]
    assert len(grid) == 2 and grid[0]["auc"] == ""


@pytest.mark.parametrize("streams", [("landmarks",), ("rppg", "landmarks", "visual")])
def test_any_number_of_streams_is_shown(tmp_path, streams):
    run = read(tmp_path, evaluation() | {"diagnostics": diagnostics(streams)})
    drawn = what_is_read.plates(run)[1]
    alone = [name for name in dict.fromkeys(drawn.columns["series"]) if name.endswith("alone")]
    assert len(alone) == (3 if len(streams) == 3 else 0)
    head = Parsed(f"<main>{what_is_read.tables(run)}</main>").text
    assert all(f"{name} alone" in head for name in streams)


def test_without_counterparts_the_note_stands_in_the_swaps_place(tmp_path):
    block = diagnostics() | {"stream_swap": [], "note": "no stream swap: no <real> counterpart"}
    run = read(tmp_path, evaluation() | {"diagnostics": block})
    assert [plate.name for plate in what_is_read.plates(run)] == ["baselines"]
    assert "no stream swap: no &lt;real&gt; counterpart" in what_is_read.tables(run)


def test_without_diagnostics_the_section_names_what_makes_them(tmp_path):
    run = read(tmp_path, {k: v for k, v in evaluation().items() if k != "diagnostics"} | {"results": [result(0.9)]})
    with pytest.raises(canvas.Absent, match="eval.diagnostics=True"):
        what_is_read.plates(run)
    assert what_is_read.sentences(run) == "" and "reads" not in headline.header(run, "x")
