import copy

import old_versions
import published
import pytest
from fake_evaluation import evaluated

from cpml_jax.evaluation import versions


@pytest.fixture
def report(tmp_path):
    config = {"name": "t", "train": {"compressions": ["raw"]}, "data": {"sources": {}}, "eval": {"batch_size": 50}}
    return evaluated(tmp_path, protocols=("in_dataset",), config=config)[0]


def test_todays_document_stays_as_it_is(report):
    assert versions.current(report) is report


def test_version_3_0_has_todays_names_and_keeps_its_version(report):
    old = old_versions.evaluation_3_0(report)
    assert versions.current(old) is old and old["schema"] in versions.READABLE and old["schema"] != versions.EVALUATION


@pytest.mark.parametrize("make", [old_versions.evaluation_2_0, old_versions.evaluation_1_1])
def test_earlier_versions_get_todays_names_and_their_own_rule_and_are_left_unchanged(report, make):
    old = make(report)
    before = copy.deepcopy(old)
    new = versions.current(old)
    assert old == before and new["schema"] == old["schema"] in versions.READABLE
    assert new["rule"]["windows"] == "mean of the windows' P(fake)" and new["config"] == report["config"]
    for one, other in zip(new["results"], report["results"], strict=True):
        assert {key: one[key] for key in ("train", "test", "clip", "video")} == {
            key: other[key] for key in ("train", "test", "clip", "video")
        }
        assert "aggregation" not in one


def test_version_1_0_gets_todays_names_and_stays_incomplete(report):
    new = versions.current(old_versions.evaluation_1_0(report))
    assert new["schema"] == "cpml-evaluation/1.0.0" in versions.READABLE
    assert [r["train"] for r in new["results"]] == [r["train"] for r in report["results"]]
    with pytest.raises(published.Invalid):
        published.check("evaluation", new)


def test_a_sweep_of_version_1_0_becomes_todays(report):
    result = report["results"][0]
    cell = {key: result[key] for key in ("protocol", "train", "test", "clip", "video")}
    cell |= {"table": "matrix", "row": "raw", "column": "raw", "seed": 0, "run": "train_raw"}
    sweep = {"schema": versions.SWEEP, "config": report["config"], "runs": [], "cells": [cell, cell | {"video": None}]}
    published.check("sweep", sweep)
    assert versions.current(old_versions.sweep_1_0(sweep)) == sweep


def test_a_configuration_gets_todays_keys_and_keeps_the_rest():
    old = {"eval": {"qualities": ["raw"], "variants": []}, "model": {"clip_text": {"bank": ""}, "dim": 3}, "x": {}}
    new = {"eval": {"compressions": ["raw"], "conditions": []}, "model": {"text_encoder": {"bank": ""}, "dim": 3}}
    assert versions.current_config(old) == new | {"x": {}} == versions.current_config(new | {"x": {}})
