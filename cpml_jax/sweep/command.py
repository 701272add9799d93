"""main.py sweep: train what a protocol's table lacks, evaluate it, fill the table. Started again, it goes on.

Runs lie in <workdir>/sweep/<name>, on the records of the workdir. After every run <workdir>/sweep.json and sweep.md are
written anew, so that a kill costs the run that was under way its steps since the last checkpoint and nothing else.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import jax
from ml_collections import ConfigDict

from cpml_jax import chain
from cpml_jax.console import inform
from cpml_jax.data.records import SUMMARY, RecordSet, records_dir, records_root
from cpml_jax.errors import UserError
from cpml_jax.evaluation import protocols, provenance
from cpml_jax.sweep import ablation as ablation_table
from cpml_jax.sweep import plan
from cpml_jax.sweep.ablation import Ablation
from cpml_jax.sweep.pace import forecast
from cpml_jax.sweep.plan import Run
from cpml_jax.sweep.results import FINISHED, FOLDER, RESULTS, TABLES, TRAINED, earlier_cells, folder_of, state_of, write
from cpml_jax.training.run_files import check_same_records
from cpml_jax.validation import validate

COMPILED = ".compiled"  # XLA's programs, in the folder of the runs
_WORDS = {"finished": "finished", "trained": "trained, to be evaluated", "begun": "begun, goes on"}


def run(
    config,
    workdir,
    names: Iterable[str] = (),
    seeds: Iterable[int] = (),
    rows: Iterable[str] = (),
    *,
    ablation: Ablation | None = None,
    prepare: Callable = chain.prepare,
    train: Callable = chain.train,
    evaluate: Callable = chain.evaluate,
) -> int:
    """Fill the tables of some protocols.

    Args:
      config: the base ConfigDict.
      workdir: holds the records, and gets sweep/, sweep.json and sweep.md.
      names: from sweep.plan.PROTOCOLS; eval.protocols if empty.
      seeds: the configuration's own if empty.
      rows: of the ablation table; all if empty.
      ablation: the table; that of configs/ablation.py if None.
      prepare, train, evaluate: of (config, workdir).

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
    record_sets = opened_records(config, workdir, names, prepare)
    methods = {name: protocols.test_methods(found.rows) for name, found in record_sets.items()}
    stored = {name: protocols.test_compressions(found.rows) for name, found in record_sets.items()}
    runs = plan.planned_runs(
        config, names, tuple(seeds) or (config.seed,), methods=methods, stored=stored, ablation=ablation
    )
    configs = {run.name: run_config(config, run, workdir) for run in runs}
    described = provenance.describe_records(record_sets[config.train.dataset])
    for run in runs:
        check_records(run, configs[run.name], record_sets)
        check_same_records(folder_of(workdir, run), described)
    states = {run.name: state_of(folder_of(workdir, run), configs[run.name], run) for run in runs}
    _tell(listing(runs, configs, states, workdir))

    keep_compiled(Path(workdir) / FOLDER / COMPILED)
    failed = carry_out_all(config, workdir, runs, configs, states, train, evaluate)
    _tell((Path(workdir) / TABLES).read_text())
    for name, reason in failed.items():
        _tell(f"failed: {name}: {reason}")
    inform(f"written: {Path(workdir) / RESULTS} and {Path(workdir) / TABLES}")
    return 1 if failed else 0


def keep_compiled(folder: Path) -> None:
    """Runs that differ in their data alone are one program, compiled once; a cache of the user's own is left alone."""
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(folder.absolute()))


def carry_out_all(config, workdir, runs: list[Run], configs: dict, states: dict, train, evaluate) -> dict[str, str]:
    """Train and evaluate what is not finished, the tables written after each. Returns why runs failed, by name."""
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
            jax.clear_caches()  # without this a long sweep fills the memory; the next run reads it back from disk
        write(config, workdir, runs, configs, failed, kept)
    return failed


def _tell(text: str) -> None:
    if jax.process_index() == 0:
        print(text, flush=True)


def opened_records(config, workdir, names: tuple[str, ...], prepare: Callable) -> dict[str, RecordSet]:
    """The records that these protocols need, by name; what is not there is prepared first, once for all runs."""
    others = tuple(config.eval.cross_datasets) if {"cross_dataset", "ablation"} & set(names) else ()
    needed = tuple(dict.fromkeys((config.train.dataset, *others)))
    unknown = [name for name in needed if name not in config.data.sources]
    if unknown:
        raise UserError(f"no data set {unknown[0]!r} in data.sources; there are: {', '.join(config.data.sources)}")
    missing = [name for name in needed if not (records_dir(config, workdir, name) / SUMMARY).is_file()]
    if missing:
        inform(f"sweep: preparing {', '.join(missing)} first, once for all runs")
        only = ConfigDict(config.to_dict())
        only.data.sources = ConfigDict({name: config.data.sources[name].to_dict() for name in missing})
        prepare(only, workdir)
    return {name: RecordSet(records_dir(config, workdir, name)) for name in needed}


def run_config(config, run: Run, workdir) -> ConfigDict:
    """The configuration of one run: the base, its changes, the base's records, and its own tests.

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


def check_records(run: Run, config, record_sets: dict[str, RecordSet]) -> None:
    """Refuse, before anything is trained, what would only be found out hours later.

    Raises:
      UserError: a compression or a method is missing from the split that needs it.
    """
    learned = itertools.product(("train", "val"), config.train.compressions, config.train.methods)
    needs = [(config.train.dataset, *need) for need in learned]
    needs += [(c.test.dataset, "test", c.test.compression, method) for c in run.cells for method in c.test.methods]
    there = {
        name: {(row["split"], row["compression"], row["method"]) for row in records.rows}
        for name, records in record_sets.items()
    }
    for name, split, compression, method in needs:
        if name not in there or (split, compression, method) in there[name]:
            continue
        has = sorted({q for s, q, m in there[name] if (s, m) == (split, method)})
        raise UserError(
            f"run {run.name} needs {method} at {compression} in the {split} split of {name!r}, whose records hold "
            f"{'it at ' + ', '.join(has) if has else 'none of it'}; nothing was trained. Prepare it (the benchmark "
            "has every compression in every split with --config=configs/protocols.py:cross_compression:synthetic), or "
            "leave it out of eval.compressions, eval.cross_compression or train.methods"
        )


def carry_out(run: Run, config, folder: Path, state: str, train: Callable, evaluate: Callable) -> None:
    """Train, unless that is done, and evaluate.

    Raises:
      UserError: either failed, or the evaluation lacks a test of this run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if state != TRAINED:
        train(config, folder)
    evaluate(config, folder)
    if jax.process_index() == 0 and state_of(folder, config, run) != FINISHED:
        raise UserError(
            f"{folder}: the evaluation lacks a test that the sweep asks of it; delete {folder} to start anew"
        )


def listing(runs: list[Run], configs: dict, states: dict, workdir) -> str:
    """What is there and what will be trained, with how long it may take."""
    waiting = {run.name: configs[run.name] for run in runs if states[run.name] not in (FINISHED, TRAINED)}
    times, note = forecast(Path(workdir), Path(workdir) / FOLDER, waiting)
    width = max(len(run.name) for run in runs)
    lines = [
        f"  {run.name.ljust(width)}  {len(run.cells):3d} cells  {_WORDS.get(states[run.name], 'to be trained')}"
        + (f", {times[run.name]}" if run.name in times else "")
        for run in runs
    ]
    cells = sum(len(run.cells) for run in runs)
    return "\n".join([f"{len(runs)} runs fill {cells} cells; {len(waiting)} are to be trained:", *lines, note])
