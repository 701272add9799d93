"""The tables of a sweep."""

from tiny_sweep import Workshop, go

from cpml_jax.sweep import tables


def test_several_seeds_are_averaged(tiny_records, tmp_path, capsys):
    go(tiny_records, tmp_path, ("cross_compression",), Workshop(), seeds=(0, 1, 2))
    assert "| 0.600 ± 0.100 (3) |" in (tmp_path / "sweep.md").read_text()
    assert "| 0.600 ± 0.100 (3) |" in capsys.readouterr().out


def test_a_figure_that_does_not_exist_is_a_dash():
    cell = {"protocol": "ablation", "table": "t", "row": "a|b", "column": "c23", "video": {"auc": None}}
    text = tables.tables([cell, cell | {"column": "raw", "video": None}])
    assert "| a\\|b |   - |   - |" in text


def test_a_square_table_has_one_order_both_ways():
    cell = {"protocol": "cross_manipulation", "table": "train on one", "seed": 0, "video": None}
    names = [(row, column) for row in "abc" for column in "abc" if row != column]
    text = tables.tables([cell | {"row": row, "column": column} for row, column in names])
    head, *body = [line.strip("| ").split() for line in text.splitlines() if line.startswith("|")]
    assert [name for name in head if name != "|"] == ["a", "b", "c"] and [line[0] for line in body[1:]] == [
        "a",
        "b",
        "c",
    ]
