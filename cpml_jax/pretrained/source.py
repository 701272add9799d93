"""What all loaders of trained weights share: take arrays by name, fit them to a model, report what was used."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, cast

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from cpml_jax.errors import UserError

Path = tuple[str, ...]


def flat(tree: Mapping[str, Any]) -> dict[Path, Any]:
    """Leaves of nested dictionaries by path."""
    return cast(dict[Path, Any], flatten_dict(dict(tree)))  # its type also has the empty nodes that it does not keep


@dataclasses.dataclass(frozen=True)
class Loaded:
    """Trained weights, laid out as a model's variables.

    Attributes:
      params, batch_stats: nested dictionaries of float32 arrays, holding only what the weights fill; a model's fresh
        start supplies the rest (see merged).
      loaded: paths filled, "collection/module/.../leaf".
      fresh: paths of the model that the weights do not fill.
      ignored: names in the file that have no place in the model.
      beside: parameters of the whole model by name, where these weights are of a part of it.
    """

    params: dict
    batch_stats: dict
    loaded: list[str]
    fresh: list[str]
    ignored: list[str]
    beside: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Rule:
    """One array of the model from arrays of a file.

    Attributes:
      path: in the model's variables, the collection ("params", "batch_stats") first.
      names: in the file; all of them are needed.
      convert: their arrays -> the model's array.
    """

    path: tuple[str, ...]
    names: tuple[str, ...]
    convert: Callable[..., np.ndarray] = lambda x: x


def same(path: tuple[str, ...], name: str) -> Rule:
    """The array as it is."""
    return Rule(path, (name,))


def dense(path: tuple[str, ...], name: str, bias: bool = True) -> list[Rule]:
    """torch's Linear, or a convolution of one tap: (out, in, 1, ...) -> kernel (in, out)."""
    rules = [Rule(("params", *path, "kernel"), (f"{name}.weight",), _linear_kernel)]
    return rules + [same(("params", *path, "bias"), f"{name}.bias")] if bias else rules


def _linear_kernel(weight: np.ndarray) -> np.ndarray:
    if weight.ndim < 2 or set(weight.shape[2:]) - {1}:
        raise ValueError
    return weight.reshape(weight.shape[:2]).T


def layer_norm(path: tuple[str, ...], name: str) -> list[Rule]:
    """torch's LayerNorm."""
    return [same(("params", *path, "scale"), f"{name}.weight"), same(("params", *path, "bias"), f"{name}.bias")]


def batch_norm(path: tuple[str, ...], name: str) -> list[Rule]:
    """torch's BatchNorm: scale and bias, and the running statistics (its batch counter has no use here)."""
    statistics = (("mean", "running_mean"), ("var", "running_var"))
    return layer_norm(path, name) + [same(("batch_stats", *path, ours), f"{name}.{t}") for ours, t in statistics]


def assemble(
    state: Mapping[str, np.ndarray],
    rules: Iterable[Rule],
    variables: Mapping,
    *,
    file: str,
    fresh: Iterable[str] = (),
    ignored: Iterable[str] = (),
) -> Loaded:
    """Apply rules to a file's arrays, and fit the result to a model.

    Args:
      state: arrays by name.
      rules: one per array of the model.
      variables: {"params": ..., "batch_stats": ...} of the model or of the part that the rules fill; anything with
        shapes does (jax.eval_shape).
      file: for messages.
      fresh: patterns (fnmatch) of the model's paths that may stay without weights.
      ignored: patterns of the file's names that may stay unused.

    Raises:
      UserError: names are missing, left over or misshapen, paths of the model stay empty, or numbers are not finite;
        all of them are listed.
    """
    wanted = {path: np.shape(v) for path, v in flat(variables).items()}
    filled: dict[tuple[str, ...], np.ndarray] = {}
    used: set[str] = set()
    wrong: list[str] = []
    missing: list[str] = []
    rules = list(rules)
    for rule in rules:
        used.update(rule.names)
        absent = [name for name in rule.names if name not in state]
        missing += [name for name in absent if name not in missing]
        if absent:
            continue
        fitted = _fitted(rule, [state[name] for name in rule.names], wanted.get(rule.path))
        if isinstance(fitted, str):
            wrong.append(fitted)
        else:
            filled[rule.path] = fitted
    covered = {rule.path for rule in rules}
    empty = ["/".join(path) for path in sorted(wanted) if path not in covered]
    unused = sorted(name for name in state if name not in used)
    left = [path for path in empty if not _matches(path, fresh)]
    extra = [name for name in unused if not _matches(name, ignored)]
    refuse(file, missing=missing, unused=extra, misfits=wrong, empty=left)
    params, batch_stats = (
        unflatten_dict({path[1:]: v for path, v in filled.items() if path[0] == kind})
        for kind in ("params", "batch_stats")
    )
    return Loaded(params, batch_stats, ["/".join(path) for path in sorted(filled)], empty, unused)


def _fitted(rule: Rule, arrays: list[np.ndarray], shape: tuple[int, ...] | None) -> np.ndarray | str:
    """The rule's array in float32, or what is wrong with it."""
    path, names = "/".join(rule.path), " + ".join(rule.names)
    have = " + ".join(str(np.shape(a)) for a in arrays)
    if shape is None:
        return f"{names} {have}: the model has no {path}"
    misfit = f"{names} {have} does not give {path} {shape}"
    if any(np.asarray(a).dtype.kind in "iub" for a in arrays):
        return f"{names} holds whole numbers, no weights"
    try:
        with np.errstate(over="ignore"):
            array = np.asarray(rule.convert(*(np.asarray(a, np.float32) for a in arrays)), np.float32)
    except (ValueError, IndexError):
        return misfit
    if array.shape != shape:
        return misfit
    if not np.isfinite(array).all():
        return f"{names} holds NaN or infinite numbers"
    return np.ascontiguousarray(array).reshape(shape)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def refuse(
    file: str,
    *,
    missing: Iterable[str] = (),
    unused: Iterable[str] = (),
    misfits: Iterable[str] = (),
    empty: Iterable[str] = (),
) -> None:
    """Raise UserError with all mismatches in one line, or return if there are none."""
    missing, unused, misfits, empty = list(missing), list(unused), list(misfits), list(empty)
    parts = [f"missing {missing}"] * bool(missing) + [f"not used {unused}"] * bool(unused)
    parts += ["; ".join(misfits)] * bool(misfits) + [f"nothing fills {empty}"] * bool(empty)
    if parts:
        raise UserError(f"{file}: the weights do not fit: {'; '.join(parts)}")


def merged(fresh: Mapping, weights: Mapping) -> dict:
    """A tree of fresh parameters with those in `weights` in their place.

    Raises:
      KeyError: `weights` holds a path that `fresh` has not.
    """
    tree, new = flat(fresh), flat(weights)
    if new.keys() - tree.keys():
        raise KeyError(f"no such parameters: {sorted('/'.join(k) for k in new.keys() - tree.keys())}")
    return unflatten_dict(tree | new)


class Source:
    """Takes arrays out of a state dictionary, and collects what is missing."""

    def __init__(self, state: Mapping[str, np.ndarray], file: str = "weights") -> None:
        self.state, self.file = state, file
        self.used: set[str] = set()
        self.missing: list[str] = []

    def take(self, name: str) -> np.ndarray:
        """An array in float32; a small one of zeros if it is missing, so that all missing names can be listed."""
        self.used.add(name)
        if name not in self.state:
            self.missing.append(name)
            return np.zeros((1, 1, 1, 1), np.float32)
        return np.asarray(self.state[name], np.float32)

    def dense(self, name: str, bias: bool = True) -> dict[str, np.ndarray]:
        """torch's Linear."""
        kernel = self.take(f"{name}.weight")
        out = {"kernel": kernel.reshape(len(kernel), -1).T}
        return out | {"bias": self.take(f"{name}.bias")} if bias else out

    def norm(self, name: str) -> dict[str, np.ndarray]:
        """torch's LayerNorm."""
        return {"scale": self.take(f"{name}.weight"), "bias": self.take(f"{name}.bias")}

    def finish(self, prefixes: tuple[str, ...]) -> None:
        """Raises UserError if names were missing, or some under `prefixes` were not taken; lists all."""
        # Old files also hold a table of 0, 1, 2, …, which is no parameter.
        extra = [
            n for n in self.state if n.startswith(prefixes) and n not in self.used and not n.endswith("position_ids")
        ]
        refuse(self.file, missing=sorted(self.missing), unused=sorted(extra))
