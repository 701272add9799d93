"""The differences between the rows of an ablation table, on small evaluations written by hand."""

import pytest
from tiny_compare import better, lines, write

from cpml_jax.sweep import differences


def cell(row, column, run, video=True):
    test = {"dataset": "faces", "compression": "c23", "methods": ["Deepfakes", "FaceSwap"]}
    return {
        "protocol": "ablation", "table": "trained on c23", "row": row, "column": column, "run": run, "test": test,
        "video": {"auc": 0.5} if video else None,
    }  # fmt: skip


def rows(folder, gain=0.6, changes=None):
    """Runs of a table of three rows with two seeds each: the second row is better."""
    cells = []
    for number, row in enumerate(("full", "better", "same")):
        for seed in (0, 1):
            name = f"{row}_{seed}"
            drawn = lines(10 * number + seed, people=range(20))
            write(
                folder / name,
                better(drawn, gain * (row == "better")),
                changes={"seed": seed} | (changes or {}).get(row, {}),
            )
            cells.append(cell(row, "c23", name))
    return cells


def test_rows_are_compared_with_the_first_and_corrected_for_their_number(tmp_path):
    cells = rows(tmp_path) + [cell("unfinished", "c23", "nothing", video=False)]
    (text,) = differences.blocks(cells, tmp_path)
    assert "| minus full |" in text and "corrected by Holm for all comparisons" in text
    body = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    assert list(body)[2:] == ["better", "same"]
    p, corrected = (float(text[:5]) for text in body["better"].split("p=")[1:])
    assert corrected == pytest.approx(2 * p, abs=0.002)
    assert "unfinished" not in text
    assert "All rows: 1000 steps of 8 clips, validated every 200, checkpoint chosen by validation." in text


def test_rows_that_were_not_trained_alike_are_named(tmp_path):
    (text,) = differences.blocks(rows(tmp_path, changes={"same": {"train.batch_size": 16}}), tmp_path)
    assert "NOT TRAINED ALIKE: full, better: 1000 steps of 8 clips" in text and "same: 1000 steps of 16 clips" in text


def test_without_scores_or_a_second_row_there_is_no_table(tmp_path):
    cells = rows(tmp_path)
    for name in {c["run"] for c in cells}:
        (tmp_path / name / "scores.jsonl").unlink()
    assert differences.blocks(cells, tmp_path) == []
    assert differences.blocks([c for c in cells if c["row"] == "full"], tmp_path) == []
    assert differences.blocks([c | {"protocol": "in_dataset"} for c in cells], tmp_path) == []
