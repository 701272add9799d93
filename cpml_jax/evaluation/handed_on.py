"""Evaluating a model that was handed on: on the records of a configuration, as `predict` would answer.

The threshold, the calibration and what doubt goes by are the model's own: nothing is fitted to the data. The results go
to a folder of their own in the workdir, so that those of a run that was trained there stay as they are.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from cpml_jax import evaluate
from cpml_jax.data.input_pipeline import sampler_description
from cpml_jax.evaluation import model_folder, protocols, scoring
from cpml_jax.evaluation import verdict as verdicts
from cpml_jax.evaluation.protocols import Test, Training
from cpml_jax.evaluation.scoring import Scorer
from cpml_jax.evaluation.verdict import Verdict
from cpml_jax.prediction.detector import locate, stored_configuration
from cpml_jax.training import run_files
from cpml_jax.validation import validate_tests

FOLDER = "models"  # in the workdir: FOLDER/NAME-PARAMETERS, 12 digits of their SHA-256


def run(config: ConfigDict, workdir: str | Path, source: str, names: tuple[str, ...] = ()) -> dict[str, Any]:
    """Evaluate a model with the tests of a configuration, on its records.

    Args:
      config: whose data sets and tests; its model and training are not looked at.
      source: a folder of `main.py export` or of a run, or hf://OWNER/NAME.
      names: protocols in place of eval.protocols.

    Returns:
      What evaluation.json holds.

    Raises:
      UserError: no such model, no records, or clips that are shorter than the model reads.
    """
    validate_tests(config, names)
    names = tuple(names or config.eval.protocols)
    folder = locate(source)
    record_sets = evaluate.open_records(config, workdir, names)
    model, scorer, verdict, trained_on = read(folder, config.eval.doubt_level)
    merged = with_data_of(model, config)
    training = protocols.training_of(model)
    tests = [of_model(test, training) for test in evaluate.planned_tests(config, record_sets, names)]
    plan = evaluate.Plan(
        config=merged.to_dict(),
        training=training,
        tests=list(dict.fromkeys(tests)),
        sampler=sampler_description(merged.data.num_frames, merged.data.max_windows, merged.data.windows),
        size=scoring.input_size(merged),
        trained_on=trained_on,
        diagnostics=config.eval.diagnostics,
        official=evaluate.official_tests(config),
        read_threads=config.data.read_threads,
        verdict=verdict,
    )
    return evaluate.evaluate(
        scorer, record_sets, plan, folder_of(workdir, model.name, scorer), write=jax.process_index() == 0
    )


def folder_of(workdir: str | Path, name: str, scorer: Scorer) -> Path:
    """Where the results of a model go."""
    plain = "".join(c if c.isalnum() or c in "_-+" else "_" for c in name)
    return Path(workdir) / FOLDER / f"{plain}-{scorer.parameters_sha256[:12]}"


def read(folder: Path, doubt_level: float) -> tuple[ConfigDict, Scorer, Verdict, dict[str, Any] | None]:
    """Its configuration, the model, how it answers, and whom it was trained on, where that is known."""
    if model_folder.is_one(folder):
        return *model_folder.read(folder, doubt_level), None
    config = stored_configuration(folder)
    scorer = scoring.restore_for_scoring(folder, config, config.eval.checkpoint)
    verdict = verdicts.read(folder, scorer.step, scorer.parameters_sha256, doubt_level)
    return config, scorer, verdict, run_files.read_training_data(folder)


def with_data_of(model: ConfigDict, config: ConfigDict) -> ConfigDict:
    """The model's configuration, with the data, the tests and the devices of another one."""
    merged = ConfigDict(model.to_dict())
    merged.data = ConfigDict(config.data.to_dict())
    merged.data.num_frames = model.data.num_frames
    merged.eval = ConfigDict(config.eval.to_dict())
    merged.train.devices = config.train.devices
    return merged


def of_model(test: Test, training: Training) -> Test:
    """A test of a configuration as one of a model: on a data set that it was not trained on it is cross_dataset."""
    foreign = protocols.home_of(test.dataset) != training.dataset
    plain = test.protocol not in protocols.CONDITION_PROTOCOLS
    return dataclasses.replace(test, train=training, protocol="cross_dataset" if foreign and plain else test.protocol)
