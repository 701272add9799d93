"""LRNet's published weights (Sun et al., CVPR 2021; its PyTorch port) -> LandmarkRNN.

Two files: g1.pth for positions, g2.pth for deltas. Each holds the learned start of a bidirectional GRU of 32 units
over 136 values, the GRU, a residual MLP 64 -> 64 -> 64, and a classifier 64 -> 2 (real, fake). The
classifier is ignored, because the fusion follows the features here; all else is read.

The authors' landmarks are, like ours, x and y side by side in [-1, 1] in a square face box, with a side of 1.2
times the landmarks' extent; their deltas are plain differences of neighbouring frames.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cpml_jax.errors import UserError
from cpml_jax.pretrained import torch_file
from cpml_jax.pretrained.source import Loaded, Rule, assemble, dense

IGNORED = ("dense.3.weight", "dense.3.bias")
BRANCHES = {"g1": "positions", "g2": "deltas"}


def branch_rules(path: tuple[str, ...], prefix: str = "", input_scale: float = 1.0) -> list[Rule]:
    """Rules for one Branch.

    Args:
      path: of the Branch in the model's parameters.
      prefix: of the names in the file.
      input_scale: the model's input is this many times the authors'; the input kernel is divided by it, which gives
        the same numbers.
    """

    def both(name: str) -> tuple[str, ...]:
        return tuple(f"{prefix}gru.{name}_l0{direction}" for direction in ("", "_reverse"))

    def kernels(
        forward: np.ndarray, backward: np.ndarray
    ) -> np.ndarray:  # torch: (3H, F), gates in the order r, z, n, as here
        return np.stack([forward.T, backward.T])

    def scaled(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
        return kernels(forward, backward) / np.float32(input_scale)

    def biases(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
        return np.stack([forward, backward])

    gru = ("params", *path, "gru")
    return [
        Rule((*gru, "kernel_ih"), both("weight_ih"), scaled),
        Rule((*gru, "kernel_hh"), both("weight_hh"), kernels),
        Rule((*gru, "bias_ih"), both("bias_ih"), biases),
        Rule((*gru, "bias_hh"), both("bias_hh"), biases),
        Rule((*gru, "initial_state"), (f"{prefix}hidden_state",), lambda x: x[:, 0] if x.shape[1] == 1 else x),
        *dense((*path, "fc1"), f"{prefix}dense.1.fn.net.0"),
        *dense((*path, "fc2"), f"{prefix}dense.1.fn.net.3"),
    ]


def parameters(
    g1: Mapping[str, np.ndarray],
    g2: Mapping[str, np.ndarray],
    variables: Mapping,
    *,
    delta_scale: float = 1.0,
    file: str = "LRNet weights",
) -> Loaded:
    """Parameters of LandmarkRNN.

    Args:
      g1, g2: the files' arrays by name.
      variables: {"params": ...} of LandmarkRNN, arrays or shapes.
      delta_scale: LandmarkRNN's; the authors have 1.
      file: for messages.

    Raises:
      UserError: names or shapes do not fit; all are listed, as "g1.<name>" and "g2.<name>".
    """
    state = {f"g1.{k}": v for k, v in g1.items()} | {f"g2.{k}": v for k, v in g2.items()}
    scales = {"g1": 1.0, "g2": delta_scale}
    rules = [rule for g, name in BRANCHES.items() for rule in branch_rules((name,), f"{g}.", scales[g])]
    ignored = [f"{g}.{name}" for g in BRANCHES for name in IGNORED]
    return assemble(state, rules, variables, file=file, ignored=ignored)


def find_pair(path: str | os.PathLike) -> tuple[Path, Path]:
    """The files of g1 and g2.

    Args:
      path: of either (the other lies beside it, with g1 and g2 exchanged in its name), or a folder with one pair.

    Raises:
      UserError: a file is missing, or the folder holds several pairs.
    """
    path = Path(path)
    if path.is_dir():
        candidates = sorted(path.glob("g1*.pth"))
        if len(candidates) != 1:
            names = [p.name for p in candidates]
            raise UserError(f"{path}: holds {len(candidates)} files g1*.pth {names}; name the one that is meant")
        path = candidates[0]
    if not path.name.startswith(tuple(BRANCHES)):
        raise UserError(f"{path}: LRNet's weights are two files whose names begin with g1 and g2; name one of them")
    g1, g2 = (path.with_name(g + path.name[2:]) for g in BRANCHES)
    for file in (g1, g2):
        if not file.is_file():
            raise UserError(f"{file}: no such file; LRNet's weights are two files, g1 (positions) and g2 (deltas)")
    return g1, g2


def load(path: str | os.PathLike, variables: Mapping, *, delta_scale: float = 1.0) -> Loaded:
    """find_pair, read both, parameters. What the files hold besides arrays is listed under `ignored`."""
    g1, g2 = (torch_file.read(file) for file in find_pair(path))
    result = parameters(g1.state, g2.state, variables, delta_scale=delta_scale, file=str(path))
    result.ignored.extend(g1.skipped + g2.skipped)
    return result
