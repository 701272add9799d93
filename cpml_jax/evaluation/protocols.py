"""Evaluation protocols: from a few configuration values to a list of tests. Pure.

in_dataset          the training data set's test split, at each training compression: all methods, then each alone
cross_compression   the same at each of the given compressions
cross_manipulation  the same at each training compression, on the methods that training left out: all, then each alone
cross_dataset       the test split of other data sets, all their methods
compression_curve   the training data set's test split, re-encoded at a sweep of rates by several codecs
corruption          the same, its pictures corrupted at five strengths each
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Iterable, Mapping

import ml_collections

from cpml_jax.errors import UserError
from cpml_jax.schema import REAL, REAL_METHOD, video_key

# Their records are made from the test split, by data_prep/conditions.
CONDITION_PROTOCOLS = ("compression_curve", "corruption")
PROTOCOLS = ("in_dataset", "cross_compression", "cross_manipulation", "cross_dataset", *CONDITION_PROTOCOLS)


@dataclasses.dataclass(frozen=True)
class Training:
    """What was seen in training."""

    dataset: str
    compressions: tuple[str, ...]
    methods: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Test:
    """One test: the test split of a data set at one compression; its reals and the fakes of `methods`."""

    __test__ = False  # pytest would collect a class of this name

    protocol: str
    train: Training
    dataset: str
    compression: str
    methods: tuple[str, ...]


def tested_methods(rows: Iterable[dict]) -> tuple[str, ...]:
    """The manipulations that the test split of an index holds, sorted."""
    return tuple(sorted({r["method"] for r in rows if r["split"] == "test" and r["method"] != REAL_METHOD}))


def tested_compressions(rows: Iterable[dict]) -> tuple[str, ...]:
    """The compressions of the test split of an index, in the order of their first row."""
    return tuple(dict.fromkeys(r["compression"] for r in rows if r["split"] == "test"))


def cross_compressions(wanted: str, datasets: Iterable[str], stored: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """The compression to test each data set at: `wanted`, or the only one that it is stored at.

    Args:
      stored: data set -> the compressions of its test split, as far as they are known.
    """
    chosen = {}
    for name in datasets:
        available = stored.get(name, ())
        chosen[name] = available[0] if wanted not in available and len(available) == 1 else wanted
    return chosen


def training_of(config: ml_collections.ConfigDict) -> Training:
    train = config.train
    return Training(train.dataset, tuple(train.compressions), tuple(train.methods))


def condition_records(dataset: str, protocol: str) -> str:
    """Name of the records that hold a data set's test split under a protocol's conditions: `faces.corruption`."""
    return f"{dataset}.{protocol}"


def holds_conditions(name: str) -> bool:
    """Whether records of that name are re-encoded or corrupted videos (condition_records)."""
    return name.rpartition(".")[2] in CONDITION_PROTOCOLS


def home_of(name: str) -> str:
    """The data set that records are of: `faces.corruption` and `faces` are both of `faces`."""
    return name.rpartition(".")[0] if holds_conditions(name) else name


def make_tests(
    training: Training,
    *,
    protocols: Iterable[str],
    compressions: Iterable[str],
    cross_datasets: Iterable[str],
    cross_compression: Mapping[str, str],
    methods: Mapping[str, tuple[str, ...]],
    conditions: Mapping[str, tuple[str, ...]] | None = None,
) -> list[Test]:
    """The tests of a configuration, each once, in the order of `protocols`.

    Args:
      training: what was trained on.
      protocols: names from PROTOCOLS.
      compressions: tests of cross_compression.
      cross_datasets, cross_compression: tests of cross_dataset; the compression by data set (cross_compressions).
      methods: data set -> the manipulations that its test split holds, for every data set that may be asked for.
      conditions: name of records (condition_records) -> the conditions in them.

    Raises:
      UserError: an unknown protocol or data set, nothing left out for cross_manipulation, the training data set
        among cross_datasets, or a protocol that has nothing to test.
    """
    makers = {
        "in_dataset": lambda: _in_dataset(training),
        "cross_compression": lambda: _cross_compression(training, compressions),
        "cross_manipulation": lambda: _cross_manipulation(training, _known(training.dataset, methods)),
        "cross_dataset": lambda: _cross_dataset(training, cross_datasets, cross_compression, methods),
    } | {name: functools.partial(_under_conditions, name, training, conditions or {}) for name in CONDITION_PROTOCOLS}
    tests = [test for name in check_names(protocols) for test in makers[name]()]
    return list(dict.fromkeys(tests))


def check_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once.

    Raises:
      UserError: one is no protocol, or there are none.
    """
    names = tuple(dict.fromkeys(names))
    for name in names:
        if name not in PROTOCOLS:
            raise UserError(f"eval.protocols: unknown protocol {name!r}{_hint(name, PROTOCOLS)}")
    if not names:
        raise UserError(f"eval.protocols is empty; choose from {', '.join(PROTOCOLS)}")
    return names


def _hint(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f", did you mean {near[0]!r}?" if near else f"; choose from {', '.join(names)}"


def _known(dataset: str, methods: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    if dataset not in methods:
        raise UserError(f"no data set {dataset!r} in data.sources{_hint(dataset, methods)}")
    return methods[dataset]


def _pooled_and_alone(protocol: str, training: Training, compression: str, methods: tuple[str, ...]) -> list[Test]:
    alone = [(method,) for method in methods] if len(methods) > 1 else []
    return [Test(protocol, training, training.dataset, compression, chosen) for chosen in [methods, *alone]]


def _in_dataset(training: Training) -> list[Test]:
    return [
        test
        for compression in training.compressions
        for test in _pooled_and_alone("in_dataset", training, compression, training.methods)
    ]


def _cross_compression(training: Training, compressions: Iterable[str]) -> list[Test]:
    tests = [
        Test("cross_compression", training, training.dataset, compression, training.methods)
        for compression in compressions
    ]
    if not tests:
        raise UserError("eval.protocols has cross_compression, but eval.compressions is empty")
    return tests


def _cross_manipulation(training: Training, available: tuple[str, ...]) -> list[Test]:
    left_out = tuple(method for method in available if method not in training.methods)
    if not left_out:
        raise UserError(
            f"cross_manipulation needs a method that training left out; train.methods has all of {training.dataset}'s "
            f"({', '.join(available) or 'none'}): take one out of train.methods, or drop it from eval.protocols"
        )
    return [
        test
        for compression in training.compressions
        for test in _pooled_and_alone("cross_manipulation", training, compression, left_out)
    ]


def _cross_dataset(
    training: Training, datasets: Iterable[str], compression: Mapping[str, str], methods: Mapping[str, tuple[str, ...]]
) -> list[Test]:
    tests = []
    for dataset in datasets:
        if dataset == training.dataset:
            raise UserError(f"eval.cross_datasets names {dataset!r}, which is the training data set; take it out")
        known = _known(dataset, methods)
        tests.append(Test("cross_dataset", training, dataset, compression[dataset], known))
    if not tests:
        raise UserError("eval.protocols has cross_dataset, but eval.cross_datasets is empty")
    return tests


def _under_conditions(protocol: str, training: Training, conditions: Mapping[str, tuple[str, ...]]) -> list[Test]:
    name = condition_records(training.dataset, protocol)
    if name not in conditions:
        raise UserError(f"{protocol}: no records of {name!r}; run `main.py evaluate --protocol={protocol}`")
    return [Test(protocol, training, name, condition, training.methods) for condition in conditions[name]]


def select(rows: Iterable[dict], test: Test) -> list[dict]:
    """The clips of a test: every real of that compression's test split, and the fakes of the test's methods."""
    return _select(rows, "test", (test.compression,), test.methods)


def validation_rows(rows: Iterable[dict], training: Training) -> list[dict]:
    """The clips that choose the threshold: the validation split at the training compressions and methods."""
    return _select(rows, "val", training.compressions, training.methods)


def training_rows(rows: Iterable[dict], training: Training) -> list[dict]:
    """The clips that were trained on."""
    return _select(rows, "train", training.compressions, training.methods)


def _select(rows: Iterable[dict], split: str, compressions: tuple[str, ...], methods: tuple[str, ...]) -> list[dict]:
    return [
        row
        for row in rows
        if row["split"] == split
        and row["compression"] in compressions
        and (row["label"] == REAL or row["method"] in methods)
    ]


def check_no_leak(rows: Iterable[dict], where: str) -> None:
    """Refuse an index in which a face is in two splits, as target or as source of a fake.

    Args:
      rows: the index of one data set. An empty identity is an unknown one and cannot be checked.
      where: named in the error.

    Raises:
      UserError: an identity is in two splits; the first is named.
    """
    splits: dict[str, set[str]] = {}
    for row in rows:
        for identity in (row["identity"], row["source_identity"]):
            if identity:
                splits.setdefault(identity, set()).add(row["split"])
    leaked = sorted(identity for identity, seen in splits.items() if len(seen) > 1)
    if leaked:
        seen = ", ".join(sorted(splits[leaked[0]]))
        raise UserError(
            f"{where}: identity {leaked[0]!r} is in the splits {seen} ({len(leaked)} such identities): "
            "scores would reflect faces seen in training; split by identity and prepare again"
        )


def check_video_keys(rows: Iterable[dict], where: str) -> None:
    """Refuse an index whose video keys merge videos: `000_003` of four methods is four videos.

    Raises:
      UserError: a row's video_key is not that of its data set, method, compression and id; the first is named.
    """
    for row in rows:
        expected = video_key(row["dataset"], row["method"], row["compression"], row["video"])
        if row["video_key"] != expected:
            raise UserError(
                f"{where}: clip {row['clip_id']!r} carries the video key {row['video_key']!r} instead of {expected!r}: "
                "scores of several videos would be averaged as one; prepare again"
            )


def check_not_trained_on(rows: Iterable[dict], trained_on: dict | None, where: str) -> None:
    """Refuse to test on a face that the checkpoint was trained on, though today's records say otherwise.

    Args:
      rows: clips of a test.
      trained_on: {dataset, identities} of the training run, or None where it is not known.

    Raises:
      UserError: an identity is in both; the first is named.
    """
    if trained_on is None:
        return
    seen = set(trained_on["identities"])
    tested = {
        identity
        for row in rows
        if home_of(row["dataset"]) == trained_on["dataset"]
        for identity in (row["identity"], row["source_identity"])
    }
    leaked = sorted((tested & seen) - {""})
    if leaked:
        raise UserError(
            f"{where}: identity {leaked[0]!r} is tested here, and the checkpoint was trained on it ({len(leaked)} such "
            "identities): the records' splits are not those of the training; evaluate on those, or train again"
        )
