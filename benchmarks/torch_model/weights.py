"""A Flax model's variables -> the PyTorch twin's state, by path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

RENAMED = {"scale": "weight", "kernel": "weight", "embedding": "weight", "mean": "running_mean", "var": "running_var"}
GRU = {"kernel_ih": "weight_ih_l0", "kernel_hh": "weight_hh_l0", "bias_ih": "bias_ih_l0", "bias_hh": "bias_hh_l0"}


def copy(variables: Mapping[str, Any], model: nn.Module) -> None:
    """Put every parameter and running statistic of `model`'s Flax twin into it.

    Args:
      variables: {"params": ..., "batch_stats": ...}, nested; arrays.

    Raises:
      RuntimeError: torch's, if a name or a shape does not fit, or one is missing.
    """
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    state = {name: torch.zeros(()) for name in shapes if name.endswith("num_batches_tracked")}
    for path, array in [*flat(variables["params"]), *flat(variables.get("batch_stats", {}))]:
        for name, value in converted(path, np.asarray(array)):
            # A convolution of size 1 is a Dense layer in Flax.
            axes = len(shapes.get(name, ())) - 2 if value.ndim == 2 else 0
            state[name] = torch.from_numpy(np.array(value.reshape((*value.shape, *[1] * axes)), np.float32))
    model.load_state_dict(state, strict=True)


def flat(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """[(path, leaf)] of nested mappings."""
    found = []
    for name, value in tree.items():
        found += flat(value, (*path, name)) if isinstance(value, Mapping) else [((*path, name), value)]
    return found


def converted(path: tuple[str, ...], array: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """[(torch's name, its array)] of one of Flax's."""
    *parents, leaf = path
    place = ".".join(parents)
    if leaf in GRU:  # (2, ...): both directions
        each = [half.T if half.ndim == 2 else half for half in array]
        return [(f"{place}.gru.{GRU[leaf]}{way}", half) for way, half in zip(("", "_reverse"), each, strict=True)]
    if leaf == "kernel":
        if array.ndim == 5:
            array = array.transpose(4, 3, 0, 1, 2)
        elif array.ndim == 4:
            array = array.transpose(3, 0, 1, 2)[:, None]  # depth-wise
        else:
            array = array.T
    name = RENAMED.get(leaf, leaf)
    return [(f"{place}.{name}" if place else name, array)]
