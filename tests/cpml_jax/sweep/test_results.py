"""What sweep.json keeps: cells after a kill, after another protocol, after a failure."""

from collections import Counter

import pytest
import tiny
from tiny_sweep import Killed, Workshop, go, written

from cpml_jax.evaluation import versions

BOTH = ("cross_manipulation", "cross_compression")


@pytest.mark.parametrize("killed_after", [0, 2, 4])
def test_a_killed_sweep_resumes_and_fills_every_cell_once(tiny_records, tmp_path, killed_after):
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
    assert done["schema"] == versions.SWEEP and {r["state"] for r in done["runs"]} == {"finished"}
    third = Workshop()
    assert go(tiny_records, tmp_path, BOTH, third) == 0
    assert not third.trained and not third.evaluated and written(tmp_path) == done


def test_another_protocol_keeps_earlier_cells_and_retrains_nothing(tiny_records, tmp_path):
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


def test_a_failed_run_is_reported_and_the_others_are_trained(tiny_records, tmp_path, capsys):
    workshop = Workshop(fail=("train_raw",))
    assert go(tiny_records, tmp_path, ("cross_compression",), workshop) == 1
    assert len(workshop.evaluated) == 2 and "failed: train_raw: the loss is not finite" in capsys.readouterr().out
    empty = [c for c in written(tmp_path)["cells"] if c["video"] is None]
    assert {c["run"] for c in empty} == {"train_raw"} and "not finite" in empty[0]["note"]
