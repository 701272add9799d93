"""forge -> prepare -> train -> evaluate -> report: one verb, or everything that is missing, in that order."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from cpml_jax import lock
from cpml_jax.activity import doing
from cpml_jax.console import inform
from cpml_jax.data.records import RecordSet, is_finished, records_dir, records_root
from cpml_jax.errors import UserError, missing_package
from cpml_jax.limits import Limits
from cpml_jax.validation import validate
from cpml_jax.validation.weights import check_weights

Folder = str | Path

if TYPE_CHECKING:
    from data_prep.records.beam import Pipelines
    from data_prep.records.process import Sampling
    from data_prep.sources import Source


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
      beam_runner, beam_options: prepare as an Apache Beam pipeline, if a runner is named.
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
            forge(config, workdir, beam_runner, beam_options)
        if verb in (None, "prepare"):
            prepare(config, workdir, beam_runner, beam_options, wait=wait)
        if crop_tree:
            write_crop_trees(config, workdir, crop_tree)
        if verb in (None, "train"):
            with doing(f"training in {workdir}"):
                train(config, workdir, resume)
        if verb == "evaluate" or (verb is None and not evaluation_is_current(config, workdir)):
            with doing(f"evaluating the run in {workdir}"):
                evaluate(config, workdir, protocols, wait=wait)
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


def preparation() -> ModuleType:
    """data_prep.prepare, whose packages (PyAV, onnxruntime, dlib) are no part of the lean core.

    Raises:
      UserError: one of them is not installed.
    """
    try:
        from data_prep import prepare
    except ImportError as error:
        raise missing_package("preparing videos", error.name) from None
    return prepare


def verify(config: ConfigDict, workdir: Folder) -> None:
    """Look at every source's root and print what is there.

    Raises:
      UserError: one of them is not the data set that it should be; all were looked at.
    """
    validate(config, "prepare")
    from data_prep.verify import verify as verification

    wrong = []
    for name, source in config.data.sources.items():
        root = source_of(config, workdir, name).folder()
        if "draw" in source and not Path(root).exists():
            inform(f"{name}: not drawn yet; `main.py prepare` draws it")
            continue
        if "forge" in source and not Path(root).exists():
            inform(f"{name}: not forged yet; `main.py forge` does it")
            continue
        keys = ("compressions", "methods", "splits")
        result = verification.verify(source.kind, root, **{key: source[key] for key in keys})
        print(verification.report_text(result))
        wrong += [] if result["ok"] else [name]
    if wrong:
        raise UserError(f"{', '.join(wrong)}: not the expected data set, see the problems above; nothing was prepared")


def source_root(name: str, source: ConfigDict, workdir: Folder) -> str:
    """Where a source's videos lie: a path, or an address. Raises UserError if none is configured."""
    if not source.root:
        raise UserError(f"data.sources.{name}.root is empty; give the folder: --config.data.sources.{name}.root=FOLDER")
    return source.root.replace("{workdir}", str(workdir))


def prepare(
    config: ConfigDict,
    workdir: Folder,
    beam_runner: str = "",
    beam_options: tuple[str, ...] = (),
    wait: bool = False,
) -> None:
    """Draw and forge what is to be drawn and forged, then turn every source's videos into records.

    wait: for another process that prepares the same records; those of one run on several hosts always wait.

    Raises:
      UserError: before any source is prepared, that one has no root, was prepared with other parameters or cannot be
        downloaded; later, that a root is not such a data set.
    """
    prepare = preparation()
    pipelines = pipelines_of(beam_runner, beam_options)
    records = records_root(config, workdir)
    sampling = sampling_of(config)
    waiting = []
    for name in config.data.sources:
        source = source_of(config, workdir, name)
        if prepare.is_prepared(source, sampling, records):
            inform(f"{records}/{name} is prepared: nothing to do")
        else:
            source_root(name, config.data.sources[name], workdir)  # refuses an empty one before any work
            real_input(name, config.data.sources[name])
            waiting.append(source)
    for source in waiting:
        source.folder()  # downloads what lies on the hub, or ends the run here
    for source in waiting:
        if source.draw is not None:
            from data_prep.synthetic import generate

            generate.generate(str(source.root), workers=config.data.workers, **source.draw)
        if source.forge is not None:
            forge_source(source, config, pipelines)
        with doing(f"preparing {source.root} into {records}/{source.name}"):
            prepare.prepare(
                source,
                sampling,
                records,
                workers=config.data.workers,
                pipelines=pipelines,
                wait=wait or lock.one_of_several(),
            )


def sampling_of(config: ConfigDict) -> Sampling:
    """Which clips are taken of a video, and how much of it is decoded."""
    from data_prep.records.process import Sampling

    data = config.data
    limits = Limits(**data.limits.to_dict())
    return Sampling(data.num_frames, data.max_windows, data.windows, limits, data.detector_device)


def pipelines_of(beam_runner: str, beam_options: tuple[str, ...]) -> Pipelines | None:
    """Beam's, if a runner is named. Raises UserError if it cannot run."""
    if not beam_runner:
        return None
    from data_prep.records.beam import Pipelines

    return Pipelines(beam_runner, beam_options)


def real_input(name: str, source: ConfigDict) -> None:
    """Raise UserError where a source is to be forged and no real videos are named."""
    if "forge" in source and not source.forge.input:
        key = f"data.sources.{name}.forge.input"
        raise UserError(
            f"{key} is empty; give the folder or CSV of real videos: --config=configs/forged.py:FOLDER or "
            f"--config.{key}=FOLDER"
        )


def forge(config: ConfigDict, workdir: Folder, beam_runner: str = "", beam_options: tuple[str, ...] = ()) -> None:
    """Forge the real videos of every source that says how, or what is missing of that.

    Raises:
      UserError: no source does; no real videos are named, or too few of them can be used.
    """
    preparation()  # says what to install
    names = [name for name in config.data.sources if "forge" in config.data.sources[name]]
    if not names:
        raise UserError(f"config {config.name!r} has no source to forge; --config=configs/forged.py:FOLDER has one")
    for name in names:
        source_root(name, config.data.sources[name], workdir)
        real_input(name, config.data.sources[name])
    pipelines = pipelines_of(beam_runner, beam_options)
    for name in names:
        forge_source(source_of(config, workdir, name), config, pipelines)


def forge_source(source: Source, config: ConfigDict, pipelines: Pipelines | None) -> None:
    """Forge a source's real videos."""
    from data_prep.forge import generate

    assert source.forge is not None
    with doing(f"forging {source.forge['input']} into {source.root}"):
        generate.generate(source.root, workers=config.data.workers, pipelines=pipelines, **source.forge)


def source_of(config: ConfigDict, workdir: Folder, name: str) -> Source:
    """The source of that name in the configuration; its root may be empty where its records are finished."""
    from data_prep.sources import Source

    settings = config.data.sources[name].to_dict()
    return Source(name, **settings | {"root": settings["root"].replace("{workdir}", str(workdir))})


def write_crop_trees(config: ConfigDict, workdir: Folder, folder: str) -> None:
    """The prepared crops of every source as the tree of files that other tools read: `folder`/<source>."""
    from data_prep.crops import writer as crop_writer

    for name in config.data.sources:
        record_set = RecordSet(records_dir(config, workdir, name))
        rows = sorted(record_set.rows, key=lambda row: row["clip_id"])
        counted = crop_writer.write(Path(folder) / name, (record_set.read_coded(row) for row in rows))
        listed = ", ".join(f"{count} {split}" for split, count in counted.items())
        inform(f"{Path(folder) / name}: crops and landmarks of {listed} videos")


def train(config: ConfigDict, workdir: Folder, resume: str = "latest") -> None:
    """Train, or resume (train.train)."""
    from cpml_jax import train as trainer

    trainer.train(config, workdir, resume=resume)


def evaluate(config: ConfigDict, workdir: Folder, names: tuple[str, ...] = (), wait: bool = False) -> None:
    """Evaluate the protocols `names`, or those of the configuration; missing records of conditions are prepared."""
    from cpml_jax import evaluate as evaluation
    from cpml_jax.evaluation import protocols

    names = tuple(dict.fromkeys(names or config.eval.protocols))
    for name in names:
        if name in protocols.CONDITION_PROTOCOLS:
            prepare_conditions(config, workdir, name, wait)
    evaluation.run(config, workdir, names)


def prepare_conditions(config: ConfigDict, workdir: Folder, protocol: str, wait: bool = False) -> None:
    """Records of the training data set's test split, re-encoded or corrupted, unless they are there already."""
    preparation()  # says what to install
    from cpml_jax import conditions
    from data_prep.conditions import prepare as condition_records

    name = config.train.dataset
    asked = [c for c in config.eval.conditions if conditions.protocol_of(c) == protocol]
    condition_records.prepare(
        source_of(config, workdir, name),
        sampling_of(config),
        protocol,
        records_root(config, workdir),
        conditions=tuple(asked),
        workers=config.data.workers,
        wait=wait or lock.one_of_several(),
    )


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


def export(config: ConfigDict, workdir: Folder, folder: str) -> None:
    """The checkpoint that evaluation uses, as a folder to score with (Detector.load) or to start from (init_from)."""
    validate(config, "export", workdir=workdir)
    import jax

    from cpml_jax.evaluation import model_folder, results_file, scoring
    from cpml_jax.report import model_card

    scorer = scoring.restore_for_scoring(workdir, config, config.eval.checkpoint)
    variables = scorer.variables()
    if jax.process_index() == 0:
        results = results_file.of_parameters(workdir, scorer.step, scorer.parameters_sha256)
        text = model_card.card(config.to_dict(), results, scorer.step)
        model_folder.write(Path(folder), workdir, config, scorer, variables, text)
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
