"""Evaluation: scores of every clip once, then every test of the configuration -> evaluation.json and a table.

Two levels are always given. Clip: one score a clip. Video: the mean of the scores of a video's clips.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cpml_jax import conditions
from cpml_jax.console import inform
from cpml_jax.data.input_pipeline import sampler_description
from cpml_jax.data.records import RecordSet, records_dir
from cpml_jax.errors import UserError
from cpml_jax.evaluation import protocols, provenance, results_file
from cpml_jax.evaluation.clip_scores import ClipScores, score_clips
from cpml_jax.evaluation.protocols import Test, Training
from cpml_jax.evaluation.results_file import RESULTS, SCHEMA, SCORES
from cpml_jax.evaluation.table import table
from cpml_jax.files import finite
from cpml_jax.metrics import calibration, detection, pulse_waves, summary
from cpml_jax.training import run_files


def run(config, workdir, names: tuple[str, ...] = ()) -> dict:
    """Evaluate a run's checkpoint (eval.checkpoint) with the tests of its configuration.

    Args:
      names: protocols to evaluate in place of eval.protocols; results of others, of the same checkpoint and records,
        stay in evaluation.json.

    Returns:
      What evaluation.json holds.

    Raises:
      UserError: no checkpoint or one of another configuration, no records, or a test that they cannot serve.
    """
    import jax

    from cpml_jax.evaluation import scoring  # the model and its packages: not needed by those who only read results
    from cpml_jax.validation import validate

    validate(config, "evaluate", names)
    scorer = scoring.restore_for_scoring(workdir, config, config.eval.checkpoint)
    names = tuple(names or config.eval.protocols)
    training = protocols.training_of(config)
    others = tuple(config.eval.cross_datasets) if "cross_dataset" in names else ()
    known = {name: tuple(source.methods) for name, source in config.data.sources.items()}
    variants = tuple(protocols.variants_of(training.dataset, name) for name in names if name in protocols.VARIANTS)
    wanted = [name for name in dict.fromkeys((training.dataset, *others)) if name in known]
    record_sets = {name: RecordSet(records_dir(config, workdir, name)) for name in (*wanted, *variants)}
    tests = protocols.make_tests(
        training,
        protocols=names,
        compressions=config.eval.compressions,
        cross_datasets=others,
        cross_compression=protocols.cross_compressions(
            config.eval.cross_compression,
            others,
            {name: protocols.test_compressions(found.rows) for name, found in record_sets.items()},
        ),
        methods=known | {name: protocols.test_methods(found.rows) for name, found in record_sets.items()},
        variants={name: protocols.test_compressions(record_sets[name].rows) for name in variants},
    )
    return evaluate(
        scorer,
        record_sets,
        workdir=workdir,
        config_json=config.to_dict(),
        training=training,
        tests=tests,
        sampler=sampler_description(config.data.num_frames, config.data.max_windows),
        num_frames=config.data.num_frames,
        frame_size=config.model.rppg.frame_size,
        batch_size=config.eval.batch_size,
        bootstrap=config.eval.bootstrap,
        seed=config.seed,
        trained_on=run_files.read_training_data(workdir),
        write=jax.process_index() == 0,  # every host scores, one writes
    )


def evaluate(
    scorer,
    record_sets: Mapping[str, RecordSet],
    *,
    workdir,
    config_json: dict,
    training: Training,
    tests: list[Test],
    sampler: dict,
    num_frames: int,
    frame_size: int,
    batch_size: int,
    bootstrap: int,
    seed: int = 0,
    trained_on: dict | None = None,
    write: bool = True,
    out=None,
) -> dict:
    """Score, measure, write the files of evaluation_file.py, print the table.

    Args:
      scorer: has .step, .selection, .class_embeddings and .score(batch) (scoring.Scorer).
      record_sets: by name; holds the training data set and every data set of `tests`.
      config_json: written as it is under "config".
      training: what was trained on; its validation clips choose the thresholds.
      tests: protocols.make_tests.
      sampler: which frames of a video were seen; written into every result.
      num_frames, frame_size, batch_size: of the model's input.
      bootstrap: resamples of the intervals.
      trained_on: whom the checkpoint saw in training (run_files.read_training_data), if that is known.
      write: False on all but one of several hosts.
      out: where the table goes; standard output if None.

    Returns:
      What evaluation.json holds.

    Raises:
      UserError: a leak (an identity in two splits, or trained on and tested; videos whose keys are merged), the records
        lack a compression, or a score is not finite.
    """
    home = record_sets[training.dataset]
    for name, records in record_sets.items():
        protocols.check_no_leak(records.rows, f"records of {name!r}")
        protocols.check_video_keys(records.rows, f"records of {name!r}")
    for test in tests:
        _check_compression(test, record_sets[test.dataset].rows)
    chosen = [protocols.select(record_sets[test.dataset].rows, test) for test in tests]
    for test, rows in zip(tests, chosen, strict=True):
        protocols.check_not_trained_on(rows, trained_on, f"records of {test.dataset!r}")
    validation = protocols.validation_rows(home.rows, training)

    excluded = [row for records in record_sets.values() for row in records.excluded]
    scores = ClipScores()
    for name, records in record_sets.items():
        rows = list(validation) if name == training.dataset else []
        rows += [row for test, found in zip(tests, chosen, strict=True) if test.dataset == name for row in found]
        rows = list({row["clip_id"]: row for row in rows}.values())  # a clip of several tests is scored once
        found = score_clips(
            scorer, records, rows, num_frames=num_frames, frame_size=frame_size, batch_size=batch_size,
            excluded=excluded,
        )  # fmt: skip
        if protocols.is_variants(name):
            for line in found.lines.values():
                line["condition"] = line["compression"]
        scores.lines |= found.lines
        # Arrays of thousands of re-encodings would make the file too large for what the report shows of them.
        scores.arrays |= found.arrays if not protocols.is_variants(name) else {}

    measured = scores.of(validation)
    thresholds = _thresholds(measured)
    temperature, note = calibration.fit_temperature(
        [line["label"] for line in measured], [line["logit_margin"] for line in measured]
    )
    results = [
        _result(test, rows, scores.of(rows), thresholds, temperature, sampler, bootstrap, seed)
        for test, rows in zip(tests, chosen, strict=True)
    ]
    report = finite(
        {
            "schema": SCHEMA,
            "config": config_json,
            "checkpoint": {"step": scorer.step, "selection": scorer.selection},
            "provenance": provenance.provenance(record_sets),
            "calibration": {"temperature": temperature} | ({"note": note} if note else {}),
            "results": results,
            "pulse_across_compressions": _pulse_across(scores),
            "excluded": excluded,
        }
    )
    if write:
        report = results_file.write(workdir, report, scores, scorer.class_embeddings)
        print(table(report), file=out or sys.stdout, flush=True)
        inform(f"written: {Path(workdir) / RESULTS} and {Path(workdir) / SCORES}")
    return report


def _check_compression(test: Test, available: list[dict]) -> None:
    there = sorted({r["compression"] for r in available if r["split"] == "test"})
    if test.compression in there:
        return
    raise UserError(
        f"{test.protocol}: the records of {test.dataset!r} hold no test clips at compression {test.compression!r}; "
        f"there: {', '.join(there) or 'none'}. Add it to data.sources.{test.dataset}.compressions and prepare, or "
        "leave it out of the tests"
    )


def _thresholds(lines: list[dict]) -> dict:
    """Thresholds of both levels from the scores of the validation clips."""
    videos, means = detection.video_level(lines, [line["p_fake"] for line in lines])
    found = {
        "clip": detection.best_threshold([line["label"] for line in lines], [line["p_fake"] for line in lines]),
        "video": detection.best_threshold([video["label"] for video in videos], means),
        "rule": detection.THRESHOLD_RULE,
    }
    reason = detection.undefined_reason([line["label"] for line in lines])
    return found | ({"note": f"validation split: {reason}"} if reason else {})


def _result(
    test: Test,
    rows: list[dict],
    lines: list[dict],
    thresholds: dict,
    temperature: float | None,
    sampler: dict,
    bootstrap: int,
    seed: int,
) -> dict:
    """One entry of evaluation.json's results."""
    train = {"dataset": test.train.dataset, "compressions": test.train.compressions, "methods": test.train.methods}
    videos, means = detection.video_level(lines, [line["p_fake"] for line in lines])
    certain = calibration.calibrated([line["logit_margin"] for line in lines], temperature)

    def level(name: str, rows: list[dict], scores, probabilities) -> dict:
        # A clip of an unknown identity stands for itself.
        groups = [row["identity"] or row["video_key"] for row in rows]
        labels = [row["label"] for row in rows]
        return summary.level(
            labels, scores, groups, threshold=thresholds[name], resamples=bootstrap, probabilities=probabilities,
            seed=seed,
        )  # fmt: skip

    result = {
        "protocol": test.protocol,
        "train": train,
        "test": {"dataset": protocols.home_of(test.dataset), "compression": test.compression, "methods": test.methods},
        "condition": _condition(test, rows),
        "sampler": sampler,
        "aggregation": "video: mean of the video's clip scores",
        "threshold": thresholds,
        "clip": level("clip", lines, [line["p_fake"] for line in lines], certain),
        "video": level("video", videos, means, detection.video_level(lines, certain)[1]),
    }
    if any("heart_rate_bpm" in line for line in lines):
        result["pulse"] = pulse_waves.summary(lines)
    missing = sorted(set(test.methods) - {line["method"] for line in lines})
    return result | ({"note": f"no clips of: {', '.join(missing)}"} if missing else {})


def _condition(test: Test, rows: list[dict]) -> dict | None:
    """What was done to the videos (conditions.py), with the mean bitrate where that is what was varied."""
    condition = conditions.parse(test.compression)
    if isinstance(condition, conditions.Corruption):
        return condition.describe()
    if condition is None and not protocols.is_variants(test.dataset):
        return None
    rates = [row["source_bitrate"] for row in rows if row.get("source_bitrate")]
    described = {"kind": "original"} if condition is None else condition.describe()
    return described | {"bitrate_bps": float(np.mean(rates)) if rates else None}


def _pulse_across(scores: ClipScores) -> list[dict]:
    """pulse_figures.similarity_across of the test clips; empty without the rPPG stream."""
    lines = [line for name, line in scores.lines.items() if line["split"] == "test" and name in scores.arrays]
    waves = scores.waves(lines)
    return [] if waves is None else pulse_waves.similarity_across(lines, waves)
