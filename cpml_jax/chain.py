"""forge -> prepare -> train -> evaluate -> report: one verb, or everything that is missing, in that order."""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict

from cpml_jax import lock, preparation
from cpml_jax.activity import doing
from cpml_jax.console import inform
from cpml_jax.data.records import RecordSet, is_finished, records_dir, records_root
from cpml_jax.errors import UserError
from cpml_jax.validation import validate
from cpml_jax.validation.weights import check_weights

Folder = str | Path


def run(
    verb: str | None,
    config: ConfigDict,
    workdir: Folder,
    protocols: tuple[str, ...] = (),
    beam_runner: str = "",
    beam_options: tuple[str, ...] = (),
    crop_tree: str = "",
    wait: bool = False,
    resume: str = "latest",
) -> None:
    """Run a verb, or, with None, what is missing.

    Args:
      verb: forge, prepare, train, evaluate or report.
      protocols: to evaluate in place of the configuration's.
      beam_runner, beam_options: forge, prepare, and make an evaluation's conditions, as Apache Beam pipelines, if a
        runner is named.
      crop_tree: folder for the prepared crops as a tree of files; none if empty.
      wait: where another process works in the same folder; else that is an error.
      resume: from the latest checkpoint, or, with previous, from the latest whole one.

    Every stage is safe to start again: preparation and training resume, evaluation writes its file at the end, in one
    move.

    Raises:
      UserError: before any work, what is wrong with the configuration; later, with its data.
    """
    validate(config, verb, protocols, workdir)
    if verb in (None, "train") and not has_checkpoint(workdir):
        check_weights(config, rootless(config, workdir) if verb is None else ())
    if verb in (None, "forge", "prepare", "train"):
        make_workdir(workdir)
    with lock.alone(workdir, wait=wait):
        if verb == "forge":
            preparation.forge(config, workdir, beam_runner, beam_options)
        if verb in (None, "prepare"):
            preparation.prepare(config, workdir, beam_runner, beam_options, wait=wait)
        if crop_tree:
            preparation.write_crop_trees(config, workdir, crop_tree)
        if verb in (None, "train"):
            with doing(f"training in {workdir}"):
                train(config, workdir, resume)
        if verb == "evaluate" or (verb is None and not evaluation_is_current(config, workdir)):
            with doing(f"evaluating the run in {workdir}"):
                evaluate(config, workdir, protocols, beam_runner, beam_options, wait=wait)
        if verb == "report" or (verb is None and not report_is_current(workdir)):
            with doing(f"drawing the report of {workdir}"):
                report(config, workdir)


def rootless(config: ConfigDict, workdir: Folder) -> tuple[str, ...]:
    """Keys of the places of videos that preparation would need and that are empty."""
    records = records_root(config, workdir)
    waiting = [name for name in config.data.sources if not is_finished(records / name)]
    keys = []
    for name in waiting:
        source = config.data.sources[name]
        keys += [] if source.root else [f"data.sources.{name}.root"]
        keys += [f"data.sources.{name}.forge.input"] if "forge" in source and not source.forge.input else []
    return tuple(keys)


def has_checkpoint(workdir: Folder) -> bool:
    """Whether a training run has begun: it resumes, and loads no trained weights again."""
    from cpml_jax.training import run_files

    return (Path(workdir) / run_files.FOLDER / run_files.CONFIG).is_file()


def make_workdir(workdir: Folder) -> None:
    """Raises UserError if it cannot be made."""
    try:
        Path(workdir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--workdir={workdir}: cannot be made ({error.strerror}); choose another folder") from None


def train(config: ConfigDict, workdir: Folder, resume: str = "latest") -> None:
    """Train, or resume (train.train)."""
    from cpml_jax import train as trainer

    trainer.train(config, workdir, resume=resume)


def evaluate(
    config: ConfigDict,
    workdir: Folder,
    names: tuple[str, ...] = (),
    beam_runner: str = "",
    beam_options: tuple[str, ...] = (),
    wait: bool = False,
) -> None:
    """Evaluate the protocols `names`, or those of the configuration; missing records of conditions are prepared."""
    from cpml_jax import evaluate as evaluation
    from cpml_jax.evaluation import protocols

    names = tuple(dict.fromkeys(names or config.eval.protocols))
    preparation.pipelines_of(beam_runner, beam_options)  # refuses one that cannot run
    for name in names:
        if name in protocols.CONDITION_PROTOCOLS:
            preparation.prepare_conditions(config, workdir, name, beam_runner, beam_options, wait)
    evaluation.run(config, workdir, names)


def evaluate_model(
    config: ConfigDict, workdir: Folder, model: str, names: tuple[str, ...] = (), wait: bool = False
) -> None:
    """Evaluate a model that was handed on, on a configuration's records (evaluation/handed_on.py)."""
    from cpml_jax.evaluation import handed_on, protocols
    from cpml_jax.validation import validate_tests

    validate_tests(config, names)
    make_workdir(workdir)
    names = tuple(dict.fromkeys(names or config.eval.protocols))
    with lock.alone(workdir, wait=wait), doing(f"evaluating {model}"):
        for name in names:
            if name in protocols.CONDITION_PROTOCOLS:
                preparation.prepare_conditions(config, workdir, name, wait=wait)
        handed_on.run(config, workdir, model, names)


def report(config: ConfigDict, workdir: Folder) -> None:
    """Draw report.html from what evaluation left behind; where the model looks is computed anew, for a few clips."""
    import jax

    from cpml_jax import report as reporting
    from cpml_jax.evaluation import protocols, results_file, saliency, scoring

    results_file.check_whole(workdir)
    if results_file.read(workdir) is None:
        raise UserError(f"{workdir}: no evaluation.json here; run `main.py evaluate` with the same --config first")
    names = [name for name in config.data.sources if is_finished(records_dir(config, workdir, name))]
    record_sets = {name: RecordSet(records_dir(config, workdir, name)) for name in names}
    lines = [
        line
        for line in results_file.read_scores(workdir)
        if line["split"] == "test" and protocols.home_of(line["dataset"]) == line["dataset"] == config.train.dataset
    ]
    scorer = scoring.restore_for_scoring(workdir, config, config.eval.checkpoint)
    saliency.write(workdir, scorer, record_sets, lines, scoring.input_size(config))
    if jax.process_index() == 0:
        inform(f"to look at: {reporting.write(workdir, record_sets)}")


def report_is_current(workdir: Folder) -> bool:
    """Whether report.html shows the evaluation.json that is there."""
    from cpml_jax.report import page

    return page.is_current(Path(workdir))


def export(config: ConfigDict, workdir: Folder, folder: str, formats: tuple[str, ...] = ()) -> None:
    """The checkpoint that evaluation uses, as a folder to score with (Detector.load) or to start from (init_from).

    Args:
      formats: of --format: which programs are written beside it.
    """
    from cpml_jax.portable import files as programs

    formats = programs.chosen(formats)
    validate(config, "export", workdir=workdir)
    import jax

    from cpml_jax.evaluation import model_folder, results_file, scoring
    from cpml_jax.evaluation import verdict as verdicts
    from cpml_jax.report import model_card

    scorer = scoring.restore_for_scoring(workdir, config, config.eval.checkpoint)
    variables = scorer.variables()
    if jax.process_index() == 0:
        results = results_file.of_parameters(workdir, scorer.step, scorer.parameters_sha256)
        text = model_card.card(config.to_dict(), results, scorer.step, formats)
        model_folder.write(Path(folder), workdir, config, scorer, variables, text)
        verdict = verdicts.read(workdir, scorer.step, scorer.parameters_sha256, config.eval.doubt_level or 1.0)
        programs.write(Path(folder), formats, config, scorer, variables, verdict)
    inform(f"{folder}: the model of step {scorer.step}; to start from it: --config.init_from={folder}")


def evaluation_is_current(config: ConfigDict, workdir: Folder) -> bool:
    """Whether evaluation.json is of the checkpoint that evaluation would use, with this configuration's tests."""
    from cpml_jax.evaluation import results_file
    from cpml_jax.training.checkpoint import Checkpoints

    checkpoints = Checkpoints(workdir)
    step, _ = checkpoints.choose(config.eval.checkpoint)
    checkpoints.close()
    current = results_file.is_current(workdir, config.to_dict(), step)
    if current:
        path = Path(workdir) / results_file.RESULTS
        inform(f"{path} is of this checkpoint and configuration: nothing to do")
    return current
