"""A report of a run that lacks files, figures or a class, or whose names are hostile: it shows the rest, and why."""

import json
import re

import numpy as np
import old_versions
import pytest
from tiny_page import LENGTH, WIDTH, Records, evaluation, figures, result, scores, table, write_run, written

from cpml_jax import report
from cpml_jax.errors import UserError
from cpml_jax.report import canvas, faces, figures_features, figures_pulse, run_files

HOSTILE = "<script>alert(1)</script>&\"'$x^2$</svg>\u202e\udcff"


@pytest.fixture
def no_png(monkeypatch):
    """Half of the time goes into PNG files, which test_page.py looks at."""
    monkeypatch.setattr(canvas, "png", lambda figure: b"")


@pytest.fixture
def no_drawing(no_png, monkeypatch):
    """Figures are made, but not drawn."""
    monkeypatch.setattr(canvas, "svg", lambda figure, name: "<svg></svg>")


@pytest.mark.usefixtures("no_drawing")
def test_a_report_of_an_older_evaluation_names_what_it_lacks(tmp_path):
    old = old_versions.evaluation_1_1(evaluation()) | {"schema": "cpml-evaluation/1.0.0"}
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
    write_run(tmp_path / "run", scores(methods=("Deepfakes",), compressions=("raw",)), arrays=False)
    (tmp_path / "run" / gone).unlink()
    _, parsed = written(tmp_path / "run", {})
    assert f"{gone} is not in this run's folder" in parsed.text


@pytest.mark.parametrize("arrays", [{"saliency": np.ones((2, 8, 8))}, {"clip_id": np.array(["a"])}])
@pytest.mark.usefixtures("no_drawing")
def test_saliency_without_clips_is_reported(tmp_path, arrays):
    write_run(tmp_path / "run", scores(methods=("Deepfakes",), compressions=("raw",)), arrays=False)
    np.savez(tmp_path / "run" / "saliency.npz", **arrays)
    assert "saliency.npz does not hold a map for each clip_id" in written(tmp_path / "run", {})[1].text


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


@pytest.mark.usefixtures("no_drawing")
def test_one_class_and_figures_that_are_none(tmp_path):
    lines = [line for line in scores(identities=2) if line["label"] == 0]
    lines += [lines[0] | {"clip_id": "x", "p_fake": None, "logit_margin": None}]
    none = dict(auc=None, auc_ci95=None, ap=None, eer=None, acc=None, tpr_at_fpr=None, ece=None, note="no fake clips")
    plain = result(0.5, clip=figures(0.5, **none), video=figures(0.5, **none))
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
    descriptions = " ".join(plate.alt for plate in figures_pulse.waves_and_spectra(run))
    assert "no peak" in descriptions and "unknown" in descriptions
    html, sheet, _ = faces.where_it_looks(run, faces.Frames({"faces": Records(lines)}))
    assert html.count("data:image/jpeg") == 4 and sheet.shape == (2 * faces.SIZE, 2 * faces.SIZE, 3)


@pytest.mark.usefixtures("no_png")
def test_hostile_names_stay_text(tmp_path):
    lines = [
        line | {key: HOSTILE for key in ("dataset", "method", "video")}
        if line["label"]
        else line | {"compression": HOSTILE}
        for line in scores(methods=("Deepfakes",), identities=2, windows=1)
    ]
    odd = evaluation()
    odd["config"]["name"] = HOSTILE
    odd["checkpoint"]["selection"] = f"oracle: {HOSTILE}"
    for entry in odd["results"]:
        entry["test"] = {"dataset": HOSTILE, "compression": HOSTILE, "methods": [HOSTILE]}
        entry["train"] = entry["train"] | {"dataset": HOSTILE, "compressions": [HOSTILE]}
        for key in ("codec", "corruption"):
            if entry["condition"] and key in entry["condition"]:
                entry["condition"][key] = HOSTILE
    write_run(tmp_path / "run", lines, odd)
    source, parsed = written(tmp_path / "run", {"faces": Records(lines)})
    assert "script" not in parsed.tags and "alert(1)" in parsed.text
    assert "<strong>selected by oracle" in source
