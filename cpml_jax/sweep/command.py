"""main.py sweep: train the runs that the tables of the protocols lack, evaluate them, fill the tables.

Runs lie in <workdir>/sweep/<name> and share the records of the workdir. <workdir>/sweep.json and sweep.md are written
again after every run. A sweep that was killed resumes where it is started again: it loses no more than the steps of the
current run since the last checkpoint.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import jax
from ml_collections import ConfigDict

from cpml_jax import chain, lock, preparation
from cpml_jax.console import inform
from cpml_jax.data.records import RecordSet, is_finished, records_dir, records_root
from cpml_jax.errors import UserError
from cpml_jax.evaluation import protocols, provenance
from cpml_jax.files import remove_left
from cpml_jax.sweep import ablation as ablation_table
from cpml_jax.sweep import plan
from cpml_jax.sweep.ablation import Ablation
from cpml_jax.sweep.pace import forecast
from cpml_jax.sweep.plan import Run
from cpml_jax.sweep.results import (
    BEGUN,
    FINISHED,
    FOLDER,
    RESULTS,
    TABLES,
    TRAINED,
    earlier_cells,
    folder_of,
    state_of,
    write,
)
from cpml_jax.training.run_files import check_same_records
from cpml_jax.validation import validate

_WORDS = {FINISHED: "finished", TRAINED: "trained, to be evaluated", BEGUN: "begun, to be resumed"}
Step = Callable[[ConfigDict, Path], object]  # of (config, workdir)


def run(
    config: ConfigDict,
    workdir: str | Path,
    names: Iterable[str] = (),
    seeds: Iterable[int] = (),
    rows: Iterable[str] = (),
    *,
    ablation: Ablation | None = None,
    prepare: Step = preparation.prepare,
    train: Step = chain.train,
    evaluate: Step = chain.evaluate,
    wait: bool = False,
) -> int:
    """Fill the tables of some protocols.

    Args:
      config: the base configuration.
      workdir: holds the records; sweep/, sweep.json and sweep.md are written there.
      names: from sweep.plan.PROTOCOLS; eval.protocols if empty.
      seeds: the seed of the configuration if empty.
      rows: of the ablation table; all if empty.
      ablation: the table; that of configs/ablation.py if None.
      prepare, train, evaluate: the verbs of the chain, or functions like them.
      wait: where another process works in the same folder; else that is an error.

    Returns:
      The exit status: 1 if a run failed.

    Raises:
      UserError: the plan cannot be carried out; nothing has been trained.
    """
    names = tuple(names or config.eval.protocols)
    validate(config, "sweep", names)
    for name in names:
        plan.check_name(name)
    if "ablation" in names:
        ablation = (ablation or ablation_table.configured()).chosen(tuple(rows))
    elif rows:
        raise UserError("--rows chooses rows of the ablation table; give it with --protocol=ablation")
    chain.make_workdir(workdir)
    with lock.alone(workdir, wait=wait):
        return fill(config, workdir, names, tuple(seeds) or (config.seed,), ablation, prepare, train, evaluate)


def fill(
    config: ConfigDict,
    workdir: str | Path,
    names: tuple[str, ...],
    seeds: tuple[int, ...],
    ablation: Ablation | None,
    prepare: Step,
    train: Step,
    evaluate: Step,
) -> int:
    """Train what the tables lack. Arguments, result and errors as of `run`."""
    record_sets = opened_records(config, workdir, names, prepare)
    methods = {name: protocols.tested_methods(records.rows) for name, records in record_sets.items()}
    stored = {name: protocols.tested_compressions(records.rows) for name, records in record_sets.items()}
    runs = plan.planned_runs(config, names, seeds, methods=methods, stored=stored, ablation=ablation)
    configs = {run.name: run_config(config, run, workdir) for run in runs}
    described = provenance.describe_records(record_sets[config.train.dataset])
    for run in runs:
        check_records(run, configs[run.name], record_sets)
        check_same_records(folder_of(workdir, run), described)
    states = {run.name: state_of(folder_of(workdir, run), configs[run.name], run) for run in runs}
    _print(listing(runs, configs, states, Path(workdir)))

    with share_compiled():
        failed = carry_out_all(config, workdir, runs, configs, states, train, evaluate)
    _print((Path(workdir) / TABLES).read_text())
    for name, reason in failed.items():
        _print(f"failed: {name}: {reason}")
    inform(f"written: {Path(workdir) / RESULTS} and {Path(workdir) / TABLES}")
    return 1 if failed else 0


@contextlib.contextmanager
def share_compiled() -> Iterator[None]:
    """Let runs that differ in their data alone share one compiled program, unless the user has set a cache.

    In a folder of this process alone: programs that lie in a work folder would be somebody else's machine code.
    """
    # pyrefly: ignore[missing-attribute] - JAX adds the attributes of its options when it is imported.
    if jax.config.jax_compilation_cache_dir is not None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="cpml-jax-") as folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        try:
            yield
        finally:
            jax.config.update("jax_compilation_cache_dir", None)


def carry_out_all(
    config: ConfigDict,
    workdir: str | Path,
    runs: list[Run],
    configs: dict[str, ConfigDict],
    states: dict[str, str],
    train: Step,
    evaluate: Step,
) -> dict[str, str]:
    """Train and evaluate what is not finished, and write the tables after each run.

    Returns:
      Why runs failed, by name.
    """
    failed: dict[str, str] = {}
    kept = earlier_cells(config, workdir, runs)
    write(config, workdir, runs, configs, failed, kept)
    waiting = [run for run in runs if states[run.name] != FINISHED]
    for number, run in enumerate(waiting, 1):
        inform(f"sweep: run {number} of {len(waiting)}, {run.name}")
        try:
            carry_out(run, configs[run.name], folder_of(workdir, run), states[run.name], train, evaluate)
        except UserError as error:
            failed[run.name] = str(error)
            inform(f"sweep: {run.name} failed: {error}")
        finally:
            jax.clear_caches()  # or a long sweep fills the memory; the next run reads its program from disk
        write(config, workdir, runs, configs, failed, kept)
    return failed


def _print(text: str) -> None:
    if jax.process_index() == 0:
        print(text, flush=True)


def opened_records(
    config: ConfigDict, workdir: str | Path, names: tuple[str, ...], prepare: Step
) -> dict[str, RecordSet]:
    """The records that these protocols need, by name; missing ones are prepared first, once for all runs.

    Raises:
      UserError: a data set is not in data.sources, or cannot be prepared.
    """
    others = tuple(config.eval.cross_datasets) if {"cross_dataset", "ablation"} & set(names) else ()
    needed = tuple(dict.fromkeys((config.train.dataset, *others)))
    unknown = [name for name in needed if name not in config.data.sources]
    if unknown:
        raise UserError(f"no data set {unknown[0]!r} in data.sources, which has: {', '.join(config.data.sources)}")
    missing = [name for name in needed if not is_finished(records_dir(config, workdir, name))]
    if missing:
        inform(f"sweep: preparing {', '.join(missing)} first, once for all runs")
        only = ConfigDict(config.to_dict())
        only.data.sources = ConfigDict({name: config.data.sources[name].to_dict() for name in missing})
        prepare(only, Path(workdir))
    return {name: RecordSet(records_dir(config, workdir, name)) for name in needed}


def run_config(config: ConfigDict, run: Run, workdir: str | Path) -> ConfigDict:
    """The configuration of one run: the base with the run's changes and tests, and the records of the base.

    Raises:
      UserError: a change is of another type than the key, or the configuration cannot be (validation.validate).
    """
    made = config.copy_and_resolve_references()
    made.lock()
    changes = run.changes | {"data.records": str(records_root(config, workdir)), "eval.protocols": run.protocols}
    for key, value in changes.items():
        try:
            made.update_from_flattened_dict({key: value})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"run {run.name}: {key}={value!r} does not fit the configuration ({reason})") from None
    try:
        validate(made)
    except UserError as error:
        raise UserError(f"run {run.name}: {error}") from None
    return made


def check_records(run: Run, config: ConfigDict, record_sets: dict[str, RecordSet]) -> None:
    """Refuse, before any training, what would otherwise fail hours later.

    Raises:
      UserError: a compression or a method is missing from the split that needs it.
    """
    training = itertools.product(("train", "val"), config.train.compressions, config.train.methods)
    needs = [(config.train.dataset, *need) for need in training]
    needs += [(c.test.dataset, "test", c.test.compression, method) for c in run.cells for method in c.test.methods]
    recorded = {
        name: {(row["split"], row["compression"], row["method"]) for row in records.rows}
        for name, records in record_sets.items()
    }
    for name, split, compression, method in needs:
        if name not in recorded or (split, compression, method) in recorded[name]:
            continue
        has = sorted({q for s, q, m in recorded[name] if (s, m) == (split, method)})
        raise UserError(
            f"run {run.name} needs {method} at {compression} in the {split} split of {name!r}, whose records hold "
            f"{'it at ' + ', '.join(has) if has else 'none of it'}; nothing was trained. Prepare it (the drawn "
            "benchmark of --config=configs/protocols.py:cross_compression:synthetic has every compression in every "
            "split), or leave it out of eval.compressions, eval.cross_compression or train.methods"
        )


def carry_out(run: Run, config: ConfigDict, folder: Path, state: str, train: Step, evaluate: Step) -> None:
    """Train, unless that is done, and evaluate.

    Raises:
      UserError: either failed, or the evaluation lacks a test of this run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if jax.process_index() == 0:
        remove_left(folder)
    if state != TRAINED:
        train(config, folder)
    evaluate(config, folder)
    if jax.process_index() == 0 and state_of(folder, config, run) != FINISHED:
        raise UserError(
            f"{folder}: the evaluation lacks a test that the sweep needs; delete {folder} to start this run anew"
        )


def listing(runs: list[Run], configs: dict[str, ConfigDict], states: dict[str, str], workdir: Path) -> str:
    """What is finished and what will be trained, with how long it may take."""
    waiting = {run.name: configs[run.name] for run in runs if states[run.name] not in (FINISHED, TRAINED)}
    times, note = forecast(workdir, workdir / FOLDER, waiting)
    width = max(len(run.name) for run in runs)
    lines = [
        f"  {run.name.ljust(width)}  {len(run.cells):3d} cells  {_WORDS.get(states[run.name], 'to be trained')}"
        + (f", {times[run.name]}" if run.name in times else "")
        for run in runs
    ]
    cells = sum(len(run.cells) for run in runs)
    return "\n".join([f"{len(runs)} runs fill {cells} cells; {len(waiting)} are to be trained:", *lines, note])
