"""Differences between columns: the same videos in the same order, pairs of seeds, and their tests."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tiny_compare import ALIKE, Paired, better, lines, made, result, write

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
    assert sorted(groups) == sorted((str(i),) for i in range(6) for _ in range(3))
    (row,) = table["rows"]
    assert row["cells"][0]["difference"] is None
    expected = roc_auc_score(labels, second) - roc_auc_score(labels, first)
    assert row["cells"][1]["difference"] == pytest.approx(expected, abs=1e-12) != 0
    assert row["cells"][1]["difference"] == pytest.approx(row["cells"][1]["auc"] - row["cells"][0]["auc"])
    assert row["cells"][1]["p_delong"] == 0.25
    assert table["notes"] == [ALIKE, "loss.cqsl: 0.2 | 0.0"]


def test_a_fake_belongs_to_both_persons_whom_it_shows(tmp_path):
    swapped = [row | ({"source_identity": "0"} if row["label"] and row["identity"] == "1" else {}) for row in lines(1)]
    a, b = write(tmp_path / "a", swapped), write(tmp_path / "b", swapped, changes={"loss.ce": 2.0})
    paired = Paired()
    made(a, b, paired=paired)
    assert paired.calls[0][3].count(("1", "0")) == 2 and paired.calls[0][3].count(("1",)) == 1


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
    assert table["rows"][0]["cells"][1]["difference"] is not None
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


def seeds_of_two_methods(tmp_path, gain, seeds=3, people=20):
    for seed in range(seeds):
        write(tmp_path / f"a{seed}", lines(seed, people=range(people)), changes={"seed": seed})
        other = better(lines(seed + 10, people=range(people)), gain)
        write(tmp_path / f"b{seed}", other, changes={"seed": seed, "loss.cmcl": 0.0})


def compared(tmp_path, names):
    columns = runs.columns([one for name in names for one in runs.load(tmp_path / name)])
    return command.compare(columns, significance.paired)["rows"][0]["cells"]


def test_the_interval_of_a_difference_is_that_of_the_difference_shown(tmp_path):
    """With the real tests: of one pair and of several."""
    seeds_of_two_methods(tmp_path, 0.5)
    for seeds in ([0], range(3)):
        first, cell = compared(tmp_path, [f"{n}{s}" for n in "ab" for s in seeds])
        low, high = cell["difference_ci95"]
        assert 0 < low < cell["difference"] < high and cell["p"] < 0.05
        assert cell["difference"] == pytest.approx(cell["auc"] - first["auc"])
        assert first["ci95"][0] < first["auc"] < first["ci95"][1] and first["ci95"] != [0.4, 0.9]


def test_training_runs_vary_too(tmp_path):
    """One seed of three that is much better says little about the method; over people alone it would."""
    seeds_of_two_methods(tmp_path, 0.0)
    write(tmp_path / "lucky", better(lines(12, people=range(20)), 0.8), changes={"seed": 2, "loss.cmcl": 0.0})
    one = compared(tmp_path, ["a2", "lucky"])[1]
    three = compared(tmp_path, ["a0", "a1", "a2", "b0", "b1", "lucky"])[1]
    assert one["p"] < 0.05 < three["p"]
    assert len(three["pairs"]) == 3 and three["p_delong"] is None


def test_columns_of_different_numbers_of_seeds_are_compared_by_their_means(tmp_path):
    seeds_of_two_methods(tmp_path, 0.5)
    first, cell = compared(tmp_path, ["a0", "a1", "a2", "b1"])
    assert cell["difference"] == pytest.approx(cell["auc"] - first["auc"]) and len(cell["pairs"]) == 1
    assert 0 < cell["p"] < 1


def test_the_p_values_of_a_table_are_corrected_for_their_number(tmp_path):
    p_values = iter([0.01, 0.02, 0.5])

    def paired(labels, a, b, people):
        return {"delong": {}, "people": {"ci95": None, "p": next(p_values)}}

    folders = [write(tmp_path / str(i), lines(i), changes={"loss.ce": 1.0 + i}) for i in range(4)]
    _, *cells = made(*folders, paired=paired)["rows"][0]["cells"]
    assert [cell["p_holm"] for cell in cells] == [pytest.approx(0.03), pytest.approx(0.04), 0.5]


def test_conditions_are_matched_whatever_their_measured_rate(tmp_path):
    def curve(seed, rate):
        rows = [row | {"dataset": "faces.compression_curve"} for row in lines(seed, "h264-crf28")]
        condition = {"kind": "codec", "codec": "h264", "crf": 28, "bitrate_bps": rate}
        return rows, [result(rows, "h264-crf28", "compression_curve", condition=condition)]

    a, b = curve(1, 1000.0), curve(2, 1001.0)
    table = made(write(tmp_path / "a", *a), write(tmp_path / "b", *b, changes={"loss.ce": 2.0}))
    assert len(table["rows"]) == 1 and table["rows"][0]["cells"][1]["difference"] is not None
