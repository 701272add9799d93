"""The sweep with training and evaluation that only count: which runs, which cells, and what a kill leaves behind."""

import itertools
import json
from collections import Counter

import published
import pytest
import tiny

from cpml_jax import schema, sweep
from cpml_jax.configs import base, synthetic
from cpml_jax.errors import UserError
from cpml_jax.evaluation import protocols
from cpml_jax.files import write_json
from cpml_jax.sweep import pace, tables
from cpml_jax.sweep import plan as sweep_plan
from cpml_jax.sweep.ablation import Ablation
from cpml_jax.training import run_files

FOUR = schema.FFPP_METHODS
RATES = ("raw", "c23", "c40")
METHODS = {"synthetic": FOUR, "synthetic_b": FOUR}
TABLE = Ablation({"full": {}, "no_cqsl": {"loss.cqsl": 0.0}}, (("c23",), ("raw", "c23")))
NINE = ["train_raw", "train_c23", "train_c40", "train_raw+c23", "train_raw+c40", "train_c23+c40"]


def plan(*names, seeds=(0,), config=None, **others):
    return sweep_plan.planned_runs(config or synthetic.get_config(), names, seeds, methods=METHODS, **others)


def cells(runs):
    return [(c.table, c.row, c.column) for run in runs for c in run.cells]


def test_cross_compression_is_the_full_matrix():
    runs = plan("cross_compression")
    assert [run.name for run in runs] == NINE
    rows = [name.removeprefix("train_") for name in NINE]
    assert cells(runs) == [("matrix", row, column) for row in rows for column in RATES]
    assert all(c.test.methods == FOUR and c.test.dataset == "synthetic" for run in runs for c in run.cells)
    assert [run.changes["train.views"] for run in runs if "+" not in run.name] == ["downsampled"] * 3
    assert runs[3].changes == {"seed": 0}  # raw+c23 is the base itself


def test_qualities_are_trained_best_first_in_whatever_order_they_are_named():
    config = synthetic.get_config()
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


def test_a_method_that_is_there_but_not_asked_for_is_not_rotated():
    methods = {"synthetic": (*FOUR, "FaceShifter")}
    runs = sweep_plan.planned_runs(synthetic.get_config(), ("cross_manipulation",), (0,), methods=methods)
    assert {m for run in runs for c in run.cells for m in c.test.methods} == set(FOUR)


def test_of_two_methods_leaving_one_out_is_training_on_the_other():
    config = synthetic.get_config()
    config.train.methods = FOUR[:2]
    runs = plan("cross_manipulation", config=config)
    assert [run.name for run in runs] == [f"without_{FOUR[0]}", f"without_{FOUR[1]}"]
    assert len(cells(runs)) == 2 * 2 * 2  # both tables, both compressions


def test_in_dataset_and_cross_dataset():
    runs = plan("in_dataset")
    assert [run.name for run in runs] == NINE[:3]
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
    own = Ablation({"only_raw": {"train.compressions": ("raw",), "loss.cmcl": 0.0}}, TABLE.trained_on)
    assert [run.name for run in plan("ablation", ablation=own)] == ["only_raw_raw"]
    assert [run.name for run in plan("ablation", ablation=Ablation({"full": {}}))] == ["train_raw+c23"]


def test_protocols_share_trainings_and_every_cell_stands_once():
    every = plan(*sweep_plan.PROTOCOLS, seeds=(0, 2), ablation=TABLE)
    names = [run.name for run in every]
    assert len(names) == len(set(names)) == 2 * (6 + 8 + 2)
    assert names[:6] == NINE[:3] + NINE[3:] and names[16] == "train_raw_seed2"
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
    ("names", "others", "said"),
    [
        (("cross_compresion",), {}, "did you mean 'cross_compression'"),
        (("corruption",), {}, "main.py evaluate --protocol=corruption"),
        (("in_dataset",), {"seeds": ()}, "--seeds is empty"),
        (("ablation",), {}, "no rows"),
        (("ablation",), {"ablation": Ablation({})}, "no rows"),
        (("ablation",), {"ablation": Ablation({"a/b": {}})}, "names a folder"),
        (("ablation",), {"ablation": Ablation({"x": {"loss.cqls": 0.0}})}, "'loss.cqls'"),
        (("ablation",), {"ablation": Ablation({"x": {"seed": 3}})}, "all rows share"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(names, others, said):
    with pytest.raises(UserError, match=said):
        plan(*names, **others)


def test_two_trainings_of_one_name_are_refused():
    with pytest.raises(UserError, match="'train_c23'"):
        plan("in_dataset", "ablation", ablation=Ablation({"train": {"loss.cqsl": 0.0}}, (("c23",),)))


# --- carrying it out ------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


class Workshop:
    """train and evaluate that write what the real ones write, and count; `kill` dies in the n-th training."""

    def __init__(self, kill=None, fail=()):
        self.trained, self.evaluated, self.kill, self.fail = Counter(), Counter(), kill, fail

    def train(self, config, folder):
        if self.kill is not None and len(self.trained) == self.kill:
            (folder / "checkpoints").mkdir(exist_ok=True)
            raise Killed
        self.trained[folder.name] += 1
        if folder.name in self.fail:
            raise UserError("the loss is not finite")
        (folder / "checkpoints").mkdir(exist_ok=True)

    def evaluate(self, config, folder):
        self.evaluated[folder.name] += 1
        tests = protocols.make_tests(
            protocols.Training(config.train.dataset, tuple(config.train.compressions), tuple(config.train.methods)),
            protocols=config.eval.protocols,
            compressions=config.eval.compressions,
            cross_datasets=config.eval.cross_datasets,
            cross_compression=protocols.cross_compressions(
                config.eval.cross_compression, config.eval.cross_datasets, {}
            ),
            methods={"faces": tiny.METHODS},
        )
        level = {"n_real": 2, "n_fake": 4, "auc": 0.5 + 0.1 * config.seed, "auc_ci95": [0.25, 0.75]}
        level |= dict.fromkeys(("ap", "eer", "acc"))
        results = [
            {
                "protocol": t.protocol,
                "test": {"dataset": t.dataset, "compression": t.compression, "methods": t.methods},
                "condition": None,
                "clip": level,
                "video": level,
            }
            for t in tests
        ]
        write_json(folder / "evaluation.json", {"config": config.to_dict(), "results": results})


def go(records, workdir, names, workshop, config=None, **others):
    config = config or tiny.training_config(records)
    return sweep.run(config, workdir, names, train=workshop.train, evaluate=workshop.evaluate, **others)


def written(workdir):
    found = json.loads((workdir / "sweep.json").read_text())
    places = [tuple(c[k] for k in ("protocol", "table", "row", "column", "seed")) for c in found["cells"]]
    assert len(places) == len(set(places)), "a cell stands twice"
    published.check("sweep", found)
    return found


BOTH = ("cross_manipulation", "cross_compression")


@pytest.mark.parametrize("killed_after", [0, 2, 4])
def test_killed_and_started_again_it_trains_the_rest_and_fills_every_cell_once(tiny_records, tmp_path, killed_after):
    with pytest.raises(Killed):
        go(tiny_records, tmp_path, BOTH, Workshop(kill=killed_after))
    left = written(tmp_path)
    assert len({c["run"] for c in left["cells"] if c["video"]}) == killed_after
    assert all(c["note"] for c in left["cells"] if c["video"] is None)
    again = Workshop()
    assert go(tiny_records, tmp_path, BOTH, again) == 0
    assert len(again.trained) == 5 - killed_after and set(again.trained.values()) == {1}
    done = written(tmp_path)
    assert len(done["cells"]) == 3 * 2 + 2 * 2 * 2 and all(c["video"]["auc"] == 0.5 for c in done["cells"])
    assert done["schema"] == "cpml-sweep/1.0.0" and {r["state"] for r in done["runs"]} == {"finished"}
    third = Workshop()
    assert go(tiny_records, tmp_path, BOTH, third) == 0
    assert not third.trained and not third.evaluated and written(tmp_path) == done


def test_all_runs_read_the_records_of_the_workdir(tiny_records, tmp_path):
    config = tiny.training_config(tiny_records)
    config.data.records = "{workdir}/records"
    (tmp_path / "records").symlink_to(tiny_records)
    go(None, tmp_path, ("in_dataset",), Workshop(), config=config)
    report = json.loads((tmp_path / "sweep/train_raw/evaluation.json").read_text())
    assert report["config"]["data"]["records"] == str(tmp_path / "records")


def test_another_protocol_later_keeps_the_cells_and_retrains_nothing(tiny_records, tmp_path):
    go(tiny_records, tmp_path, ("cross_compression",), Workshop())
    later = Workshop()
    go(tiny_records, tmp_path, ("in_dataset",), later)
    assert not later.trained and set(later.evaluated) == {"train_raw", "train_c23"}
    assert Counter(c["protocol"] for c in written(tmp_path)["cells"]) == {"cross_compression": 6, "in_dataset": 6}
    go(
        tiny_records,
        tmp_path,
        ("in_dataset",),
        Workshop(),
        config=tiny.training_config(tiny_records, **{"loss.ce": 2.0}),
    )
    assert {c["protocol"] for c in written(tmp_path)["cells"]} == {"in_dataset"}, "cells of another configuration"


def test_a_run_that_fails_is_listed_and_the_others_go_on(tiny_records, tmp_path, capsys):
    workshop = Workshop(fail=("train_raw",))
    assert go(tiny_records, tmp_path, ("cross_compression",), workshop) == 1
    assert len(workshop.evaluated) == 2 and "failed: train_raw: the loss is not finite" in capsys.readouterr().out
    empty = [c for c in written(tmp_path)["cells"] if c["video"] is None]
    assert {c["run"] for c in empty} == {"train_raw"} and "not finite" in empty[0]["note"]


def test_an_evaluation_without_the_asked_test_is_a_failure(tiny_records, tmp_path):
    workshop = Workshop()

    def forgetful(config, folder):
        workshop.evaluate(config, folder)
        report = json.loads((folder / "evaluation.json").read_text())
        write_json(folder / "evaluation.json", report | {"results": report["results"][1:]})

    config = tiny.training_config(tiny_records)
    assert sweep.run(config, tmp_path, ("cross_compression",), train=workshop.train, evaluate=forgetful) == 1


def test_figures_of_other_records_are_refused(tiny_records, tmp_path):
    go(tiny_records, tmp_path, ("in_dataset",), Workshop())
    run_files.write_training_data(
        tmp_path / "sweep/train_raw", "faces", {"a"}, {"sha256": "f" * 64, "schema_version": None, "clips": 9}
    )
    later = Workshop()
    with pytest.raises(UserError, match=r"train_raw: trained on other records .sha256 ffffffffffff, 9 clips"):
        go(tiny_records, tmp_path, ("in_dataset", "cross_compression"), later)
    assert not later.trained


def test_a_missing_quality_is_refused_before_any_training(tiny_records, tmp_path):
    everything = {"data.sources.faces.compressions": (), "data.sources.faces.methods": ()}
    config = tiny.training_config(tiny_records, **everything, **{"eval.compressions": RATES})
    workshop = Workshop()
    with pytest.raises(UserError, match="at c40 in the test split of 'faces'.*at c23, raw.*configs/protocols") as error:
        go(tiny_records, tmp_path, ("cross_compression",), workshop, config=config)
    assert "\n" not in str(error.value) and not workshop.trained
    with pytest.raises(UserError, match="no test clips of NeuralTextures"):
        changes = everything | {"train.methods": (*tiny.METHODS, "NeuralTextures")}
        changed = tiny.training_config(tiny_records, **changes)
        go(tiny_records, tmp_path, ("cross_manipulation",), workshop, config=changed)


def test_what_is_not_prepared_is_prepared_once_and_alone(tmp_path, tiny_records):
    config = tiny.training_config(tmp_path / "records")
    config.data.sources.elsewhere = base.source("dfdc", "")
    asked = []

    def prepare(config, workdir):
        asked.append(list(config.data.sources))
        (tmp_path / "records").symlink_to(tiny_records)

    assert go(None, tmp_path, ("in_dataset",), Workshop(), config=config, prepare=prepare) == 0
    assert asked == [["faces"]]


def test_a_row_of_another_type_is_refused_by_name(tiny_records, tmp_path):
    table = Ablation({"wrong": {"loss.cqsl": "none"}})
    with pytest.raises(UserError, match="wrong_raw.c23: loss.cqsl='none'"):
        go(tiny_records, tmp_path, ("ablation",), Workshop(), ablation=table)
    with pytest.raises(UserError, match="no row 'full'"):
        go(tiny_records, tmp_path, ("ablation",), Workshop(), ablation=table, rows=("full",))
    with pytest.raises(UserError, match="--protocol=ablation"):
        go(tiny_records, tmp_path, ("in_dataset",), Workshop(), rows=("full",))


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


def test_the_forecast_says_where_it_comes_from(tmp_path):
    waiting = {"train_c23": tiny.tiny_config(**{"train.steps": 100, "train.batch_size": 8})}
    assert "unknown until the first run" in pace.forecast(tmp_path, tmp_path / "sweep", waiting)[1]
    rows = [{"kind": "train", "step": s, "clips_per_s": v} for s, v in ((1, 0.1), (2, 4.0), (3, 4.0))]
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"kind": "tra'
    (tmp_path / "metrics.jsonl").write_text(text)
    words, note = pace.forecast(tmp_path, tmp_path / "sweep", waiting)
    assert words == {"train_c23": "100 of 100 steps, about 3 min"} and f"at the speed of {tmp_path.name} " in note
    (tmp_path / "sweep/train_c23").mkdir(parents=True)
    (tmp_path / "sweep/train_c23/metrics.jsonl").write_text(text.replace("4.0", "2.0"))
    words, note = pace.forecast(tmp_path, tmp_path / "sweep", waiting)
    assert words == {"train_c23": "97 of 100 steps, about 6 min"} and "sweep/train_c23" in note
    assert "unknown" not in note and pace.forecast(tmp_path, tmp_path / "sweep", {})[1].startswith("Nothing")


def test_the_listing_comes_before_the_first_training(tiny_records, tmp_path, capsys):
    with pytest.raises(Killed):
        go(tiny_records, tmp_path, ("cross_compression",), Workshop(kill=0))
    said = capsys.readouterr().out
    assert "3 runs fill 6 cells; 3 are to be trained" in said and "train_raw+c23" in said and "unknown" in said
    with pytest.raises(Killed):
        go(tiny_records, tmp_path, ("cross_compression",), Workshop(kill=0))
    assert "begun, goes on" in capsys.readouterr().out


def test_a_real_training_fills_its_cells(tiny_records, tmp_path):
    """Landmarks alone, and one step: PhysFormer would compile for half a minute."""
    changes = {"model.modalities": ("landmarks",), "train.steps": 1, "eval.bootstrap": 5}
    config, table = tiny.training_config(tiny_records, **changes), Ablation({"full": {}})
    workdir = tmp_path / "new"
    assert sweep.run(config, workdir, ("ablation",), ablation=table) == 0
    assert [(c["run"], c["column"]) for c in written(workdir)["cells"]] == [
        ("train_raw+c23", "raw"), ("train_raw+c23", "c23")
    ]  # fmt: skip
    assert all(0 <= c["video"]["auc"] <= 1 for c in written(workdir)["cells"])
    again = Workshop()
    assert go(tiny_records, workdir, ("ablation",), again, config, ablation=table) == 0
    assert not again.trained and not again.evaluated


@pytest.mark.parametrize("argument", ["synthetic", "synthetic:hard", "synthetic:full", "ffpp", "ffpp:c23"])
def test_protocol_configurations_differ_in_their_tests_alone(argument):
    from cpml_jax.configs import protocols

    names = ("ablation", "cross_compression", "cross_manipulation", "in_dataset")
    made = [protocols.get_config(f"{name}:{argument}") for name in names]
    tests = [config.eval.protocols for config in made]
    for config in made:
        config.eval.protocols = ()
    assert len(set(tests)) == 4 and all(config == made[0] for config in made)
    source = made[0].data.sources[made[0].train.dataset]
    compressions = set(made[0].eval.compressions)
    assert compressions == set(source.compressions)
    assert all(
        compressions == set(q) for q in (source.draw.compressions.to_dict().values() if "draw" in source else ())
    )
