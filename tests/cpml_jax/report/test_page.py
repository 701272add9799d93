"""The report: one file that fetches nothing, every section in it, right numbers beside it, whatever is missing."""

import functools
import math
import os
import re
import shutil

import html_page
import numpy as np
import pytest
from sklearn import metrics as sk
from tiny_page import SECTIONS, Records, table, write_run, written

from cpml_jax.report import canvas, faces, figures_features, figures_pulse, page, run_files


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with everything in it, reported once: (folder, lines, source, parsed)."""
    folder = tmp_path_factory.mktemp("run")
    lines = write_run(folder)
    broken = faces.most_wrong(lines)[0]["clip_id"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canvas, "png", functools.partial(canvas.png, dpi=40))  # small ones are quicker
        return folder, lines, *written(folder, {"faces": Records(lines, [broken])})


def test_whether_the_page_is_of_this_evaluation_is_no_question_of_times(whole, tmp_path):
    """A clock that went back, or a copy, lets an old page look newer than the evaluation."""
    for name in ("report.html", "evaluation.json"):
        shutil.copy(whole[0] / name, tmp_path)
    os.utime(tmp_path / "report.html", (1.0, 1.0))
    assert page.is_current(tmp_path)
    (tmp_path / "evaluation.json").write_bytes((tmp_path / "evaluation.json").read_bytes() + b" ")
    os.utime(tmp_path / "report.html", (4e9, 4e9))
    assert not page.is_current(tmp_path)
    (tmp_path / "report.html").unlink()
    assert not page.is_current(tmp_path)


def test_every_section_is_drawn(whole):
    folder, _, source, parsed = whole
    reasons = re.findall(r'class="missing">([^<]*)', source)
    assert reasons == [
        "No frames: the records of this clip are missing or damaged."
    ]  # of the broken record, and no other
    assert "1,234" in parsed.text and "selected by validation" in parsed.text and "ab12" in parsed.text
    drawn = {value for _, key, value in parsed.attributes if key == "id" and value.startswith("figure-")}
    pictures = {path.stem for path in (folder / "figures").glob("*.png")}
    assert {name.removeprefix("figure-") for name in drawn} | {"saliency", "wrong"} == pictures
    assert pictures == {path.stem for path in (folder / "figures").glob("*.csv")}
    assert {"tsne_class", "tsne_method", "tsne_compression", "roc", "roc_video", "det", "reliability"} <= pictures
    assert parsed.tags.count("section") == len(SECTIONS)
    assert len(source) < 2_000_000


def test_nothing_is_fetched_and_there_is_no_script(whole):
    _, _, source, parsed = whole
    assert not re.search(r"https?:|@import|url\((?!#)", source)
    assert not {"script", "iframe", "object", "embed", "base", "form", "link"} & set(parsed.tags)
    for tag, key, value in parsed.attributes:
        assert not key.startswith("on") and key not in ("srcset", "xlink:href")
        if key == "src":
            assert value.startswith("data:image/")
        if key == "href":  # an anchor, or a picture inside
            assert value.startswith("data:image/png;base64,") or value[1:] in parsed.ids, (tag, value)


def test_figures_have_words_for_those_who_do_not_see_them(whole):
    _, _, source, parsed = whole
    figures = source.count('<figure id="figure-')
    descriptions = [value for _, key, value in parsed.attributes if key == "aria-label" and len(value) > 30]
    assert figures > 12 and len(descriptions) >= figures
    assert "<text" in source  # letters stay letters


def test_roc_and_det_are_scikit_learns(whole):
    folder, lines, _, _ = whole
    tested = [line for line in lines if line["compression"] == "c23"]
    y, s = [line["label"] for line in tested], [line["p_fake"] for line in tested]
    rows = [row for row in table(folder, "roc") if row["test"] == "faces c23"]
    false, true = ([float(row[key]) for row in rows] for key in ("false_positive_rate", "true_positive_rate"))
    assert np.trapezoid(true, false) == pytest.approx(sk.roc_auc_score(y, s), abs=1e-12)
    for row in rows[1:]:
        cut = float(row["threshold"])
        hits = np.mean([p >= cut for p, label in zip(s, y, strict=True) if label])
        assert float(row["true_positive_rate"]) == pytest.approx(hits)
    for row in (row for row in table(folder, "det") if row["test"] == "faces c23"):
        missed = np.mean([p < float(row["threshold"]) for p, label in zip(s, y, strict=True) if label])
        assert float(row["false_negative_rate"]) == pytest.approx(missed)


def test_video_curves_are_of_mean_margins(whole):
    folder, lines, _, _ = whole
    videos: dict[str, list] = {}
    for line in lines:
        if line["compression"] == "raw":
            videos.setdefault(line["video_key"], []).append(line)
    y, s = zip(*((v[0]["label"], np.mean([c["logit_margin"] for c in v])) for v in videos.values()), strict=True)
    rows = [row for row in table(folder, "roc_video") if row["test"] == "faces raw"]
    area = np.trapezoid(*([float(r[k]) for r in rows] for k in ("true_positive_rate", "false_positive_rate")))
    assert area == pytest.approx(sk.roc_auc_score(y, s), abs=1e-12)


def test_matrices_and_curves_hold_the_evaluations_numbers(whole):
    folder = whole[0]
    cells = {
        (row["trained_on"], row["test_compression"]): float(row["auc"]) for row in table(folder, "compression_matrix")
    }
    assert cells == {("raw + c23", "raw"): 0.95, ("raw + c23", "c23"): 0.85}
    assert [(r["method"], float(r["auc"])) for r in table(folder, "method_matrix")] == [("FaceSwap", 0.9)]
    rates = table(folder, "rate_curves")
    assert [(r["codec"], float(r["bitrate_bps"]), float(r["auc"])) for r in rates] == [
        (codec, 3e4 * 2**i, pytest.approx(0.6 + 0.05 * i)) for codec in ("h264", "av1") for i in range(3)
    ]
    blur = [(float(r["strength"]), float(r["auc"])) for r in table(folder, "corruption_curves")][:3]
    assert blur == [(0, 0.95), (1, pytest.approx(0.8)), (2, pytest.approx(0.7))]


def test_reliability_counts_every_clip_once_per_stage(whole):
    folder, lines, _, _ = whole
    rows = table(folder, "reliability")
    stages = {row["stage"] for row in rows}
    assert stages == {"as trained", "temperature 2.00"}
    for stage, divisor in (("as trained", 1.0), ("temperature 2.00", 2.0)):
        bins = [row for row in rows if row["stage"] == stage]
        assert sum(int(row["clips"]) for row in bins) == len(lines)
        for row in bins:
            p = [(1 / (1 + math.exp(-line["logit_margin"] / divisor)), line["label"]) for line in lines]
            inside = [(q, y) for q, y in p if float(row["from"]) < q <= float(row["to"])]
            assert float(row["mean_score"]) == pytest.approx(np.mean([q for q, _ in inside]))
            assert float(row["share_fake"]) == pytest.approx(np.mean([y for _, y in inside]))


def test_similarities_are_cosines(whole):
    folder, lines, _, _ = whole
    unified = np.load(folder / "features.npz")["unified"].astype(float)
    rows = table(folder, "similarities")
    assert [row["clip_id"] for row in rows] == [line["clip_id"] for line in lines]
    expected = unified[:, :2] / np.linalg.norm(unified, axis=1, keepdims=True)  # the prompts are two unit axes
    got = [[float(row["cosine_real"]), float(row["cosine_fake"])] for row in rows]
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_the_most_wrong_are_the_most_wrong(whole):
    folder, lines, _, parsed = whole
    rows = table(folder, "wrong")
    against = [float(r["logit_margin"]) * (1 if r["label"] == "0" else -1) for r in rows]
    assert against == sorted(against, reverse=True) and len(rows) == faces.WRONG
    assert against[0] == max(line["logit_margin"] * (1 - 2 * line["label"]) for line in lines)
    wrong = sum((line["p_fake"] >= 0.5) != (line["label"] == 1) for line in lines)
    assert f"{wrong} of {len(lines)} test clips are on the wrong side" in parsed.text


def test_the_same_run_gives_the_same_drawings(whole):
    folder, _, source, _ = whole
    with canvas.style():
        for plate in figures_features.embedding(run_files.read(folder))[:1]:
            assert canvas.svg(plate.figure, plate.name) in source


def test_a_spectrum_finds_the_rate():
    seconds = np.arange(160) / 30
    for rate in (48.0, 71.0, 120.0, 200.0):
        assert figures_pulse.peak(np.sin(2 * np.pi * rate / 60 * seconds)) == pytest.approx(rate, abs=1.5)
    assert figures_pulse.peak(np.zeros(160)) is None and figures_pulse.peak(np.full(160, np.nan)) is None


def test_an_overlay_is_brightest_where_saliency_is():
    frame, saliency = np.full((64, 64, 3), 90, np.uint8), np.zeros((8, 8))
    saliency[2, 5] = 1.0
    image = faces.overlaid(frame, saliency).astype(int).sum(-1)
    row, column = np.unravel_index(np.argmax(image), image.shape)
    assert 12 <= row <= 28 and 36 <= column <= 52
    assert (faces.overlaid(frame, np.zeros((8, 8))) == 72).all()


@html_page.needs_browser
def test_in_a_browser_it_fits_a_phone_and_nothing_is_reported(whole, tmp_path):
    html_page.check_in_browser(whole[0] / page.PAGE, tmp_path)
