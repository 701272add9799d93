import io

from fake_evaluation import evaluated

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
    assert head.split()[-9:] == ["clip", "video", "95", "%", "CI", "mean", "AP", "EER", "acc"]
    assert first.split()[-6] == "0.988" and first.split()[-5] == "-" and first.split()[-2] == "-"
    assert "2 together" in first and f"{result['video']['n_real']}+{result['video']['n_fake']}" in first


def test_no_results_are_a_head_alone():
    text = table.table({"results": [], "checkpoint": {"step": 1}, "excluded": []})
    assert len(text.splitlines()) == 2 and text.startswith("protocol")


def test_markdown_is_aligned_and_a_bar_in_a_name_is_no_column():
    text = table.markdown(["", "raw"], [["a|b", "0.5"], ["c", "1"]])
    lines = text.splitlines()
    assert len({len(line) for line in lines}) == 1 and r"a\|b" in lines[2] and lines[1].startswith("| --")
