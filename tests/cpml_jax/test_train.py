"""The trainer on records of noise: it runs, it learns nothing, and it can be killed at any moment."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny

from cpml_jax import evaluate, train
from cpml_jax.data import records
from cpml_jax.errors import UserError
from cpml_jax.evaluation import provenance, scoring
from cpml_jax.metrics.pair_loss import pair_loss
from cpml_jax.training import checkpoint, run_files, sharding, steps

TESTS = Path(__file__).resolve().parent.parent


class Reached(Exception):
    """Training has come as far as a test wants it."""


def digest(state) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def same_to_the_bit(a, b) -> None:
    for x, y in zip(digest(a), digest(b), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.fixture(scope="module")
def uninterrupted(tiny_records, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    return workdir, train.train(tiny.training_config(tiny_records), workdir)


def test_a_run_leaves_journal_checkpoints_and_a_score(uninterrupted, tiny_records):
    workdir, state = uninterrupted
    assert int(state.step) == 6
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows if r["kind"] == "train"] == [1, 2, 3, 4, 5, 6]
    validated = [r for r in rows if r["kind"] == "val"]
    assert [r["step"] for r in validated] == [3, 6] and {"pair_loss", "auc", "cross_entropy"} <= validated[0].keys()
    best = min(validated, key=lambda r: r["pair_loss"])["step"]
    assert checkpoint.Checkpoints(workdir).best_step() == best
    assert {"loss", "ce", "pull", "push", "rate", "align", "repel", "steady", "teacher"} <= rows[0].keys()
    scorer = scoring.restore_for_scoring(workdir, tiny.training_config(tiny_records), "latest")
    assert scorer.step == 6 and scorer.selection == "latest"
    assert scorer.parameters_sha256 == provenance.parameters_sha256(jax.device_get(state.variables))
    seen = run_files.read_training_data(workdir)  # whom no evaluation may test
    assert seen["dataset"] == "faces" and seen["identities"] == ["000", "001", "002", "003"]
    assert seen["records"]["clips"] == 48 and len(seen["records"]["sha256"]) == 64
    batch = tiny.random_batch(rows=3, views=1)
    drawn = scorer.saliency(batch)
    assert drawn.shape == (3, tiny.FRAME_SIZE, tiny.FRAME_SIZE) and (drawn >= 0).all() and drawn.any(axis=(1, 2)).all()
    np.testing.assert_allclose(np.linalg.norm(scorer.class_embeddings, axis=1), 1.0, atol=1e-5)


def test_started_again_when_finished_it_does_nothing(uninterrupted, tiny_records):
    workdir, state = uninterrupted
    before = (workdir / "metrics.jsonl").read_bytes()
    same_to_the_bit(train.train(tiny.training_config(tiny_records), workdir), state)
    assert (workdir / "metrics.jsonl").read_bytes() == before


def test_killed_twice_and_started_again_it_ends_with_the_same_bits(uninterrupted, tiny_records, tmp_path):
    """SIGKILL before a checkpoint and after one, then the same command: parameters, moments and data alike.

    However many threads read, and whether clips are kept decoded or not.
    """
    reading = {"data.read_threads": 5, "data.decoded": "{workdir}/decoded"}
    arguments = f"tiny.training_config({str(tiny_records)!r}, **{reading}), {str(tmp_path)!r}"
    code = f"import tiny; from cpml_jax import train; train.train({arguments})"
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    journal = tmp_path / "metrics.jsonl"
    for lines in (2, 5):
        with open(tmp_path / "said.txt", "w") as said:
            process = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=said)
        while process.poll() is None and not (journal.is_file() and journal.read_text().count("\n") >= lines):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, (tmp_path / "said.txt").read_text()[-2000:]
    assert checkpoint.Checkpoints(tmp_path).latest_step() < 6
    assert list(tmp_path.glob("decoded/faces-*/*"))
    same_to_the_bit(train.train(tiny.training_config(tiny_records), tmp_path), uninterrupted[1])
    steps = [json.loads(line)["step"] for line in journal.read_text().splitlines() if '"train"' in line]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_a_loss_that_is_not_finite_stops_with_one_line_and_keeps_what_was_saved(tiny_records, tmp_path, monkeypatch):
    put, steps = sharding.put_local_batch, itertools.count(1)

    def spoiled(batch, mesh):
        broken = np.nan if next(steps) == 4 else 0.0
        return put(batch | {"landmarks": batch["landmarks"] + np.float32(broken)}, mesh)

    monkeypatch.setattr(sharding, "put_local_batch", spoiled)
    with pytest.raises(UserError, match="not finite at step 4 "):
        train.train(tiny.training_config(tiny_records), tmp_path)
    assert checkpoint.Checkpoints(tmp_path).latest_step() == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.compressions": ("raw", "c40")}, "c40"),
        ({"train.methods": ("NeuralTextures",)}, "leaves out of preparation"),
        ({"train.methods": ("NeuralTextures",), "data.sources.faces.methods": ()}, "both classes"),
        ({"train.batch_size": 7}, "even"),
        ({"train.devices": 3}, "multiple of the 3 devices"),
        ({"train.views": "upsampled"}, "train.views"),
        ({"data.num_frames": 32}, "records hold 16 frames"),
        ({"optim.groups": (("nothing", 0.0),)}, "matches no parameter"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(tiny_records, tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as error:
        train.train(tiny.training_config(tiny_records, **changes), tmp_path)
    assert "\n" not in str(error.value)


def test_a_checkpoint_of_another_configuration_is_refused(uninterrupted, tiny_records):
    workdir, _ = uninterrupted
    with pytest.raises(UserError, match="optim.learning_rate was"):
        train.train(tiny.training_config(tiny_records, **{"optim.learning_rate": 0.5}), workdir)
    with pytest.raises(UserError, match="model.rppg.dim was"):
        scoring.restore_for_scoring(workdir, tiny.training_config(tiny_records, **{"model.rppg.dim": 12}), "latest")


def test_evaluation_of_the_run(uninterrupted, tiny_records):
    workdir, _ = uninterrupted
    evaluate.run(tiny.training_config(tiny_records), workdir)
    written = json.loads((workdir / "evaluation.json").read_text())
    assert {"schema", "config", "checkpoint", "results", "excluded"} <= written.keys()
    assert {r["protocol"] for r in written["results"]} == {"in_dataset", "cross_compression"}
    assert len(written["checkpoint"]["parameters_sha256"]) == 64
    for result in written["results"]:
        for unit in ("clip", "video"):
            assert {"n_real", "n_fake", "auc", "auc_ci95", "ap", "eer", "acc"} <= result[unit].keys()
    assert len((workdir / "scores.jsonl").read_text().splitlines()) >= 2 * 3 * 2


def test_validation_is_by_the_rule_of_evaluation_and_its_cross_entropy_is_of_clips():
    """Two windows a video. Old code ranked clips, each by itself, and saturated at 1e-7."""
    clips = [{"clip_id": f"{v}/{w}", "video_key": v, "label": int(v > "b")} for v in "abcd" for w in (0, 1)]
    margins = np.array([-9.0, 3.0, -5.0, -5.0, 8.0, -2.0, 60.0, 60.0])
    figures = train.validation_figures(clips, margins)
    assert figures["auc"] == 1.0  # videos: -3, -5, 3, 60; a clip of c is below one of a
    assert figures["pair_loss"] == pair_loss([0, 0, 1, 1], [-3.0, -5.0, 3.0, 60.0])
    signed = margins * np.repeat([-1, -1, 1, 1], 2)
    assert figures["cross_entropy"] == pytest.approx(np.log1p(np.exp(-signed)).mean())
    assert train.validation_figures(clips[:4], margins[:4]) is None
    with pytest.raises(UserError, match="score of clip a/1 is nan"):
        train.validation_figures(clips, np.where(margins == 3.0, np.nan, margins))


def test_what_the_other_runs_leave_out_takes_its_steps_too(tiny_records, tmp_path):
    changes = {
        "train.steps": 2, "train.views": "downsampled", "train.compressions": ("raw",), "optim.accumulate": 2,
        "model.modalities": ("rppg", "landmarks", "visual"), "train.precision": "bfloat16",
        "model.visual.contrast": 4,
    }  # fmt: skip
    state = train.train(tiny.training_config(tiny_records, **changes), tmp_path)
    assert int(state.step) == 2
    assert all(np.isfinite(leaf).all() for leaf in digest(state.params))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    # Both steps are of one update, the first of the schedule; old code gave the second a rate of 0.
    assert [row["learning_rate"] for row in rows if row["kind"] == "train"] == pytest.approx([1e-3, 1e-3])


def test_going_on_with_other_records_is_refused(uninterrupted, tiny_records):
    workdir, _ = uninterrupted
    kept = run_files.read_training_data(workdir)
    others = kept["records"] | {"sha256": "f" * 64}
    try:
        with run_files.renewed(workdir):
            run_files.write_training_data(workdir, kept["dataset"], {"somebody"}, others)
        with pytest.raises(UserError, match="trained on other records"):
            train.train(tiny.training_config(tiny_records), workdir)
        assert run_files.read_training_data(workdir)["identities"] == ["somebody"], "whom it saw was forgotten"
    finally:
        with run_files.renewed(workdir):
            run_files.write_training_data(workdir, kept["dataset"], set(kept["identities"]), kept["records"])


def test_matched_pairs_without_targets_are_refused_before_anything_is_built(copied_records, tmp_path, monkeypatch):
    """Not trained with a push of 0: the fakes of these records do not name whom they were made from."""

    def reached(_):
        raise Reached

    monkeypatch.setattr(sharding, "make_mesh", reached)
    index = copied_records.directory / "clips.jsonl"
    rows = [json.loads(line) | {"target_video": ""} for line in index.read_text().splitlines()]
    index.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (copied_records.directory / records.SUMS).unlink()
    config = tiny.training_config(copied_records.directory.parent)
    with pytest.raises(UserError, match="none of the 8 fakes .* set loss.push_pairs='all'"):
        train.train(config, tmp_path)
    for changes in ({"loss.push_pairs": "all"}, {"loss.cqsl": 0.0}, {"loss.cqsl_push": 0.0}):
        with pytest.raises(Reached):
            train.train(tiny.training_config(copied_records.directory.parent, **changes), tmp_path)


@pytest.fixture
def unmade(monkeypatch):
    """A run whose parameters have shapes and are never made, up to the step that they would be trained with."""
    kept = {}

    def shapes_alone(*arguments):
        transformation, rate, abstract, _ = prepare_state(*arguments)
        return transformation, rate, abstract, lambda: kept.setdefault("abstract", abstract)

    def step(*_, **settings):
        kept["settings"] = settings
        raise Reached

    prepare_state = train.prepare_state
    monkeypatch.setattr(train, "prepare_state", shapes_alone)
    monkeypatch.setattr(train, "with_weights", lambda state, *_: state)
    monkeypatch.setattr(steps, "make_train_step", step)
    return kept


def test_a_new_run_says_once_what_stands_in_for_absent_weights(unmade, tiny_records, tmp_path, capsys):
    with pytest.raises(Reached):
        train.train(tiny.training_config(tiny_records), tmp_path)
    (line,) = [row for row in capsys.readouterr().err.splitlines() if "no PhysFormer weights" in row]
    assert "no CLIP weights" in line and "no LRNet weights" in line


def test_the_step_knows_what_is_frozen(unmade, tiny_records, tmp_path):
    """Of a head on frozen landmarks nothing is propagated back into them (training/test_steps.py)."""
    changes = {"model.modalities": ("landmarks",), "optim.groups": (("landmarks/", 0.0),)}
    with pytest.raises(Reached):
        train.train(tiny.training_config(tiny_records, **changes), tmp_path)
    trained = unmade["settings"]["trained"]
    assert jax.tree.structure(trained) == jax.tree.structure(unmade["abstract"].params)
    assert not any(jax.tree.leaves(trained["landmarks"])) and all(jax.tree.leaves(trained["fusion"]))
