"""Evaluation: scores of every clip once, then every test of the configuration -> evaluation.json and a table.

Two levels are always given. Clip: one score a clip. Video: the mean of the scores of a video's clips.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cpml_jax import metrics, protocols, signal
from cpml_jax.errors import UserError
from cpml_jax.input_pipeline import eval_batches, sampler_description
from cpml_jax.journal import say
from cpml_jax.protocols import Test, Training
from cpml_jax.records import RecordSet, records_dir
from cpml_jax.files import finite, write_json, write_json_lines
from cpml_jax.schema import FAKE, FRAME_RATE, REAL
from cpml_jax.table import table

SCHEMA = "cpml-evaluation/1.0.0"
RESULTS, SCORES = "evaluation.json", "scores.jsonl"
# Keys of the index that a line of scores.jsonl repeats.
_ROW_KEYS = (
    "clip_id", "video_key", "dataset", "method", "compression", "split", "video", "window", "identity",
    "source_identity", "label",
)  # fmt: skip


def run(config, workdir) -> dict:
    """Evaluate a run's checkpoint (eval.checkpoint) with the tests of its configuration.

    Returns:
      What evaluation.json holds.

    Raises:
      UserError: no checkpoint or one of another configuration, no records, or a test that they cannot serve.
    """
    import jax

    from cpml_jax import scoring  # the model and its packages: not needed by those who only read results

    scorer = scoring.restore_for_scoring(workdir, config, config.eval.checkpoint)
    training = Training(config.train.dataset, tuple(config.train.qualities), tuple(config.train.methods))
    others = tuple(config.eval.cross_datasets) if "cross_dataset" in config.eval.protocols else ()
    known = {name: tuple(source.methods) for name, source in config.data.sources.items()}
    if training.dataset not in known:
        raise UserError(f"train.dataset={training.dataset!r} is not in data.sources; there are: {', '.join(known)}")
    wanted = [name for name in dict.fromkeys((training.dataset, *others)) if name in known]
    record_sets = {name: RecordSet(records_dir(config, workdir, name)) for name in wanted}
    tests = protocols.make_tests(
        training,
        protocols=config.eval.protocols,
        qualities=config.eval.qualities,
        cross_datasets=others,
        cross_quality=config.eval.cross_quality,
        methods=known | {name: protocols.test_methods(found.rows) for name, found in record_sets.items()},
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
        frame_size=config.model.physformer.frame_size,
        batch_size=config.eval.batch_size,
        bootstrap=config.eval.bootstrap,
        seed=config.seed,
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
    write: bool = True,
    out=None,
) -> dict:
    """Score, measure, write <workdir>/scores.jsonl and <workdir>/evaluation.json, print the table.

    Args:
      scorer: has .step and .score(batch) (scoring.Scorer).
      record_sets: by name; holds the training data set and every data set of `tests`.
      config_json: written as it is under "config".
      training: what was trained on; its validation clips choose the thresholds.
      tests: protocols.make_tests.
      sampler: which frames of a video were seen; written into every result.
      num_frames, frame_size, batch_size: of the model's input.
      bootstrap: resamples of the intervals.
      write: False on all but one of several hosts.
      out: where the table goes; standard output if None.

    Returns:
      What evaluation.json holds.

    Raises:
      UserError: an identity is in two splits, the records lack a quality, or a score is not finite.
    """
    home = record_sets[training.dataset]
    protocols.check_no_leak(home.rows, f"records of {training.dataset!r}")
    for test in tests:
        _check_quality(test, record_sets[test.dataset].rows)
    chosen = [protocols.select(record_sets[test.dataset].rows, test) for test in tests]
    validation = protocols.validation_rows(home.rows, training)

    excluded = [row for records in record_sets.values() for row in records.excluded]
    lines: dict[str, dict] = {}
    for name, records in record_sets.items():
        rows = list(validation) if name == training.dataset else []
        rows += [row for test, found in zip(tests, chosen, strict=True) if test.dataset == name for row in found]
        rows = list({row["clip_id"]: row for row in rows}.values())  # a clip of several tests is scored once
        lines |= score_clips(
            scorer, records, rows, num_frames=num_frames, frame_size=frame_size, batch_size=batch_size,
            excluded=excluded,
        )  # fmt: skip

    thresholds = _thresholds([lines[r["clip_id"]] for r in validation if r["clip_id"] in lines])
    results = [
        _result(
            test, [lines[r["clip_id"]] for r in rows if r["clip_id"] in lines], thresholds, sampler, bootstrap, seed
        )
        for test, rows in zip(tests, chosen, strict=True)
    ]
    report = finite(
        {
            "schema": SCHEMA,
            "config": config_json,
            "checkpoint": {"step": scorer.step},
            "results": results,
            "excluded": excluded,
        }
    )
    if write:
        workdir = Path(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        write_json_lines(workdir / SCORES, lines.values())
        write_json(workdir / RESULTS, report)
        print(table(report), file=out or sys.stdout, flush=True)
        say(f"written: {workdir / RESULTS} and {workdir / SCORES}")
    return report


def _check_quality(test: Test, available: list[dict]) -> None:
    there = sorted({r["compression"] for r in available if r["split"] == "test"})
    if test.quality in there:
        return
    raise UserError(
        f"{test.protocol}: the records of {test.dataset!r} hold no test clips at quality {test.quality!r}; there: "
        f"{', '.join(there) or 'none'}. Add it to data.sources.{test.dataset}.compressions and prepare, or leave it "
        "out of the tests"
    )


class _KeepTruth:
    """A record set that remembers the true pulse waves of the clips it read: no part of a batch, and read only once."""

    def __init__(self, records):
        self._records, self.truth = records, {}
        self.directory = records.directory

    def read(self, row: dict, frame_size: int) -> dict:
        record = self._records.read(row, frame_size)
        if "pulse_truth" in record:
            self.truth[row["clip_id"]] = np.asarray(record["pulse_truth"], np.float32)
        return record


def score_clips(
    scorer, records, rows: list[dict], *, num_frames: int, frame_size: int, batch_size: int, excluded: list[dict]
) -> dict[str, dict]:
    """clip_id -> its line of scores.jsonl, for every clip that can be read; the others are added to `excluded`.

    Raises:
      UserError: a score is not finite; the clip is named.
    """
    keeping = _KeepTruth(records)
    batches = eval_batches(
        keeping, rows, num_frames=num_frames, frame_size=frame_size, batch_size=batch_size, excluded=excluded
    )
    lines: dict[str, dict] = {}
    with tqdm(total=len(rows), desc=f"scoring {records.name}", unit="clip", file=sys.stderr, disable=not rows) as bar:
        for batch_rows, batch in batches:
            scores = scorer.score(batch)
            p_fake = p_fake_of(scores)[: len(batch_rows)]
            metrics.check_scores([r["label"] for r in batch_rows], p_fake, [r["clip_id"] for r in batch_rows])
            truth = [keeping.truth.pop(row["clip_id"], None) for row in batch_rows]
            pulse = _pulse_figures(scores.get("wave"), batch["pulse"], truth, len(batch_rows))
            for row, probability, figures in zip(batch_rows, p_fake, pulse, strict=True):
                line = {key: row[key] for key in _ROW_KEYS} | {"p_fake": float(probability)} | figures
                if figures:
                    line |= {
                        "heart_rate_pos_bpm": row.get("heart_rate_pos"),
                        "heart_rate_truth_bpm": row.get("heart_rate_truth"),
                    }
                lines[row["clip_id"]] = line
            bar.update(len(batch_rows))
    return lines


def p_fake_of(scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """P(fake) (B,) float64 of a scorer's answer."""
    return metrics.p_fake(scores["logits"]) if "logits" in scores else np.asarray(scores["p_fake"], np.float64)


def _pulse_figures(wave, trace: np.ndarray, truth: list[np.ndarray | None], count: int) -> list[dict]:
    """What the model's pulse waves (B, T) say, a dict a clip; empty dicts without the rPPG stream.

    Args:
      wave: (B, T) float32, or None.
      trace: (B, T) classical trace; NaN where it could not be measured.
      truth: of the first `count` clips: (>= T,), NaN or None where unknown.
    """
    if wave is None:
        return [{} for _ in range(count)]
    wave, trace = np.asarray(wave, np.float32), np.asarray(trace, np.float32)
    true = np.full_like(wave, np.nan)  # of the batch's shape, padding too: one compilation
    for index, known in enumerate(truth):
        if known is not None:
            true[index] = known[: wave.shape[1]]
    rates = np.asarray(signal.heart_rate(wave, FRAME_RATE))

    def correlation(other: np.ndarray) -> list[float | None]:
        rho = np.asarray(signal.pearson(wave, np.nan_to_num(other)))
        return [float(r) if known else None for r, known in zip(rho, np.isfinite(other).all(1), strict=True)]

    columns = (rates.tolist(), correlation(trace), correlation(true))
    keys = ("heart_rate_bpm", "pulse_correlation_pos", "pulse_correlation_truth")
    return [dict(zip(keys, values, strict=True)) for values in zip(*columns, strict=True)][:count]


def _thresholds(lines: list[dict]) -> dict:
    """Thresholds of both levels from the scores of the validation clips."""
    videos, means = metrics.video_level(lines, [line["p_fake"] for line in lines])
    found = {
        "clip": metrics.best_threshold([line["label"] for line in lines], [line["p_fake"] for line in lines]),
        "video": metrics.best_threshold([video["label"] for video in videos], means),
        "rule": metrics.THRESHOLD_RULE,
    }
    reason = metrics.undefined_reason([line["label"] for line in lines])
    return found | ({"note": f"validation split: {reason}"} if reason else {})


def _result(test: Test, lines: list[dict], thresholds: dict, sampler: dict, bootstrap: int, seed: int) -> dict:
    """One entry of evaluation.json's results."""
    train = {"dataset": test.train.dataset, "qualities": test.train.qualities, "methods": test.train.methods}
    videos, means = metrics.video_level(lines, [line["p_fake"] for line in lines])

    def level(name: str, rows: list[dict], scores) -> dict:
        # A clip of an unknown identity stands for itself.
        groups = [row["identity"] or row["video_key"] for row in rows]
        labels = [row["label"] for row in rows]
        return metrics.summary(labels, scores, groups, threshold=thresholds[name], resamples=bootstrap, seed=seed)

    result = {
        "protocol": test.protocol,
        "train": train,
        "test": {"dataset": test.dataset, "quality": test.quality, "methods": test.methods},
        "sampler": sampler,
        "aggregation": "video: mean of the video's clip scores",
        "threshold": thresholds,
        "clip": level("clip", lines, [line["p_fake"] for line in lines]),
        "video": level("video", videos, means),
    }
    if any("heart_rate_bpm" in line for line in lines):
        result["pulse"] = _pulse_summary(lines)
    missing = sorted(set(test.methods) - {line["method"] for line in lines})
    return result | ({"note": f"no clips of: {', '.join(missing)}"} if missing else {})


def _pulse_summary(lines: list[dict]) -> dict:
    """Mean Pearson correlation of the model's wave with the classical trace, and with the truth where it is known."""

    def mean(key: str, label: int) -> float | None:
        values = [line[key] for line in lines if line["label"] == label and line.get(key) is not None]
        return float(np.mean(values)) if values else None

    pos, truth = "pulse_correlation_pos", "pulse_correlation_truth"
    return {
        "real": mean(pos, REAL),
        "fake": mean(pos, FAKE),
        "real_truth": mean(truth, REAL),
        "fake_truth": mean(truth, FAKE),
    }
