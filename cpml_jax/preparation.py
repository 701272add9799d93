"""From videos to records, for a configuration's sources: forged and drawn where that is asked for, then prepared.

The packages that it takes (PyAV, onnxruntime, dlib) are no part of the lean core, and are loaded when needed.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from cpml_jax import lock
from cpml_jax.activity import doing
from cpml_jax.console import inform
from cpml_jax.data.records import RecordSet, records_dir, records_root
from cpml_jax.errors import UserError, missing_package
from cpml_jax.limits import Limits
from cpml_jax.validation import validate

if TYPE_CHECKING:
    from data_prep.records.beam import Pipelines
    from data_prep.records.process import Sampling
    from data_prep.sources import Source

Folder = str | Path


def installed() -> ModuleType:
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
    prepare = installed()
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
    installed()  # says what to install
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


def prepare_conditions(
    config: ConfigDict,
    workdir: Folder,
    protocol: str,
    beam_runner: str = "",
    beam_options: tuple[str, ...] = (),
    wait: bool = False,
) -> None:
    """Records of the training data set's test split, re-encoded or corrupted, unless they are there already."""
    installed()  # says what to install
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
        pipelines=pipelines_of(beam_runner, beam_options),
        wait=wait or lock.one_of_several(),
    )
