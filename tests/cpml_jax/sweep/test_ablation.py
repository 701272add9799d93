"""The ablation table: its rows, chosen and checked."""

import pytest
from tiny_sweep import Workshop, go

from cpml_jax.errors import UserError
from cpml_jax.sweep.ablation import Ablation

BASE = {"seed": 0, "data.workers": 1, "loss.cqsl": 0.2}  # dotted keys of a configuration


def test_rows_are_chosen_by_name_and_settings_only_so():
    table = Ablation({"full": {}, "no_cqsl": {"loss.cqsl": 0.0}}, (("c23",),), {"double": {"loss.cqsl": 0.4}})
    assert list(table.chosen(()).rows) == ["full", "no_cqsl"]
    chosen = table.chosen(("double", "full"))
    assert chosen.rows == {"double": {"loss.cqsl": 0.4}, "full": {}} and chosen.trained_on == (("c23",),)
    with pytest.raises(UserError, match="no row 'half'; its rows: full, no_cqsl, double"):
        table.chosen(("half",))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({}, "no rows"),
        ({"a/b": {}}, "names a folder"),
        ({"x": {"loss.cqls": 0.0}}, "'loss.cqls'"),
        ({"x": {"seed": 3}}, "all rows share"),
        ({"x": {"train.steps": 3}}, "all rows share"),
        ({"x": {"data.workers": 3}}, "all rows share"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(rows, message):
    with pytest.raises(UserError, match=message):
        Ablation(rows).check(BASE)


def test_rows_are_asked_for_with_the_ablation_alone(tiny_records, tmp_path):
    with pytest.raises(UserError, match="--protocol=ablation"):
        go(tiny_records, tmp_path, ("in_dataset",), Workshop(), rows=("full",))


def test_a_row_of_another_type_is_refused_by_name(tiny_records, tmp_path):
    with pytest.raises(UserError, match="wrong_raw.c23: loss.cqsl='none'"):
        go(tiny_records, tmp_path, ("ablation",), Workshop(), ablation=Ablation({"wrong": {"loss.cqsl": "none"}}))
