import io
import json
import os

import numpy as np
import published
import pytest
from fake_evaluation import (
    C23,
    FRAMES,
    PROTOCOLS,
    SIZE,
    TRAINING,
    TWO,
    FakeRecords,
    FakeScorer,
    evaluated,
    strict,
)  # fmt: skip

from cpml_jax import evaluate, schema
from cpml_jax.configs import base
from cpml_jax.errors import UserError
from cpml_jax.evaluation import provenance
from cpml_jax.evaluation.protocols import Training, make_tests
from cpml_jax.metrics import detection


def test_the_files_hold_what_the_readme_says(tmp_path):
    out, scorer = io.StringIO(), FakeScorer()
    result, records = evaluated(tmp_path, scorer=scorer, out=out)
    written = json.loads((tmp_path / "evaluation.json").read_text(), parse_constant=pytest.fail)
    published.check("evaluation", written)
    assert written == result and list(written) == [
        "schema",
        "config",
        "checkpoint",
        "rule",
        "provenance",
        "calibration",
        "results",
        "pulse_across_compressions",
        "excluded",
    ]
    identity = {"parameters_sha256": "0" * 64, "config_sha256": provenance.config_sha256(written["config"])}
    assert written["checkpoint"] == {"step": 7, "selection": "validation"} | identity
    assert written["config"]["eval"] == {"compressions": ["raw", "c40"]}
    assert [e["reason"] for e in written["excluded"]] == ["no face", "no face"]
    # raw and c23, pooled and each of two methods; raw and c40; b
    assert [r["protocol"] for r in written["results"]] == ["in_dataset"] * 6 + ["cross_compression"] * 2 + [
        "cross_dataset"
    ]
    for each in written["results"]:
        assert each["train"] == {"dataset": "a", "compressions": ["raw", "c23"], "methods": list(TWO)}
        assert set(each["test"]) == {"dataset", "compression", "methods"} and each["sampler"]["num_frames"] == FRAMES
        for of, windows in (("clip", 2), ("video", 1)):
            figures = each[of]
            assert list(figures)[:4] == ["n_real", "n_fake", "auc", "auc_ci95"]
            assert list(figures)[4:10] == [
                "auc_method_mean", "auc_by_method", "auc_excluded_as_chance", "ap", "eer", "acc",
            ]  # fmt: skip
            assert list(figures)[10:] == ["tpr", "fpr", "tpr_at_fpr", "tdr", "ece", "brier", "note"]
            assert list(figures["auc_by_method"]) == each["test"]["methods"]
            assert figures["auc_method_mean"] == pytest.approx(np.mean(list(figures["auc_by_method"].values())))
            people = 4 if each["test"]["dataset"] == "b" else 6
            assert (figures["n_real"], figures["n_fake"]) == (
                people * windows,
                people * windows * len(each["test"]["methods"]),
            )
            if each["test"]["dataset"] == "b":  # two pairs of people
                assert figures["auc_ci95"] is None and "2 independent groups of identities" in figures["note"]
            else:
                assert figures["auc_ci95"][0] <= figures["auc"] <= figures["auc_ci95"][1]
            assert 0.5 < figures["auc"] <= 1.0 and 0 < figures["acc"] <= 1
        assert 0 < each["threshold"]["clip"] < 1 and 0 < each["threshold"]["video"] < 1
        assert each["seen"]["frames_per_video"] == {"mean": 2 * FRAMES, "min": 2 * FRAMES, "max": 2 * FRAMES}
        assert each["video"]["auc_excluded_as_chance"] == pytest.approx(each["video"]["auc"])  # none is excluded
        assert each["pulse"]["real"] == pytest.approx(each["pulse"]["fake"]) and each["pulse"]["real_truth"] > 0.99
        assert each["pulse"]["fake_truth"] is None
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
    assert set(scorer.batches) == {5}  # one shape, the last batch padded
    for one in records.values():
        assert len(one.reads) == len(set(one.reads))  # scored once, though several tests use it
    lines = strict(tmp_path / "scores.jsonl")
    for line in lines:
        published.check("scores", line)
    assert sorted(line["clip_id"] for line in lines) == sorted(records["a"].reads + records["b"].reads)
    assert {line["split"] for line in lines} == {"val", "test"}
    assert all(40 <= line["heart_rate_bpm"] <= 180 for line in lines)
    assert all((line["heart_rate_truth_bpm"] is None) == (line["label"] == 1) for line in lines)


def test_video_scores_are_mean_margins_and_thresholds_come_from_validation_alone(tmp_path):
    result, records = evaluated(tmp_path, compressions=("c40",), protocols=("cross_compression",))
    lines = strict(tmp_path / "scores.jsonl")
    validation = [line for line in lines if line["split"] == "val"]
    assert {line["compression"] for line in validation} == {"raw", "c23"} and len(validation) == 4 * 3 * 2 * 2
    expected = detection.best_threshold([v["label"] for v in validation], [v["logit_margin"] for v in validation])
    each = result["results"][0]
    assert each["threshold"]["clip_margin"] == expected
    assert each["threshold"]["clip"] == detection.sigmoid([expected])[0]
    test = [line for line in lines if line["compression"] == "c40"]
    correct = [(line["logit_margin"] >= expected) == (line["label"] == 1) for line in test]
    assert each["clip"]["acc"] == pytest.approx(np.mean(correct))
    videos = {}
    for line in test:
        videos.setdefault(line["video_key"], []).append(line["logit_margin"])
    means = [np.mean(v) for v in videos.values()]
    assert each["video"]["auc"] == pytest.approx(detection.auc([int("/real/" not in k) for k in videos], means))


def test_a_corrupt_record_is_set_aside_and_the_others_go_on(tmp_path):
    bad = schema.clip_id("a", "real", "c23", "006", 1)
    records = {"a": FakeRecords("a", corrupt={bad})}
    result, _ = evaluated(tmp_path, records, protocols=("in_dataset",))
    assert {"clip_id": bad, "reason": "corrupt record: frame 3 is not an image"}.items() <= result["excluded"][
        -1
    ].items()
    at_c23 = next(r for r in result["results"] if r["test"]["compression"] == "c23")
    assert (at_c23["clip"]["n_real"], at_c23["video"]["n_real"]) == (11, 6)
    assert bad not in {line["clip_id"] for line in strict(tmp_path / "scores.jsonl")}


def test_videos_that_were_set_aside_are_counted_as_chance(tmp_path):
    """Old code: an exclusion left no trace in a figure, so that a set without its hard videos looked better."""
    records = {"a": FakeRecords("a", ("c23",), windows=1, corrupt={schema.clip_id("a", "real", "c23", "006", 0)})}
    about = {"dataset": "a", "compression": "c23", "reason": "no face"}
    records["a"].excluded = [
        {**about, "method": "Deepfakes", "split": "test", "video": "100_101", "label": 1},
        {**about, "method": "Deepfakes", "split": "test", "video": "006_007", "label": 1, "window": 1},  # has a score
        {**about, "method": "Deepfakes", "split": "train", "video": "102_103", "label": 1},
        {**about, "method": "NeuralTextures", "split": "test", "video": "104_105", "label": 1},
        {**about, "method": "Deepfakes", "split": "test", "video": "106_107", "label": 1, "compression": "c40"},
    ]
    training = Training("a", ("c23",), TWO)
    result, _ = evaluated(tmp_path, records, protocols=("in_dataset",), training=training,
                          official={"a": {"real": 7, "Deepfakes": 8, "Face2Face": 9}})  # fmt: skip
    pooled = result["results"][0]
    assert pooled["listed"] == {
        "tested": {"real": 5, "fake": 12}, "excluded": {"real": 1, "fake": 1}, "listed": 19, "official": 24,
    }  # fmt: skip
    auc, pairs = pooled["video"]["auc"], 6 * 13
    assert pooled["video"]["auc_excluded_as_chance"] == pytest.approx((auc * 60 + 0.5 * (pairs - 60)) / pairs)
    assert pooled["clip"]["auc_excluded_as_chance"] is None
    face2face = next(r for r in result["results"] if r["test"]["methods"] == ["Face2Face"])
    assert face2face["listed"]["excluded"] == {"real": 1, "fake": 0} and face2face["listed"]["official"] == 16


def test_no_figure_is_invented_where_a_class_is_missing(tmp_path):
    records = {"a": FakeRecords("a", methods=("Deepfakes",))}
    records["a"].rows = [r for r in records["a"].rows if r["split"] != "val" or r["label"] == 0]
    result, _ = evaluated(tmp_path, records, FakeScorer(wave=False), protocols=("in_dataset",))
    alone = next(r for r in result["results"] if r["test"]["methods"] == ["Face2Face"])
    assert alone["note"] == "no clips of: Face2Face" and "pulse" not in alone
    for of in ("clip", "video"):
        assert alone[of]["auc"] is None and alone[of]["auc_ci95"] is None and alone[of]["acc"] is None
        assert "no fake clips" in alone[of]["note"] and "no threshold" in alone[of]["note"]
    assert alone["threshold"]["clip"] is None and "no fake clips" in alone["threshold"]["note"]


def test_a_missing_compression_names_those_that_are_stored(tmp_path):
    with pytest.raises(UserError, match="'a' hold no test clips at compression 'c40', only at: c23, raw") as caught:
        evaluated(tmp_path, {"a": FakeRecords("a")}, protocols=("cross_compression",))
    assert "\n" not in str(caught.value)


def test_an_identity_in_two_splits_is_refused_before_anything_is_scored(tmp_path):
    records = FakeRecords("a", splits={"train": range(0, 2), "val": range(2, 4), "test": range(3, 8)})
    with pytest.raises(UserError, match="identity '00[23]' is in the splits test, val"):
        evaluated(tmp_path, {"a": records}, protocols=("in_dataset",))
    assert records.reads == [] and os.listdir(tmp_path) == []


def test_a_face_of_the_training_run_is_refused_whatever_todays_splits_say(tmp_path):
    records = {"a": FakeRecords("a")}
    seen = {"dataset": "a", "identities": ["000", "007"], "records": {}}
    with pytest.raises(UserError, match="'007' is tested here, and the checkpoint was trained on it"):
        evaluated(tmp_path, records, protocols=("in_dataset",), trained_on=seen)
    assert records["a"].reads == [] and os.listdir(tmp_path) == []
    # Another data set's person of the same name is another person.
    evaluated(tmp_path, protocols=("cross_dataset",), trained_on=seen | {"identities": ["000", "001"]})


def test_merged_video_keys_are_refused(tmp_path):
    records = FakeRecords("a")
    for row in records.rows:  # grouped by the folder's name alone, as public code does
        row["video_key"] = row["video"]
    with pytest.raises(UserError, match="carries the video key '000' instead of 'a/real/raw/000'"):
        evaluated(tmp_path, {"a": records}, protocols=("in_dataset",))
    assert records.reads == []


def test_a_checkpoint_that_validation_did_not_choose_is_labelled(tmp_path):
    scorer, out = FakeScorer(), io.StringIO()
    scorer.selection = "oracle: step 7 was named by hand"
    result, _ = evaluated(tmp_path, scorer=scorer, out=out)
    assert result["checkpoint"]["selection"].startswith("oracle") and "oracle" in out.getvalue()


def test_conditions_are_named_in_the_lines_and_keep_their_arrays_out(tmp_path):
    made = FakeRecords("a.compression_curve", ("raw", "h264-crf28", "av1-crf50"), splits={"test": range(6, 12)})
    for row in made.rows:
        row["source_bitrate"] = {"raw": 9e5, "h264-crf28": 3e4, "av1-crf50": 1e4}[row["compression"]]
    records = {"a": FakeRecords("a"), "a.compression_curve": made}
    tests = make_tests(
        TRAINING, protocols=("in_dataset", "compression_curve"), compressions=(), cross_datasets=(),
        cross_compression=C23, methods={"a": TWO},
        conditions={"a.compression_curve": ("raw", "h264-crf28", "av1-crf50")},
    )  # fmt: skip
    result, _ = evaluated(tmp_path, records, tests=tests)
    curve = [r for r in result["results"] if r["protocol"] == "compression_curve"]
    assert [r["condition"] for r in curve] == [
        {"kind": "original", "bitrate_bps": 9e5},
        {"kind": "codec", "codec": "h264", "crf": 28, "bitrate_bps": 3e4},
        {"kind": "codec", "codec": "av1", "crf": 50, "bitrate_bps": 1e4},
    ]
    assert {r["test"]["dataset"] for r in curve} == {"a"} and curve[0]["clip"]["n_real"] == 12
    assert all(r["condition"] is None for r in result["results"] if r["protocol"] == "in_dataset")
    assert not [name for name in np.load(tmp_path / "features.npz")["clip_id"] if "curve" in name]


def test_a_score_that_is_not_finite_names_the_clip_and_keeps_the_old_files(tmp_path):
    (tmp_path / "evaluation.json").write_text("old")
    with pytest.raises(UserError, match="score of clip a/.* is nan"):
        evaluated(tmp_path, scorer=FakeScorer(broken=True))
    assert os.listdir(tmp_path) == ["evaluation.json"] and (tmp_path / "evaluation.json").read_text() == "old"


def test_other_hosts_write_and_print_nothing(tmp_path):
    out = io.StringIO()
    evaluated(tmp_path, write=False, out=out)
    assert os.listdir(tmp_path) == [] and out.getvalue() == ""


def run_config(**changes):
    config = base.get_config()
    config.data.sources.a = base.source("ffpp", "x", methods=TWO)
    config.data.sources.b = base.source("ffpp", "x", methods=TWO)
    config.data.num_frames = FRAMES
    config.model.rppg.update(dict(frame_size=SIZE, stem=(4, 8), patch=(4, 2, 2)))  # a model that exists at this size
    config.train.update(dict(dataset="a", compressions=("raw", "c23"), methods=TWO))
    config.eval.update(dict(protocols=PROTOCOLS, cross_datasets=("b",), diagnostics=False) | changes)
    return config


def test_run_goes_from_a_configuration_to_the_files(tmp_path, monkeypatch):
    made = {"a": FakeRecords("a", ("raw", "c23", "c40")), "b": FakeRecords("b", ("c23",), splits={"test": range(4)})}
    monkeypatch.setattr("cpml_jax.evaluation.scoring.restore_for_scoring", lambda workdir, config, which: FakeScorer())
    monkeypatch.setattr(evaluate, "RecordSet", lambda directory: made[directory.name])
    config = run_config()
    result = evaluate.run(config, tmp_path)
    assert len(result["results"]) == 6 + 3 + 1 and (tmp_path / "scores.jsonl").is_file()
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written["config"] == json.loads(json.dumps(config.to_dict()))  # what chain.evaluation_is_current compares
    assert written["results"][0]["sampler"]["fps"] == 30
    with pytest.raises(UserError, match="eval.cross_datasets has 'c', which is not in data.sources: a, b"):
        evaluate.run(run_config(cross_datasets=("c",)), tmp_path)
    with pytest.raises(UserError, match="train.dataset"):
        config.train.dataset = "aa"
        evaluate.run(config, tmp_path)
