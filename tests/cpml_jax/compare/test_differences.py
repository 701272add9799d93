"""Differences between columns: the same videos in the same order, pairs of seeds, and their tests."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tiny_compare import Paired, lines, made, result, write

from cpml_jax.compare import command, runs
from cpml_jax.errors import UserError
from cpml_jax.metrics import significance


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
    more += [row | {"method": "Face2Face", "video_key": "f", "label": 1} for row in lines(8)[:2]]
    a, b = write(tmp_path / "a", lines(1)), write(tmp_path / "b", lines(2) + more, [result(lines(2))])
    paired = Paired()
    made(a, b, paired=paired)
    assert len(paired.calls[0][0]) == 18


def test_runs_of_different_videos_are_compared_on_the_common_ones_with_a_note(tmp_path):
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


def test_without_scores_the_figures_stay_and_a_note_has_the_reason(tmp_path):
    a, b = write(tmp_path / "a", lines(1)), write(tmp_path / "b", lines(2), changes={"loss.ce": 2.0})
    (tmp_path / "b/scores.jsonl").unlink()
    table = made(a, b)
    assert table["rows"][0]["cells"][1]["auc"] is not None and table["rows"][0]["cells"][1]["difference"] is None
    assert "scores.jsonl lacks" in " ".join(table["notes"])


def test_the_interval_of_a_difference_is_that_of_the_difference_shown(tmp_path):
    """With the real tests: of one pair and of several, whose mean has a narrower one than its pairs."""
    for seed in range(3):
        better = [
            row | {"p_fake": min(row["p_fake"] + 0.3 * row["label"], 0.999)}
            for row in lines(seed + 10, people=range(20))
        ]
        write(tmp_path / f"a{seed}", lines(seed, people=range(20)), changes={"seed": seed})
        write(tmp_path / f"b{seed}", better, changes={"seed": seed, "loss.cmcl": 0.0})
    for seeds in ([0], range(3)):
        folders = [str(tmp_path / f"{n}{s}") for n in "ab" for s in seeds]
        columns = runs.columns([one for folder in folders for one in runs.load(Path(folder))])
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


def test_conditions_are_matched_whatever_their_measured_rate(tmp_path):
    def curve(seed, rate):
        rows = [row | {"dataset": "faces.compression_curve"} for row in lines(seed, "h264-crf28")]
        condition = {"kind": "codec", "codec": "h264", "crf": 28, "bitrate_bps": rate}
        return rows, [result(rows, "h264-crf28", "compression_curve", condition=condition)]

    a, b = curve(1, 1000.0), curve(2, 1001.0)
    table = made(write(tmp_path / "a", *a), write(tmp_path / "b", *b, changes={"loss.ce": 2.0}))
    assert len(table["rows"]) == 1 and table["rows"][0]["cells"][1]["difference"] is not None
