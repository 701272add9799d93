"""Which runs the protocols need, and which cells they fill."""

import itertools
import json
from collections.abc import Iterable
from typing import Any

import pytest
from ml_collections import ConfigDict

from cpml_jax.configs import synthetic
from cpml_jax.errors import UserError
from cpml_jax.schema import FFPP_METHODS
from cpml_jax.sweep import plan as sweep_plan
from cpml_jax.sweep.ablation import Ablation
from cpml_jax.sweep.plan import Run

FOUR = FFPP_METHODS
RATES = ("raw", "c23", "c40")
METHODS = {"synthetic": FOUR, "synthetic_b": FOUR}
TABLE = Ablation({"full": {}, "no_cqsl": {"loss.cqsl": 0.0}}, (("c23",), ("raw", "c23")))
SIX = ["train_raw", "train_c23", "train_c40", "train_raw+c23", "train_raw+c40", "train_c23+c40"]


def configured() -> ConfigDict:
    """The drawn benchmark, tested at three compressions."""
    config = synthetic.get_config()
    config.eval.compressions = RATES
    return config


def plan(*names: str, seeds: Iterable[int] = (0,), config: ConfigDict | None = None, **others: Any) -> list[Run]:
    return sweep_plan.planned_runs(config or configured(), names, seeds, methods=METHODS, **others)


def cells(runs: list[Run]) -> list[tuple[str, str, str]]:
    return [(c.table, c.row, c.column) for run in runs for c in run.cells]


def test_cross_compression_is_the_full_matrix():
    runs = plan("cross_compression")
    assert [run.name for run in runs] == SIX
    rows = [name.removeprefix("train_") for name in SIX]
    assert cells(runs) == [("matrix", row, column) for row in rows for column in RATES]
    assert all(c.test.methods == FOUR and c.test.dataset == "synthetic" for run in runs for c in run.cells)
    assert [run.changes["train.views"] for run in runs if "+" not in run.name] == ["downsampled"] * 3
    assert runs[3].changes == {"seed": 0}  # raw+c23 is the base itself


def test_compressions_are_trained_best_first_in_whatever_order_they_are_named():
    config = configured()
    config.eval.compressions = ("c40", "raw")
    assert [run.name for run in plan("cross_compression", config=config)] == ["train_raw", "train_c40", "train_raw+c40"]


def test_cross_manipulation_rotates_both_ways():
    runs = {run.name: run for run in plan("cross_manipulation")}
    assert list(runs) == [f"without_{m}" for m in FOUR] + [f"only_{m}" for m in FOUR]
    for method in FOUR:
        rest = tuple(m for m in FOUR if m != method)
        out, alone = runs[f"without_{method}"], runs[f"only_{method}"]
        assert out.changes["train.methods"] == rest and alone.changes["train.methods"] == (method,)
        assert cells([out]) == [("leave one out", method, q) for q in ("raw", "c23")]
        assert {c.test.methods for c in out.cells} == {(method,)}
        assert sorted(cells([alone])) == sorted(
            (f"train on one, tested at {q}", method, m) for q in ("raw", "c23") for m in rest
        )


def test_a_method_of_the_records_that_is_not_asked_for_is_not_rotated():
    methods = {"synthetic": (*FOUR, "FaceShifter")}
    runs = sweep_plan.planned_runs(configured(), ("cross_manipulation",), (0,), methods=methods)
    assert {m for run in runs for c in run.cells for m in c.test.methods} == set(FOUR)


def test_of_two_methods_leaving_one_out_is_training_on_the_other():
    config = configured()
    config.train.methods = FOUR[:2]
    runs = plan("cross_manipulation", config=config)
    assert [run.name for run in runs] == [f"without_{FOUR[0]}", f"without_{FOUR[1]}"]
    assert len(cells(runs)) == 2 * 2 * 2  # both tables, both compressions


def test_in_dataset_and_cross_dataset():
    runs = plan("in_dataset")
    assert [run.name for run in runs] == SIX[:3]
    assert cells(runs) == [("by method", q, column) for q in RATES for column in ("all", *FOUR)]
    (run,) = plan("cross_dataset")
    assert run.name == "train_c23" and cells([run]) == [("data sets", "c23", "synthetic_b c23")]


def test_ablation_tests_every_row_across_compressions_and_data_sets():
    runs = plan("ablation", ablation=TABLE)
    assert [run.name for run in runs] == ["train_c23", "train_raw+c23", "no_cqsl_c23", "no_cqsl_raw+c23"]
    columns = (*RATES, "synthetic_b c23")
    assert cells(runs) == [
        (f"trained on {on}", row, c) for row in ("full", "no_cqsl") for on in ("c23", "raw+c23") for c in columns
    ]
    assert runs[2].changes == {
        "seed": 0, "train.compressions": ("c23",), "train.views": "downsampled", "loss.cqsl": 0.0
    }  # fmt: skip
    raw_only = Ablation({"only_raw": {"train.compressions": ("raw",), "loss.cmcl": 0.0}}, TABLE.trained_on)
    assert [run.name for run in plan("ablation", ablation=raw_only)] == ["only_raw_raw"]
    assert [run.name for run in plan("ablation", ablation=Ablation({"full": {}}))] == ["train_raw+c23"]


def test_protocols_share_training_runs_and_no_cell_is_filled_twice():
    every = plan(*sweep_plan.PROTOCOLS, seeds=(0, 2), ablation=TABLE)
    names = [run.name for run in every]
    assert len(names) == len(set(names)) == 2 * (6 + 8 + 2)
    assert names[:6] == SIX and names[16] == "train_raw_seed2"
    shared = next(run for run in every if run.name == "train_c23")
    assert {c.protocol for c in shared.cells} == {"in_dataset", "cross_compression", "cross_dataset", "ablation"}
    assert set(shared.protocols) == {"in_dataset", "cross_compression", "cross_dataset"}
    places = [(c.protocol, c.table, c.row, c.column, c.seed) for run in every for c in run.cells]
    assert len(places) == len(set(places)) == 2 * (3 * 5 + 6 * 3 + (4 * 2 + 12 * 2) + 1 + 4 * 4)


def test_names_do_not_depend_on_which_protocols_are_asked_for():
    together = {json.dumps(run.changes): run.name for run in plan(*sweep_plan.PROTOCOLS, ablation=TABLE)}
    for order in itertools.permutations(sweep_plan.PROTOCOLS, 2):
        for run in plan(*order, ablation=TABLE):
            assert together[json.dumps(run.changes)] == run.name


@pytest.mark.parametrize(
    ("names", "others", "message"),
    [
        (("cross_compresion",), {}, "did you mean 'cross_compression'"),
        (("corruption",), {}, "main.py evaluate --protocol=corruption"),
        (("in_dataset",), {"seeds": ()}, "--seeds is empty"),
        (("ablation",), {}, "no rows"),
        (("ablation",), {"ablation": Ablation({"x": {"seed": 3}})}, "all rows share"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(names, others, message):
    with pytest.raises(UserError, match=message):
        plan(*names, **others)


def test_two_runs_of_one_name_are_refused():
    with pytest.raises(UserError, match="'train_c23'"):
        plan("in_dataset", "ablation", ablation=Ablation({"train": {"loss.cqsl": 0.0}}, (("c23",),)))
