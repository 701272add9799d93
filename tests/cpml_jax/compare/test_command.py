"""Comparisons of small evaluations, with a stand-in for the paired tests that notes what it was given."""

import csv

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tiny_compare import Paired, lines, made, result, videos, write

from cpml_jax import compare
from cpml_jax.compare import formats
from cpml_jax.errors import UserError


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
    assert second["difference_std"] == pytest.approx(np.subtract(aucs[1], aucs[0]).std(ddof=1))
    assert [pair["seeds"] for pair in second["pairs"]] == [[0, 0], [1, 1], [2, 2]]
    assert first["ci95"][0] < first["auc"] < first["ci95"][1]
    assert "loss.cmcl: 0.25 | 0.0" in table["notes"] and not any("data.records" in note for note in table["notes"])


def test_the_three_formats(tmp_path, capsys):
    a, b = (
        write(tmp_path / "x/run_1", lines(1)),
        write(tmp_path / "y/run_1", lines(2), changes={"train.methods": ("a%&",)}),
    )
    assert compare.run([a, b], str(tmp_path / "out/here"), paired=Paired()) == 0
    text = (tmp_path / "out/here/compare.md").read_text()
    assert capsys.readouterr().out.strip() == text.strip()
    assert "x/run_1 |" in text and "; p<0.001, Holm p<0.001, DeLong p=0.250" in text
    latex = (tmp_path / "out/here/compare.tex").read_text()
    assert r"cross\_compression" in latex and r"a\%\&" in latex and r"\begin{tabular}{lrrr}" in latex
    assert all(line.count(" & ") == 3 for line in latex.splitlines() if line.startswith("cross"))
    with open(tmp_path / "out/here/compare.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["column"] for row in rows] == ["x/run_1", "y/run_1"]
    assert rows[0]["difference"] == "" and float(rows[1]["difference_ci95_high"]) == 0.2
    assert rows[1]["pairs"].startswith("0/0: ") and rows[1]["p_holm"] == "0.0001"


def test_mistakes_are_one_clear_line(tmp_path):
    good = write(tmp_path / "a", lines(1))
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ([good], "two runs or more"),
        ([], "two runs or more"),
        ([good, str(tmp_path / "nothing")], "no such folder"),
        ([good, str(tmp_path / "empty")], "main.py evaluate"),
    ):
        with pytest.raises(UserError, match=message):
            compare.run(arguments, paired=Paired())
    b = write(tmp_path / "b", lines(1))
    (tmp_path / "b/scores.jsonl").write_text("{")
    with pytest.raises(UserError, match="not JSON lines"):
        compare.run([good, b], paired=Paired())
