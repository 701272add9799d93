"""Comparisons of evaluations written by hand, with a stand-in for the paired tests that notes what it was given."""

import copy
import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cpml_jax import compare
from cpml_jax.compare import command, formats
from cpml_jax.compare import runs as compare_runs
from cpml_jax.configs import base
from cpml_jax.errors import UserError
from cpml_jax.metrics import significance

METHODS = ("Deepfakes", "FaceSwap")


class Paired:
    def __init__(self):
        self.calls = []

    def __call__(self, labels, a, b, groups, *, resamples, seed):
        assert len(labels) == len(a) == len(b) == len(groups)
        self.calls.append((list(labels), list(a), list(b), list(groups)))
        return {"delong": {"p": 0.25}, "bootstrap": {"difference": 0.0, "ci95": [-0.1, 0.2], "p": 0.0001}}


def lines(seed=0, compression="c23", people=range(6), clips=2, dataset="faces"):
    rng = np.random.default_rng(seed)
    return [
        {
            "clip_id": f"{dataset}/{method}/{compression}/{i}/{clip}",
            "video_key": f"{dataset}/{method}/{compression}/{i}",
            "dataset": dataset, "method": method, "compression": compression, "split": split, "identity": f"{i}",
            "label": int(method != "real"), "p_fake": float(rng.uniform() * 0.7 + 0.3 * (method != "real")),
        }
        for i in people for method in ("real", *METHODS) for clip in range(clips) for split in ("test",)
    ]  # fmt: skip


def videos(rows):
    keys = dict.fromkeys(row["video_key"] for row in rows)
    scores = {key: np.mean([row["p_fake"] for row in rows if row["video_key"] == key]) for key in keys}
    labels = {row["video_key"]: row["label"] for row in rows}
    return [labels[key] for key in keys], [scores[key] for key in keys]


def result(rows, compression="c23", protocol="cross_compression", dataset="faces", condition=None):
    labels, scores = videos(rows)
    known = len(set(labels)) == 2
    level = {
        "n_real": labels.count(0), "n_fake": labels.count(1),
        "auc": float(roc_auc_score(labels, scores)) if known else None, "auc_ci95": [0.4, 0.9] if known else None,
    } | ({} if known else {"note": "no fake clips"})  # fmt: skip
    test = {"dataset": dataset, "compression": compression, "methods": list(METHODS)}
    return {"protocol": protocol, "test": test, "condition": condition, "clip": level, "video": level}


def write(folder, rows, results=None, changes=(), sha="1", **more):
    config = base.get_config()
    config.update_from_flattened_dict(dict(changes))
    report = {
        "schema": "cpml-evaluation/1.1.0", "config": config.to_dict(), "results": results or [result(rows)],
        "checkpoint": {"step": 1, "selection": "validation"}, "provenance": {"records": {"faces": {"sha256": sha}}},
    } | more  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "evaluation.json").write_text(json.dumps(report))
    (folder / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


def made(*folders, paired=None):
    found = [one for folder in folders for one in compare_runs.load(Path(folder))]
    return command.compare(compare_runs.columns(found), paired or Paired(), 10)


def test_the_paired_tests_see_the_same_videos_in_the_same_order(tmp_path):
    ours, theirs = lines(1), lines(2)
    rng = np.random.default_rng(0)
    a = write(tmp_path / "a", ours)
    b = write(tmp_path / "b", [theirs[i] for i in rng.permutation(len(theirs))], changes={"loss.cqsl": 0.0})
    paired = Paired()
    table = made(a, b, paired=paired)
    ((labels, first, second, groups),) = paired.calls
    assert sorted(groups) == sorted(str(i) for i in range(6) for _ in range(3))
    (row,) = table["rows"]
    assert row["cells"][0]["difference"] is None
    expected = roc_auc_score(labels, second) - roc_auc_score(labels, first)
    assert row["cells"][1]["difference"] == pytest.approx(expected, abs=1e-12) != 0
    assert row["cells"][1]["difference"] == pytest.approx(row["cells"][1]["auc"] - row["cells"][0]["auc"])
    assert row["cells"][1]["p_delong"] == 0.25 and row["cells"][1]["p_seeds"] is None
    assert table["notes"] == ["loss.cqsl: 0.2 | 0.0"]


def test_other_clips_of_the_run_do_not_count(tmp_path):
    more = [row | {"split": "val"} for row in lines(5)] + lines(6, "raw") + lines(7, dataset="others")
    own = [row | {"method": "Face2Face", "video_key": "f", "label": 1} for row in lines(8)[:2]]
    a, b = write(tmp_path / "a", lines(1)), write(tmp_path / "b", lines(2) + more + own, [result(lines(2))])
    paired = Paired()
    made(a, b, paired=paired)
    assert len(paired.calls[0][0]) == 18


def test_different_videos_are_compared_on_the_common_ones_and_said(tmp_path):
    a, b = (
        write(tmp_path / "a", lines(1)),
        write(tmp_path / "b", lines(2, people=range(2, 8)), changes={"loss.ce": 2.0}),
    )
    table = made(a, b)
    assert table["rows"][0]["cells"][1]["pairs"][0]["videos"] == 12
    assert any("on the 12 common videos of 18 here and 18 in the first" in note for note in table["notes"])
    c = write(tmp_path / "c", lines(2, people=range(10, 12)), changes={"loss.ce": 2.0})
    table = made(a, c)
    assert table["rows"][0]["cells"][1]["difference"] is None and "share no video" in " ".join(table["notes"])


def test_different_labels_are_refused(tmp_path):
    flipped = [row | {"label": 1 - row["label"], "method": "FaceSwap"} for row in lines(2)]
    a, b = write(tmp_path / "a", lines(1)), write(tmp_path / "b", flipped, changes={"loss.ce": 2.0})
    with pytest.raises(UserError, match="different labels"):
        made(a, b)


def test_a_test_that_one_run_lacks_is_a_dash(tmp_path):
    raw = result(lines(3, "raw"), "raw")
    a = write(tmp_path / "a", lines(1))
    b = write(tmp_path / "b", lines(2) + lines(3, "raw"), [result(lines(2)), raw], changes={"loss.ce": 2.0})
    table = made(a, b)
    first, second = table["rows"][1]["cells"]
    assert first["auc"] is None and first["note"] == "not tested"
    assert second["auc"] is not None and second["difference"] is None
    assert "| cross_compression: faces raw, 2 methods |" in formats.markdown(table)


def test_one_class_only_has_no_figures_and_a_reason(tmp_path):
    real = [row for row in lines(1) if row["label"] == 0]
    a, b = write(tmp_path / "a", real), write(tmp_path / "b", real, changes={"loss.ce": 2.0})
    paired = Paired()
    table = made(a, b, paired=paired)
    assert not paired.calls and all(c["auc"] is None for c in table["rows"][0]["cells"])
    assert any("no fake clips" in note for note in table["notes"])


def test_scores_that_are_missing_leave_the_figures_and_say_so(tmp_path):
    a, b = write(tmp_path / "a", lines(1)), write(tmp_path / "b", lines(2), changes={"loss.ce": 2.0})
    (tmp_path / "b/scores.jsonl").unlink()
    table = made(a, b)
    assert table["rows"][0]["cells"][1]["auc"] is not None and table["rows"][0]["cells"][1]["difference"] is None
    assert "scores.jsonl lacks" in " ".join(table["notes"])


def test_seeds_are_pooled_and_differences_paired_by_seed(tmp_path):
    for seed in range(3):
        where = {"seed": seed, "data.records": f"elsewhere/{seed}", "name": str(seed)}
        write(tmp_path / f"a{seed}", lines(seed), changes=where)
        write(tmp_path / f"b{seed}", lines(seed + 10), changes=where | {"loss.cmcl": 0.0})
    folders = [str(tmp_path / f"{n}{s}") for n in "ab" for s in range(3)]
    table = made(*folders)
    assert table["columns"] == ["a0 (3 seeds)", "b0 (3 seeds)"]
    first, second = table["rows"][0]["cells"]
    aucs = [[roc_auc_score(*videos(lines(s + plus))) for s in range(3)] for plus in (0, 10)]
    assert first["auc"] == pytest.approx(np.mean(aucs[0])) and first["std"] == pytest.approx(np.std(aucs[0], ddof=1))
    assert second["difference"] == pytest.approx(np.mean(aucs[1]) - np.mean(aucs[0]))
    deltas = np.subtract(aucs[1], aucs[0])
    t = deltas.mean() / (deltas.std(ddof=1) / np.sqrt(3))
    assert second["p_seeds"] == pytest.approx(
        1 - abs(t) / np.sqrt(2 + t * t)
    )  # Student's law of 2 degrees, in closed form
    assert [pair["seeds"] for pair in second["pairs"]] == [[0, 0], [1, 1], [2, 2]]
    assert second["p_delong"] is None and second["difference_seeds"] is None
    assert first["ci95"][0] < first["auc"] < first["ci95"][1]
    assert "loss.cmcl: 0.25 | 0.0" in table["notes"] and not any("data.records" in note for note in table["notes"])

    part = made(*folders[:3], folders[4])  # one seed of the other: the difference is that seed's, and says so
    assert part["rows"][0]["cells"][1]["difference_seeds"] == [1]
    assert "(seed 1 alone)" in formats.markdown(part)


def test_the_interval_of_a_difference_is_that_of_the_difference_shown(tmp_path):
    """With the real tests: of one pair and of several, whose mean has a narrower one than its pairs."""
    for seed in range(3):
        better = [row | {"p_fake": row["p_fake"] + 0.3 * row["label"]} for row in lines(seed + 10, people=range(20))]
        write(tmp_path / f"a{seed}", lines(seed, people=range(20)), changes={"seed": seed})
        write(tmp_path / f"b{seed}", better, changes={"seed": seed, "loss.cmcl": 0.0})
    for seeds in ([0], range(3)):
        folders = [str(tmp_path / f"{n}{s}") for n in "ab" for s in seeds]
        columns = compare_runs.columns([one for folder in folders for one in compare_runs.load(Path(folder))])
        cell = command.compare(columns, significance.paired, 500)["rows"][0]["cells"][1]
        low, high = cell["difference_ci95"]
        assert 0 < low < cell["difference"] < high and cell["p_bootstrap"] < 0.05
    widths = [np.ptp(pair["ci95"]) for pair in cell["pairs"]]
    assert high - low < max(widths)


def test_without_a_common_seed_welch_and_a_constant_has_no_p(tmp_path):
    for seed in range(4):
        write(tmp_path / str(seed), lines(seed), changes={"seed": seed, "loss.ce": 1.0 if seed < 2 else 2.0})
    cell = made(*[str(tmp_path / str(s)) for s in range(4)])["rows"][0]["cells"][1]
    assert 0 < cell["p_seeds"] < 1 and len(cell["pairs"]) == 4
    same = lines(1)
    for name, change in (("x", {}), ("y", {"loss.ce": 2.0})):
        for seed in (0, 1):
            write(tmp_path / f"{name}{seed}", same, changes={"seed": seed} | change)
    cell = made(*[str(tmp_path / f"{n}{s}") for n in "xy" for s in (0, 1)])["rows"][0]["cells"][1]
    assert cell["difference"] == 0 and cell["p_seeds"] is None


def test_a_seed_that_is_there_already_is_a_column_of_its_own(tmp_path):
    table = made(write(tmp_path / "a", lines(1)), write(tmp_path / "b", lines(2)))
    assert table["columns"] == ["a", "b"] and table["rows"][0]["cells"][1]["difference"] is not None


def test_conditions_are_matched_whatever_their_measured_rate(tmp_path):
    def curve(seed, rate):
        rows = [row | {"dataset": "faces.compression_curve"} for row in lines(seed, "h264-crf28")]
        condition = {"kind": "codec", "codec": "h264", "crf": 28, "bitrate_bps": rate}
        return rows, [result(rows, "h264-crf28", "compression_curve", condition=condition)]

    a, b = curve(1, 1000.0), curve(2, 1001.0)
    table = made(write(tmp_path / "a", *a), write(tmp_path / "b", *b, changes={"loss.ce": 2.0}))
    assert len(table["rows"]) == 1 and table["rows"][0]["cells"][1]["difference"] is not None


def test_other_data_and_oracles_are_said(tmp_path):
    a = write(tmp_path / "a", lines(1))
    oracle = {"checkpoint": {"step": 2, "selection": "oracle: step 2 was named by hand"}}
    b = write(tmp_path / "b", lines(2), sha="2", **oracle)
    said = " ".join(made(a, b)["notes"])
    assert "NOT THE SAME DATA: the records 'faces' of a and of b differ" in said and "chosen by oracle" in said


def test_a_sweep_stands_for_its_runs(tmp_path):
    write(tmp_path / "w/sweep/train_raw", lines(1), changes={"train.compressions": ("raw",)})
    write(tmp_path / "w/sweep/train_c23", lines(2), changes={"train.compressions": ("c23",)})
    (tmp_path / "w/sweep/train_c40").mkdir()
    (tmp_path / "w/sweep.json").write_text("{}")
    assert made(tmp_path / "w")["columns"] == ["train_c23", "train_raw"]


def test_the_three_formats(tmp_path, capsys):
    a, b = (
        write(tmp_path / "x/run_1", lines(1)),
        write(tmp_path / "y/run_1", lines(2), changes={"train.methods": ("a%&",)}),
    )
    assert compare.run([a, b], str(tmp_path / "out/here"), paired=Paired()) == 0
    text = (tmp_path / "out/here/compare.md").read_text()
    assert capsys.readouterr().out.strip() == text.strip()
    assert "x/run_1 |" in text and "bootstrap p<0.001, DeLong p=0.250" in text
    latex = (tmp_path / "out/here/compare.tex").read_text()
    assert r"cross\_compression" in latex and r"a\%\&" in latex and r"\begin{tabular}{lrrr}" in latex
    assert all(line.count(" & ") == 3 for line in latex.splitlines() if "[0.40" in line)
    with open(tmp_path / "out/here/compare.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["column"] for row in rows] == ["x/run_1", "y/run_1"]
    assert rows[0]["difference"] == "" and float(rows[1]["difference_ci95_high"]) == 0.2
    assert rows[1]["pairs"].startswith("0/0: ")


def test_minus_zero_is_no_sign():
    cell = dict.fromkeys(("difference_std", "difference_seeds", "p_bootstrap", "p_delong", "p_seeds"))
    cell |= {"difference": -1e-17, "difference_ci95": [-0.001, 0.001]}
    assert formats._difference(cell) == "+0.000 [+0.00, +0.00]"


@pytest.mark.parametrize(
    "broken", ["{", "[]", '{"schema": "other/1"}', '{"schema": "cpml-evaluation/2.0.0", "results": []}']
)
def test_what_is_no_evaluation_is_refused(tmp_path, broken):
    (tmp_path / "evaluation.json").write_text(broken)
    with pytest.raises(UserError, match="not an evaluation"):
        compare_runs.load(tmp_path)


def test_mistakes_are_one_clear_line(tmp_path):
    good = write(tmp_path / "a", lines(1))
    (tmp_path / "empty").mkdir()
    for arguments, said in (
        ([good], "two runs or more"),
        ([], "two runs or more"),
        ([good, str(tmp_path / "nothing")], "no such folder"),
        ([good, str(tmp_path / "empty")], "main.py evaluate"),
    ):
        with pytest.raises(UserError, match=said):
            compare.run(arguments, paired=Paired())
    b = write(tmp_path / "b", lines(1))
    (tmp_path / "b/scores.jsonl").write_text("{")
    with pytest.raises(UserError, match="not readable as JSON lines"):
        compare.run([good, b], paired=Paired())


def test_files_of_the_first_version_are_read(tmp_path):
    a, b = (write(tmp_path / n, lines(i), changes={"loss.ce": 1.0 + i}) for i, n in enumerate("ab"))
    for folder in (a, b):
        path = Path(folder) / "evaluation.json"
        report = json.loads(path.read_text())
        report = {k: v for k, v in copy.deepcopy(report).items() if k != "provenance"}
        report |= {"schema": "cpml-evaluation/1.0.0", "checkpoint": {"step": 1}}
        for one in report["results"]:
            del one["condition"]
        path.write_text(json.dumps(report))
    assert made(a, b)["rows"][0]["cells"][1]["difference"] is not None
