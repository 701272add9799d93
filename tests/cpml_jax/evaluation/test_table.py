import io

import pytest
from fake_evaluation import TWO, FakeRecords, evaluated

from cpml_jax.evaluation import table


def test_the_table_is_readable_at_100_columns(tmp_path):
    out = io.StringIO()
    evaluated(tmp_path, out=out)
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    assert "cross_compression  a c40" in text and "step 7" in text and "raw + c23" in text


def test_the_columns_are_clips_then_videos_and_a_dash_stands_for_no_figure(tmp_path):
    report, _ = evaluated(tmp_path, protocols=("in_dataset",), out=io.StringIO())
    result = report["results"][0]
    result["video"] |= {"auc": 0.98765, "auc_ci95": None, "eer": None}
    head, _, first, *_ = table.table(report).splitlines()
    assert head.split()[-8:] == ["clip", "video", "95", "%", "CI", "mean", "EER", "acc"]
    assert first.split()[-5] == "0.988" and first.split()[-4] == "-" and first.split()[-2] == "-"
    assert "2 together" in first and f"{result['video']['n_real']}+{result['video']['n_fake']}" in first


def test_what_was_seen_and_what_is_missing_is_said(tmp_path):
    about = {
        "dataset": "a",
        "method": "real",
        "compression": "c23",
        "split": "test",
        "video": "100",
        "reason": "no face",
    }
    records = FakeRecords("a")
    records.excluded = [about]
    out = io.StringIO()
    evaluated(
        tmp_path, {"a": records}, protocols=("in_dataset",), out=out, official={"a": dict.fromkeys(("real", *TWO), 7)}
    )
    text = out.getvalue()
    assert "A video is seen through 2 windows, 32 frames." in text
    assert "a c23: 18 of 19 listed videos tested (published: 21); excluded as chance: AUC 0." in text
    assert "a raw: 18 of 18 listed videos tested (published: 21)" in text and max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(("low", "high", "said"), [(1, 1, "1 window,"), (1, 3, "1 to 3 windows,")])
def test_one_window_is_no_plural(low, high, said):
    seen = {"windows_per_video": {"min": low, "max": high}, "frames_per_video": {"min": 16, "max": 16}}
    (line,) = table._seen({"results": [{"seen": seen}]})
    assert line == f"A video is seen through {said} 16 frames."


def test_no_results_are_a_head_alone():
    text = table.table({"results": [], "checkpoint": {"step": 1}, "excluded": []})
    assert len(text.splitlines()) == 2 and text.startswith("protocol")


def test_markdown_is_aligned_and_a_bar_in_a_name_is_no_column():
    text = table.markdown(["", "raw"], [["a|b", "0.5"], ["c", "1"]])
    lines = text.splitlines()
    assert len({len(line) for line in lines}) == 1 and r"a\|b" in lines[2] and lines[1].startswith("| --")
