"""Which training runs fill which cells of the protocols' tables. Pure: nothing is read, nothing is trained.

in_dataset          one run per compression (eval.compressions), tested at it: all methods, then each alone
cross_compression   one run per compression and per pair of them, tested at each: the full matrix
cross_manipulation  leave one method out, tested on it; and train on one, tested on each of the others
cross_dataset       one run at eval.cross_compression, tested on every set of eval.cross_datasets
ablation            every row of configs/ablation.py, tested like cross_compression and cross_dataset
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import itertools
import json
from collections.abc import Callable, Iterable, Mapping

from ml_collections import ConfigDict

from cpml_jax.configuration import flattened
from cpml_jax.errors import UserError
from cpml_jax.evaluation import protocols
from cpml_jax.evaluation.protocols import Test, Training
from cpml_jax.schema import compression_rank
from cpml_jax.sweep.ablation import Ablation

PROTOCOLS = ("in_dataset", "cross_compression", "cross_manipulation", "cross_dataset", "ablation")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One figure of one table.

    Attributes:
      protocol: name from PROTOCOLS.
      table, row, column: where it stands; no two cells have the same (protocol, table, row, column, seed).
      test: what its run is tested on; test.protocol is the one of eval.protocols that makes this test.
    """

    protocol: str
    table: str
    row: str
    column: str
    test: Test
    seed: int


@dataclasses.dataclass(frozen=True)
class Run:
    """One training run and the cells that it fills.

    Attributes:
      name: of its folder: train_c23, train_raw+c23, without_Deepfakes, only_Face2Face, <ablation row>_c23, ..._seed1.
      changes: dotted key -> value: how its configuration differs from the base; the seed is one of them.
    """

    name: str
    changes: dict
    seed: int
    cells: tuple[Cell, ...]

    @property
    def protocols(self) -> tuple[str, ...]:
        """eval.protocols of the run."""
        return tuple(dict.fromkeys(cell.test.protocol for cell in self.cells))


def planned_runs(
    config: ConfigDict,
    names: Iterable[str],
    seeds: Iterable[int],
    *,
    methods: Mapping[str, tuple[str, ...]],
    stored: Mapping[str, tuple[str, ...]] | None = None,
    ablation: Ablation | None = None,
) -> list[Run]:
    """Every run that the protocols need, once, in the order of training: seed by seed.

    Args:
      config: the base configuration; train.methods are the methods to rotate, eval.compressions the compressions.
      names: from PROTOCOLS.
      seeds: every run is trained with each.
      methods: data set -> the methods of its test split, for the training data set and those of cross_dataset.
      stored: data set -> the compressions of its test split; needed for sets that lack eval.cross_compression.
      ablation: the table, needed for "ablation".

    Raises:
      UserError: an unknown protocol, too little to rotate or to compare, or a row of the ablation that does not fit.
    """
    names, seeds = tuple(dict.fromkeys(names)), tuple(dict.fromkeys(seeds))
    if not seeds:
        raise UserError("--seeds is empty; give one or more: --seeds=0,1,2")
    for name in names:
        check_name(name)
    tests_of = functools.partial(_tests, config, methods, stored or {})
    makers = {
        "in_dataset": lambda: _in_dataset(config, tests_of),
        "cross_compression": lambda: _cross_compression(config, tests_of),
        "cross_manipulation": lambda: _cross_manipulation(config, tests_of, methods.get(config.train.dataset, ())),
        "cross_dataset": lambda: _cross_dataset(config, tests_of),
        "ablation": lambda: _ablation(config, tests_of, ablation or Ablation({})),
    }
    planned = [entry for name in names for entry in makers[name]()]
    return [run for seed in seeds for run in _merged(config, planned, seed)]


def check_name(name: str) -> None:
    """Refuse a protocol that the sweep does not know.

    Raises:
      UserError: with the name that was probably meant.
    """
    if name in PROTOCOLS:
        return
    if name in ("compression_curve", "corruption"):
        raise UserError(f"--protocol={name} needs no training; run `main.py evaluate --protocol={name}`")
    near = difflib.get_close_matches(name, PROTOCOLS, n=1)
    hint = f", did you mean {near[0]!r}?" if near else f"; choose from: {', '.join(PROTOCOLS)}"
    raise UserError(f"--protocol: unknown protocol {name!r}{hint}")


# A run without its seed: name, changes, cells as (protocol, table, row, column, test).
_Entry = tuple[str, dict, list[tuple[str, str, str, str, Test]]]
_TestsOf = Callable[[str, Mapping], list[Test]]  # of (protocol, changes)


def _merged(config: ConfigDict, planned: list[_Entry], seed: int) -> list[Run]:
    """Entries with the same changes become one run with the cells of all."""
    base = flattened(config.to_dict())
    merged: dict[str, tuple[str, dict, list[Cell]]] = {}
    for name, changes, cells in planned:
        changes = {"seed": seed} | _differences(base, changes)
        key = json.dumps(changes, sort_keys=True)
        name, _, held = merged.setdefault(key, (name + (f"_seed{seed}" if seed else ""), changes, []))
        held += [Cell(*cell, seed=seed) for cell in cells]
    names = [name for name, _, _ in merged.values()]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"two different runs are called {twice[0]!r}; rename the row of the ablation table")
    return [Run(name, changes, seed, tuple(dict.fromkeys(cells))) for name, changes, cells in merged.values()]


def _differences(base: Mapping, changes: Mapping) -> dict:
    """The changes that differ from the base once both are JSON, where a tuple is a list."""

    def plain(value: object) -> object:
        return json.loads(json.dumps(value))

    return {key: value for key, value in changes.items() if plain(base.get(key)) != plain(value)}


def joined(compressions: Iterable[str]) -> str:
    """A set of training compressions in the name of a run."""
    return "+".join(compressions)


def trained_at(compressions: tuple[str, ...]) -> dict:
    """Changes for training at these: several are views of each other; for one alone the model makes the views."""
    return {"train.compressions": compressions, "train.views": "recorded" if len(compressions) > 1 else "downsampled"}


def _tests(
    config: ConfigDict,
    methods: Mapping[str, tuple[str, ...]],
    stored: Mapping[str, tuple[str, ...]],
    protocol: str,
    changes: Mapping,
) -> list[Test]:
    """The tests that evaluation makes of a run with these changes."""
    training = Training(
        changes.get("train.dataset", config.train.dataset),
        tuple(changes.get("train.compressions", config.train.compressions)),
        tuple(changes.get("train.methods", config.train.methods)),
    )
    return protocols.make_tests(
        training,
        protocols=(protocol,),
        compressions=tuple(config.eval.compressions),
        cross_datasets=tuple(config.eval.cross_datasets),
        cross_compression=protocols.cross_compressions(
            config.eval.cross_compression, config.eval.cross_datasets, stored
        ),
        methods=methods,
    )


def _compressions(config: ConfigDict) -> tuple[str, ...]:
    """eval.compressions, each once, best first."""
    if not config.eval.compressions:
        raise UserError("eval.compressions is empty; set it to the compressions to train on and to test at")
    return tuple(sorted(dict.fromkeys(config.eval.compressions), key=compression_rank))


def _in_dataset(config: ConfigDict, tests_of: _TestsOf) -> list[_Entry]:
    entries = []
    for compression in _compressions(config):
        changes = trained_at((compression,))
        cells = [
            ("in_dataset", "by method", compression, test.methods[0] if len(test.methods) == 1 else "all", test)
            for test in tests_of("in_dataset", changes)
        ]
        entries.append((f"train_{compression}", changes, cells))
    return entries


def _cross_compression(config: ConfigDict, tests_of: _TestsOf) -> list[_Entry]:
    singles, entries = _compressions(config), []
    for chosen in [*((q,) for q in singles), *itertools.combinations(singles, 2)]:
        changes = trained_at(chosen)
        tests = tests_of("cross_compression", changes)
        name = joined(chosen)
        cells = [("cross_compression", "matrix", name, test.compression, test) for test in tests]
        entries.append((f"train_{name}", changes, cells))
    return entries


def _cross_manipulation(config: ConfigDict, tests_of: _TestsOf, testable: tuple[str, ...]) -> list[_Entry]:
    every = tuple(config.train.methods)
    if len(every) < 2:
        raise UserError(
            f"cross_manipulation rotates train.methods, which holds {joined(every) or 'none'}; give several"
        )
    missing = [method for method in every if method not in testable]
    if missing:
        raise UserError(
            f"cross_manipulation: the records of {config.train.dataset!r} hold no test clips of {missing[0]}; "
            "take it out of train.methods, or prepare it"
        )
    protocol, entries = "cross_manipulation", []

    def on_one(changes: dict, wanted: tuple[str, ...]) -> list[Test]:
        return [t for t in tests_of(protocol, changes) if len(t.methods) == 1 and t.methods[0] in wanted]

    for left_out in every:
        changes = {"train.methods": tuple(m for m in every if m != left_out)}
        cells = [(protocol, "leave one out", left_out, t.compression, t) for t in on_one(changes, (left_out,))]
        entries.append((f"without_{left_out}", changes, cells))
    for alone in every:
        changes = {"train.methods": (alone,)}
        tests = on_one(changes, tuple(m for m in every if m != alone))
        cells = [(protocol, f"train on one, tested at {t.compression}", alone, t.methods[0], t) for t in tests]
        entries.append((f"only_{alone}", changes, cells))
    return entries


def _cross_dataset(config: ConfigDict, tests_of: _TestsOf) -> list[_Entry]:
    compression = config.eval.cross_compression
    changes = trained_at((compression,))
    tests = tests_of("cross_dataset", changes)
    cells = [("cross_dataset", "data sets", compression, f"{test.dataset} {test.compression}", test) for test in tests]
    return [(f"train_{compression}", changes, cells)]


def _ablation(config: ConfigDict, tests_of: _TestsOf, ablation: Ablation) -> list[_Entry]:
    base = flattened(config.to_dict())
    ablation.check(base)
    entries: list[_Entry] = []
    for row, row_changes in ablation.rows.items():
        trained_on = ablation.trained_on
        if "train.compressions" in row_changes:
            trained_on = (tuple(row_changes["train.compressions"]),)
        for compressions in trained_on or (tuple(config.train.compressions),):
            # A row that is trained as configured keeps the views of the configuration.
            changes = (trained_at(compressions) if trained_on else {}) | dict(row_changes)
            tests = tests_of("cross_compression", changes)
            tests += tests_of("cross_dataset", changes) if config.eval.cross_datasets else []
            home = changes.get("train.dataset", config.train.dataset)
            columns = [t.compression if t.dataset == home else f"{t.dataset} {t.compression}" for t in tests]
            table = f"trained on {joined(compressions)}"
            cells = [("ablation", table, row, column, t) for column, t in zip(columns, tests, strict=True)]
            # The unchanged method is a run of other protocols too: its name must not depend on the protocols.
            unchanged = _differences(base, changes) == _differences(base, trained_at(compressions))
            entries.append((f"{'train' if unchanged else row}_{joined(compressions)}", changes, cells))
    return entries
