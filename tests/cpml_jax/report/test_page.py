"""The report: one file that fetches nothing, every section in it, right numbers beside it, whatever is missing."""

import csv
import json
import math
import re
import shutil
import subprocess

import numpy as np
import pytest
import tiny_page
from sklearn import metrics as sk

from cpml_jax import report
from cpml_jax.errors import UserError
from cpml_jax.records import CorruptRecord
from cpml_jax.report import canvas, faces, figures_features, figures_pulse, page, run_files

HOSTILE = "<script>alert(1)</script>&\"'$x^2$</svg>\u202e\udcff"
LENGTH, WIDTH = 32, 6
SECTIONS = (
    "results", "curves", "compression", "rates", "corruptions", "scores", "calibration", "prompts", "features",
    "pulse", "saliency", "wrong", "training",
)  # fmt: skip


class Records:
    """Record sets' part that the report uses."""

    def __init__(self, lines, broken=()):
        self.rows, self.broken = [{"clip_id": line["clip_id"]} for line in lines], set(broken)

    def read(self, row, frame_size):
        if row["clip_id"] in self.broken:
            raise CorruptRecord(row["clip_id"], "frame 3 is not an image")
        frames = np.random.default_rng(0).integers(0, 255, (9, 8, 8, 3), dtype=np.uint8)
        return {"frames": frames.repeat(frame_size // 8, 1).repeat(frame_size // 8, 2)}


def scores(methods=("Deepfakes", "FaceSwap"), qualities=("raw", "c23"), identities=4, windows=2, real="real"):
    rng, lines = np.random.default_rng(1), []
    for method in (real, *methods):
        for quality in qualities:
            for identity in range(identities):
                for window in range(windows):
                    label = int(method != real)
                    margin = float(rng.normal(3 * label - 1.5, 2))
                    video = f"{identity:03d}" + (f"_{method}" if label else "")
                    key = f"faces/{method}/{quality}/{video}"
                    lines.append(
                        dict(clip_id=f"{key}/{window}", video_key=key, dataset="faces", method=method,
                             compression=quality, split="test", video=video, window=window, identity=str(identity),
                             source_identity="", label=label, p_fake=1 / (1 + math.exp(-margin)), logit_margin=margin,
                             heart_rate_bpm=70.0, pulse_correlation_pos=float(rng.uniform()),
                             heart_rate_truth_bpm=None if label else 72.0)
                    )  # fmt: skip
    return lines


def level(auc, /, **changes):
    known = dict(n_real=8, n_fake=16, auc=auc, auc_ci95=[auc - 0.1, min(auc + 0.05, 1.0)], ap=0.9, eer=0.2, acc=0.8)
    return known | dict(tpr_at_fpr={"0.01": 0.5, "0.001": None}, ece=0.03, brier=0.1) | changes


def result(auc, protocol="in_dataset", quality="raw", methods=("Deepfakes", "FaceSwap"), **changes):
    train = {"dataset": "faces", "qualities": ["raw", "c23"], "methods": ["Deepfakes", "FaceSwap"]}
    return {
        "protocol": protocol, "train": train, "condition": None,
        "test": {"dataset": "faces", "quality": quality, "methods": list(methods)},
        "sampler": {}, "aggregation": "video: mean of the video's clip scores",
        "threshold": {"clip": 0.5, "video": 0.5, "rule": "maximises balanced accuracy"},
        "clip": level(auc), "video": level(auc),
    } | changes  # fmt: skip


def evaluation():
    codecs = [
        result(0.6 + 0.05 * i, "compression_curve",
               condition={"kind": "codec", "codec": codec, "crf": 40 - 6 * i, "bitrate_bps": 3e4 * 2**i})
        for codec in ("h264", "av1") for i in range(3)
    ]  # fmt: skip
    spoiled = [
        result(0.9 - 0.1 * s, "corruption", condition={"kind": "corruption", "corruption": name, "strength": s})
        for name in ("blur", "noise") for s in (1, 2)
    ]  # fmt: skip
    plain = [result(0.95), result(0.85, quality="c23"), result(0.9, methods=["FaceSwap"])]
    return {
        "schema": "cpml-evaluation/1.1.0", "config": {"name": "tiny", "seed": 3},
        "checkpoint": {"step": 1234, "selection": "validation"}, "calibration": {"temperature": 2.0},
        "provenance": {"records": {"faces": {"sha256": "ab12", "clips": 24}}, "commit": "c0ffee", "versions": {}},
        "results": [*plain, *codecs, *spoiled], "excluded": [],
    }  # fmt: skip


def write_run(folder, lines=None, report_json=None, arrays=True):
    folder.mkdir(exist_ok=True)
    lines = scores() if lines is None else lines
    rng = np.random.default_rng(2)
    (folder / "evaluation.json").write_text(json.dumps(evaluation() if report_json is None else report_json))
    (folder / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    curves = [{"kind": "train", "step": s, "loss": 3.0 / s, "ce": 1.0 / s} for s in range(1, 400)]
    curves += [{"kind": "val", "step": s, "auc": 0.9, "cross_entropy": 0.3} for s in (100, 200)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curves) + '{"kind": "tra')
    if arrays:
        ids = np.array([line["clip_id"].encode("utf-8", "replace").decode() for line in lines])
        waves = np.sin(np.arange(LENGTH) / 4) + rng.normal(size=(len(lines), LENGTH))
        np.savez(
            folder / "features.npz", clip_id=ids, unified=rng.normal(size=(len(lines), WIDTH)).astype("f4"),
            logits=rng.normal(size=(len(lines), 2)).astype("f4"), wave=waves.astype("f4"),
            trace=np.where(np.arange(len(lines))[:, None] % 3, waves, np.nan).astype("f4"),
            class_embeddings=np.eye(2, WIDTH, dtype="f4"),
        )  # fmt: skip
        np.savez(folder / "saliency.npz", clip_id=ids[:3], saliency=rng.uniform(size=(3, 8, 8)).astype("f4"))
    return lines


def written(folder, record_sets) -> tuple[str, tiny_page.Parsed]:
    path = report.write(folder, record_sets)
    assert path == folder / "report.html"
    source = path.read_text(encoding="utf-8")
    parsed = tiny_page.Parsed(source)
    assert set(SECTIONS) <= parsed.ids
    return source, parsed


def table(folder, name) -> list[dict]:
    with open(folder / "figures" / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def no_png(monkeypatch):
    """Half of the time goes into PNG files, which one test looks at."""
    monkeypatch.setattr(canvas, "png", lambda figure: b"")


@pytest.fixture
def no_drawing(no_png, monkeypatch):
    """Figures are made, and not drawn."""
    monkeypatch.setattr(canvas, "svg", lambda figure, name: "<svg></svg>")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with everything in it, reported once: (folder, lines, source, parsed)."""
    folder = tmp_path_factory.mktemp("run")
    lines = write_run(folder)
    broken = faces.most_wrong(lines)[0]["clip_id"]
    return folder, lines, *written(folder, {"faces": Records(lines, [broken])})


def test_every_section_is_drawn(whole):
    folder, _, source, parsed = whole
    reasons = re.findall(r'class="missing">([^<]*)', source)
    assert reasons == ["No frames: the records of this clip are not at hand."]  # of the broken record, and no other
    assert "1,234" in parsed.text and "selected by validation" in parsed.text and "ab12" in parsed.text
    drawn = {value for _, key, value in parsed.attributes if key == "id" and value.startswith("figure-")}
    pictures = {path.stem for path in (folder / "figures").glob("*.png")}
    assert {name.removeprefix("figure-") for name in drawn} | {"saliency", "wrong"} == pictures
    assert pictures == {path.stem for path in (folder / "figures").glob("*.csv")}
    assert {"tsne_class", "tsne_method", "tsne_compression", "roc", "roc_video", "det", "reliability"} <= pictures
    assert parsed.tags.count("section") == len(SECTIONS)
    assert len(source) < 2_000_000


def test_nothing_is_fetched_and_no_script_is_there(whole):
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
    said = [value for _, key, value in parsed.attributes if key == "aria-label" and len(value) > 30]
    assert figures > 12 and len(said) >= figures
    assert "<text" in source  # letters stay letters


def test_roc_and_det_are_scikit_learns(whole):
    folder, lines, _, _ = whole
    own = [line for line in lines if line["compression"] == "c23"]
    y, s = [line["label"] for line in own], [line["p_fake"] for line in own]
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


def test_video_curves_are_of_mean_scores(whole):
    folder, lines, _, _ = whole
    videos: dict[str, list] = {}
    for line in lines:
        if line["compression"] == "raw":
            videos.setdefault(line["video_key"], []).append(line)
    y, s = zip(*((v[0]["label"], np.mean([c["p_fake"] for c in v])) for v in videos.values()), strict=True)
    rows = [row for row in table(folder, "roc_video") if row["test"] == "faces raw"]
    area = np.trapezoid(*([float(r[k]) for r in rows] for k in ("true_positive_rate", "false_positive_rate")))
    assert area == pytest.approx(sk.roc_auc_score(y, s), abs=1e-12)


def test_matrices_and_curves_hold_the_evaluations_numbers(whole):
    folder = whole[0]
    cells = {(row["trained_on"], row["test_quality"]): float(row["auc"]) for row in table(folder, "compression_matrix")}
    assert cells == {("raw + c23", "raw"): 0.95, ("raw + c23", "c23"): 0.85}
    assert [(r["method"], float(r["auc"])) for r in table(folder, "method_matrix")] == [("FaceSwap", 0.9)]
    rates = table(folder, "rate_curves")
    assert [(r["codec"], float(r["bitrate_bps"]), float(r["auc"])) for r in rates] == [
        (codec, 3e4 * 2**i, pytest.approx(0.6 + 0.05 * i)) for codec in ("h264", "av1") for i in range(3)
    ]
    blur = [(float(r["strength"]), float(r["auc"])) for r in table(folder, "corruption_curves")][:3]
    assert blur == [(0, 0.95), (1, pytest.approx(0.8)), (2, pytest.approx(0.7))]


def test_reliability_counts_every_clip_once_a_stage(whole):
    folder, lines, _, _ = whole
    rows = table(folder, "reliability")
    stages = {row["stage"] for row in rows}
    assert stages == {"as trained", "temperature 2.00"}
    for stage, divisor in (("as trained", 1.0), ("temperature 2.00", 2.0)):
        own = [row for row in rows if row["stage"] == stage]
        assert sum(int(row["clips"]) for row in own) == len(lines)
        for row in own:
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


@pytest.mark.usefixtures("no_drawing")
def test_an_older_evaluation_says_what_it_lacks(tmp_path):
    old = evaluation()
    for key in ("calibration", "provenance"):
        del old[key]
    del old["checkpoint"]["selection"]
    old["results"] = [r for r in old["results"] if not r["condition"]]
    for entry in old["results"]:
        del entry["condition"]
        for name in ("clip", "video"):
            entry[name] = {k: v for k, v in entry[name].items() if k not in ("tpr_at_fpr", "ece", "brier")}
    lines = [{k: v for k, v in line.items() if k != "logit_margin"} for line in scores()]
    write_run(tmp_path / "old", lines, old, arrays=False)
    source, parsed = written(tmp_path / "old", {})
    for name in ("features.npz", "saliency.npz"):
        assert f"{name} is not in this run's folder; main.py evaluate writes it." in parsed.text
    assert "--protocol=compression_curve" in source and "--protocol=corruption" in source
    assert {r["stage"] for r in table(tmp_path / "old", "reliability")} == {"as trained"}
    for new, line in zip(run_files.read(tmp_path / "old").scores, scores(), strict=True):
        assert new["logit_margin"] == pytest.approx(line["logit_margin"], abs=1e-6)


@pytest.mark.parametrize("gone", ["evaluation.json", "scores.jsonl", "metrics.jsonl"])
@pytest.mark.usefixtures("no_drawing")
def test_any_file_may_be_missing(tmp_path, gone):
    write_run(tmp_path / "run", scores(methods=("Deepfakes",), qualities=("raw",)), arrays=False)
    (tmp_path / "run" / gone).unlink()
    _, parsed = written(tmp_path / "run", {})
    assert f"{gone} is not in this run's folder" in parsed.text


def test_nothing_to_report_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="nothing to report; run `main.py train`"):
        report.write(tmp_path, {})


@pytest.mark.parametrize(
    ("name", "content"), [("evaluation.json", "{"), ("scores.jsonl", "{}\n{"), ("features.npz", "no zip")]
)
def test_a_broken_file_is_named(tmp_path, name, content):
    write_run(tmp_path / "run")
    (tmp_path / "run" / name).write_text(content)
    with pytest.raises(UserError, match=f"{name}: .*run `main.py evaluate` again"):
        report.write(tmp_path / "run", {})


@pytest.mark.usefixtures("no_png")
def test_one_class_and_figures_that_are_none(tmp_path):
    lines = [line for line in scores(identities=2) if line["label"] == 0]
    lines += [lines[0] | {"clip_id": "x", "p_fake": None, "logit_margin": None}]
    none = dict(auc=None, auc_ci95=None, ap=None, eer=None, acc=None, tpr_at_fpr=None, ece=None, note="no fake clips")
    plain = result(0.5, clip=level(0.5, **none), video=level(0.5, **none))
    plain["threshold"] = {"clip": None, "video": None, "rule": "x", "note": "validation split: no fake clips"}
    codec = plain | {"condition": {"kind": "codec", "codec": "h264", "crf": 28, "bitrate_bps": 1e4}}
    write_run(tmp_path / "run", lines, evaluation() | {"results": [plain, codec], "calibration": {"note": "one class"}})
    source, parsed = written(tmp_path / "run", {})
    assert "each test set holds clips of one class only" in parsed.text and "no fake clips" in parsed.text
    assert "1 lines of scores.jsonl have no finite score" in parsed.text
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", parsed.text)
    assert table(tmp_path / "run", "compression_matrix")[0]["auc"] == ""


def test_features_of_another_evaluation_are_not_drawn(tmp_path):
    lines = write_run(tmp_path / "run")
    (tmp_path / "run" / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[::-1]))
    with pytest.raises(canvas.Absent, match="features.npz is of another evaluation"):
        figures_features.embedding(run_files.read(tmp_path / "run"))


def test_equal_features_flat_waves_and_dark_saliency(tmp_path):
    lines = write_run(tmp_path / "run")
    ids = np.array([line["clip_id"] for line in lines])
    zeros = np.zeros((len(lines), LENGTH), "f4")
    np.savez(tmp_path / "run" / "features.npz", clip_id=ids, unified=np.ones((len(lines), WIDTH), "f4"), wave=zeros,
             trace=zeros, class_embeddings=np.zeros((2, WIDTH), "f4"))  # fmt: skip
    dark = np.stack([np.zeros((8, 8)), np.full((8, 8), np.nan)])
    np.savez(tmp_path / "run" / "saliency.npz", clip_id=ids[:2], saliency=dark)
    run = run_files.read(tmp_path / "run")
    for plate in (*figures_features.embedding(run), *figures_features.similarities(run)):
        for column in plate.columns.values():
            assert all(np.isfinite(value) for value in column if isinstance(value, float))
    said = " ".join(plate.alt for plate in figures_pulse.waves_and_spectra(run))
    assert "no peak" in said and "unknown" in said
    html, sheet, _ = faces.where_it_looks(run, faces.Frames({"faces": Records(lines)}))
    assert html.count("data:image/jpeg") == 4 and sheet.shape == (2 * faces.SIZE, 2 * faces.SIZE, 3)


@pytest.mark.usefixtures("no_png")
def test_hostile_names_stay_text(tmp_path):
    lines = [
        line | {key: HOSTILE for key in ("dataset", "method", "video")}
        if line["label"]
        else line | {"compression": HOSTILE}
        for line in scores(identities=2)
    ]
    odd = evaluation()
    odd["config"]["name"] = HOSTILE
    odd["checkpoint"]["selection"] = f"oracle: {HOSTILE}"
    for entry in odd["results"]:
        entry["test"] = {"dataset": HOSTILE, "quality": HOSTILE, "methods": [HOSTILE]}
        entry["train"] = entry["train"] | {"dataset": HOSTILE, "qualities": [HOSTILE]}
        for key in ("codec", "corruption"):
            if entry["condition"] and key in entry["condition"]:
                entry["condition"][key] = HOSTILE
    write_run(tmp_path / "run", lines, odd)
    source, parsed = written(tmp_path / "run", {"faces": Records(lines)})
    assert "script" not in parsed.tags and "alert(1)" in parsed.text
    assert "<strong>selected by oracle" in source


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


BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
# A frame as wide as a phone or a desktop; says how far the page reaches beyond it.
PROBE = """<!DOCTYPE html><meta charset="utf-8"><body><script>
for (const width of [390, 1280]) {
  const frame = document.createElement("iframe");
  frame.width = width; frame.height = 800; frame.srcdoc = PAGE;
  frame.onload = () => { document.body.append(` beyond-${width}=${frame.contentDocument.documentElement.scrollWidth -
    frame.contentDocument.documentElement.clientWidth}`); };
  document.body.append(frame);
}
</script>"""


def browse(path, folder) -> subprocess.CompletedProcess:
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=3000"]
    options += [f"--user-data-dir={folder / 'browser'}", f"--log-net-log={folder / 'net.json'}", "--dump-dom"]
    return subprocess.run([BROWSER, *options, path.as_uri()], capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_in_a_browser_it_fits_a_phone_and_nothing_is_reported(whole, tmp_path):
    folder, _, source, _ = whole
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE.replace("PAGE", json.dumps(source).replace("</", "<\\/")))
    for path in (folder / page.PAGE, probe):
        done = browse(path, tmp_path)
        assert done.returncode == 0 and "</html>" in done.stdout, done.stderr
        assert "CONSOLE" not in done.stderr, done.stderr
        assert not re.search(r'"url":"(https?|wss?)://', _page_requests(tmp_path / "net.json"))
    assert "beyond-390=0" in done.stdout and "beyond-1280=0" in done.stdout


def _page_requests(log) -> str:
    """The net log's lines of requests that a page makes; the browser's own (updates, accounts) name no initiator."""
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join(line for line in lines if re.search(r'"initiator":"(?!not an origin)', line))
