"""Evaluation: scores of every clip once, then every test of the configuration -> evaluation.json and a table.

Clips and videos have figures each. Clip: one score per clip. Video: by the rule of evaluation/video_score.py.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import ml_collections
import numpy as np

from cpml_jax.console import inform
from cpml_jax.data.input_pipeline import sampler_description
from cpml_jax.data.input_size import InputSize
from cpml_jax.data.records import RecordSet, records_dir
from cpml_jax.doubt.calibration import by_video, calibrate
from cpml_jax.doubt.knowledge import Knowledge
from cpml_jax.errors import UserError
from cpml_jax.evaluation import (
    diagnostics,
    protocols,
    provenance,
    results,
    results_file,
    versions,
    video_score,
)
from cpml_jax.evaluation.clip_scores import ClipScores, Scorer, score_clips
from cpml_jax.evaluation.diagnostics import Diagnosis
from cpml_jax.evaluation.protocols import Test, Training
from cpml_jax.evaluation.results_file import RESULTS, SCORES
from cpml_jax.evaluation.table import table
from cpml_jax.evaluation.verdict import Verdict
from cpml_jax.files import finite
from cpml_jax.training import run_files

Row = dict[str, Any]  # of the index
REFERENCE_CLIPS = 640  # training clips that doubt measures distances from: ten for each number of the default's u


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is evaluated, and how.

    Attributes:
      config: the configuration as plain JSON; written as it is under "config".
      training: what was trained on; its validation clips choose the thresholds.
      tests: protocols.make_tests.
      sampler: which frames of a video are seen; written into every result.
      size: of the model's input.
      trained_on: whom the checkpoint saw in training (run_files.read_training_data), if that is known.
      diagnostics: whether to measure what the model reads (evaluation/diagnostics.py).
      doubt_level: eval.doubt_level; 0: no doubt is measured.
      verdict: of a model that was handed on, which decides, calibrates and doubts as it did before; None: the
        validation clips choose.
      official: name of a data set -> sizes of its published test list (data_prep.sources.official_test).
    """

    config: dict[str, Any]
    training: Training
    tests: list[Test]
    sampler: dict[str, Any]
    size: InputSize
    trained_on: dict[str, Any] | None = None
    diagnostics: bool = False
    doubt_level: float = 0.0
    official: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)
    read_threads: int = 0
    verdict: Verdict | None = None


def run(config: ml_collections.ConfigDict, workdir: str | Path, names: tuple[str, ...] = ()) -> dict[str, Any]:
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

    validate(config, "evaluate", tuple(names), workdir)
    scorer = scoring.restore_for_scoring(workdir, config, config.eval.checkpoint)
    names = tuple(names or config.eval.protocols)
    record_sets = open_records(config, workdir, names)
    plan = Plan(
        config=config.to_dict(),
        training=protocols.training_of(config),
        tests=planned_tests(config, record_sets, names),
        sampler=sampler_description(config.data.num_frames, config.data.max_windows, config.data.windows),
        size=scoring.input_size(config),
        trained_on=run_files.read_training_data(workdir),
        diagnostics=config.eval.diagnostics,
        doubt_level=config.eval.doubt_level,
        official=official_tests(config),
        read_threads=config.data.read_threads,
    )
    # Every host scores, one writes.
    return evaluate(scorer, record_sets, plan, workdir, write=jax.process_index() == 0)


def official_tests(config: ml_collections.ConfigDict) -> dict[str, dict[str, int]]:
    """Name of a configured data set -> sizes of its published test list, where it has one; drawn videos have none."""
    from data_prep.sources import official_test

    sources = {name: source for name, source in config.data.sources.items() if not source.get("draw")}
    return {name: official_test(source.kind) for name, source in sources.items()}


def open_records(config: ml_collections.ConfigDict, workdir: str | Path, names: Sequence[str]) -> dict[str, RecordSet]:
    """The record sets that the protocols `names` test on, by name.

    Raises:
      UserError: the training data set is not configured, or records are not prepared.
    """
    dataset, sources = config.train.dataset, config.data.sources
    if dataset not in sources:
        raise UserError(f"train.dataset={dataset!r} is not in data.sources; choose from {', '.join(sources)}")
    wanted = [name for name in dict.fromkeys((dataset, *_others(config, names))) if name in sources]
    wanted += [protocols.condition_records(dataset, name) for name in names if name in protocols.CONDITION_PROTOCOLS]
    return {name: RecordSet(records_dir(config, workdir, name)) for name in wanted}


def _others(config: ml_collections.ConfigDict, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(config.eval.cross_datasets) if "cross_dataset" in names else ()


def planned_tests(
    config: ml_collections.ConfigDict, record_sets: Mapping[str, RecordSet], names: Sequence[str]
) -> list[Test]:
    """The tests of the protocols `names` on these records."""
    configured = {name: tuple(source.methods) for name, source in config.data.sources.items()}
    stored = {name: protocols.tested_compressions(records.rows) for name, records in record_sets.items()}
    others = _others(config, names)
    return protocols.make_tests(
        protocols.training_of(config),
        protocols=names,
        compressions=config.eval.compressions,
        cross_datasets=others,
        cross_compression=protocols.cross_compressions(config.eval.cross_compression, others, stored),
        methods=configured | {name: protocols.tested_methods(records.rows) for name, records in record_sets.items()},
        conditions={name: held for name, held in stored.items() if protocols.holds_conditions(name)},
    )


def evaluate(
    scorer: Scorer,
    record_sets: Mapping[str, RecordSet],
    plan: Plan,
    workdir: str | Path,
    *,
    write: bool = True,
    out: TextIO | None = None,
) -> dict[str, Any]:
    """Score, measure, write the files of results_file.py, print the table.

    Args:
      scorer: scoring.Scorer.
      record_sets: by name; holds the training data set and every data set of the tests.
      write: False on all but one of several hosts.
      out: where the table goes; standard output if None.

    Returns:
      What evaluation.json holds.

    Raises:
      UserError: a leak (an identity in two splits, or trained on and tested; videos whose keys are merged), the records
        lack a compression, or a score is not finite.
    """
    clips = tested_clips(record_sets, plan)
    validation = []
    if plan.verdict is None:
        validation = protocols.validation_rows(record_sets[plan.training.dataset].rows, plan.training)
    excluded = [row for records in record_sets.values() for row in records.excluded]
    scores, diagnoses = _score(scorer, record_sets, plan, clips, validation, excluded)
    if plan.verdict is None:
        knowledge = _doubt(scorer, record_sets[plan.training.dataset], plan, scores, validation)
        validated = results.validate(scores.of(validation), knowledge)
    else:
        knowledge, validated = plan.verdict.known, results.handed_on(plan.verdict)
    if knowledge:
        _judge(scores, knowledge)
    report = finite(
        {
            "schema": versions.EVALUATION,
            "config": plan.config,
            "checkpoint": checkpoint_identity(scorer, plan),
            "rule": video_score.RULE,
            "provenance": provenance.provenance(record_sets),
            "calibration": validated.calibration,
            **({"doubt": knowledge.describe()} if knowledge else {}),
            "results": [
                results.result(
                    test,
                    rows,
                    scores.of(rows),
                    validated,
                    sampler=plan.sampler,
                    excluded=excluded,
                    official=plan.official.get(protocols.home_of(test.dataset)),
                )
                for test, rows in zip(plan.tests, clips, strict=True)
            ],
            "pulse_across_compressions": results.pulse_across(scores),
            "excluded": excluded,
            **_diagnostics(record_sets, scores, diagnoses),
        }
    )
    if write:
        report = results_file.write(workdir, report, scores, scorer.class_embeddings, knowledge)
        print(table(report), file=out or sys.stdout, flush=True)
        inform(f"written: {Path(workdir) / RESULTS} and {Path(workdir) / SCORES}")
    return report


def checkpoint_identity(scorer: Scorer, plan: Plan) -> dict[str, Any]:
    """What evaluation.json says under "checkpoint": results of another one are not kept beside these."""
    return {
        "step": scorer.step,
        "selection": scorer.selection,
        "parameters_sha256": scorer.parameters_sha256,
        "config_sha256": provenance.config_sha256(plan.config),
    }


def tested_clips(record_sets: Mapping[str, RecordSet], plan: Plan) -> list[list[Row]]:
    """The clips of every test, once nothing about them would flatter a result.

    Raises:
      UserError: see `evaluate`; nothing has been scored then.
    """
    for name, records in record_sets.items():
        protocols.check_no_leak(records.rows, f"records of {name!r}")
        protocols.check_video_keys(records.rows, f"records of {name!r}")
    for test in plan.tests:
        _check_compression(test, record_sets[test.dataset].rows)
    clips = [protocols.select(record_sets[test.dataset].rows, test) for test in plan.tests]
    for test, rows in zip(plan.tests, clips, strict=True):
        protocols.check_not_trained_on(rows, plan.trained_on, f"records of {test.dataset!r}")
    return clips


def _check_compression(test: Test, rows: Sequence[Row]) -> None:
    held = sorted(protocols.tested_compressions(rows))
    if test.compression in held:
        return
    raise UserError(
        f"{test.protocol}: the records of {test.dataset!r} hold no test clips at compression {test.compression!r}, "
        f"only at: {', '.join(held) or 'none'}. Add it to data.sources.{test.dataset}.compressions and prepare, or "
        "leave it out of the tests"
    )


def _score(
    scorer: Scorer,
    record_sets: Mapping[str, RecordSet],
    plan: Plan,
    clips: Sequence[Sequence[Row]],
    validation: Sequence[Row],
    excluded: list[dict[str, Any]],
) -> tuple[ClipScores, dict[str, Diagnosis]]:
    """Scores of the validation clips and of every test's, each clip once; what cannot be read goes to `excluded`.

    With plan.diagnostics also what they need of each data set's test clips, by name of its records.
    """
    scores, diagnoses = ClipScores(), {}
    for name, records in record_sets.items():
        rows = list(validation) if name == plan.training.dataset else []
        tested = [row for test, each in zip(plan.tests, clips, strict=True) if test.dataset == name for row in each]
        rows = list({row["clip_id"]: row for row in (*rows, *tested)}.values())
        if plan.diagnostics and not protocols.holds_conditions(name):
            rows.sort(key=lambda row: row["label"])  # the diagnosis asks for reals before fakes
            diagnoses[name] = Diagnosis(scorer, rows)
        known = plan.verdict.known if plan.verdict else None
        diagnosis, doubt = diagnoses.get(name), plan.doubt_level > 0 or known is not None
        scored = score_clips(
            scorer,
            records,
            rows,
            plan.size,
            excluded=excluded,
            diagnosis=diagnosis,
            doubt=doubt,
            read_threads=plan.read_threads,
        )
        scores.lines |= scored.lines
        scores.known |= scored.known
        if protocols.holds_conditions(name):
            # Their arrays would make the file too large for what the report shows of them.
            for line in scored.lines.values():
                line["condition"] = line["compression"]
        else:
            scores.arrays |= scored.arrays
    return scores, diagnoses


def _doubt(
    scorer: Scorer, records: RecordSet, plan: Plan, scores: ClipScores, validation: Sequence[Row]
) -> Knowledge | None:
    """What the run knows, from a sample of its training clips and all validation clips; None without either."""
    if plan.doubt_level <= 0:
        return None
    training = sample_of(protocols.training_rows(records.rows, plan.training))
    reference = score_clips(
        scorer, records, training, plan.size, excluded=[], doubt=True, read_threads=plan.read_threads
    )
    known = reference.known | scores.known
    knowledge = calibrate(training, validation, known, scorer.parameters_sha256, plan.doubt_level)
    if knowledge is None:
        inform(f"{records.directory}: no doubt is measured, as no training clips or no validation clips can be read")
    return knowledge


def _judge(scores: ClipScores, knowledge: Knowledge) -> None:
    """The lines of all scored clips get their video's p-value."""
    lines = list(scores.lines.values())
    p_values = {
        video: knowledge.judge([scores.known[clip] for clip in clips]).p for video, clips in by_video(lines).items()
    }
    for line in lines:
        line["p_known"] = p_values[line["video_key"]]


def sample_of(rows: Sequence[Row], limit: int = REFERENCE_CLIPS) -> list[Row]:
    """The rows of whole videos, the same ones every time, until there are `limit` clips or more, or all."""
    videos = by_video(rows)
    keys = list(videos)
    chosen: set[str] = set()
    for place in np.random.default_rng(0).permutation(len(keys)).tolist():
        if len(chosen) >= limit:
            break
        chosen.update(videos[keys[place]])
    return [row for row in rows if row["clip_id"] in chosen]


def _diagnostics(
    record_sets: Mapping[str, RecordSet], scores: ClipScores, diagnoses: Mapping[str, Diagnosis]
) -> dict[str, Any]:
    """{diagnostics}, or {} without them."""
    if not diagnoses:
        return {}
    lines = [line for line in scores.lines.values() if line["split"] == "test" and "condition" not in line]
    streams = next(iter(diagnoses.values())).streams
    diagnosed = [record_sets[name] for name in diagnoses]
    return {"diagnostics": diagnostics.diagnostics(lines, list(diagnoses.values()), streams, diagnosed)}
