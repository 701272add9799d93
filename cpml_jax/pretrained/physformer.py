"""PhysFormer's published weights (Yu et al., CVPR 2022; class ViT_ST_ST_Compact3_TDC_gra_sharp) -> PhysFormer.

The published network is ours name for name: theta 0.7 and gra_sharp 2.0 are no weights but arguments (METHOD.md has the
published values), there is no norm after the last block (normLast is switched off in the published code), and the
down-sampler and the PFE, which CPML adds, stay fresh. Two things are the authors' habit rather than the network's:
they read frames with OpenCV, blue first, and as (x - 127.5) / 128, which is model.physformer.input_norm="center".
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

import numpy as np

from cpml_jax.errors import UserError
from cpml_jax.models.physformer import STAGES
from cpml_jax.pretrained import torch_file
from cpml_jax.pretrained.source import Loaded, Rule, assemble, batch_norm, dense, layer_norm, same

INPUT_NORM = "center"  # what the weights expect of model.physformer.input_norm
IGNORED = ("*num_batches_tracked",)  # of torch's batch norms, for a momentum that is not used
FRESH = ("params/views/*", "batch_stats/views/*")


@dataclasses.dataclass(frozen=True)
class Colours:
    """What a network was trained on: scale * (our input) + offset, red or blue first.

    It is folded into the first convolution, so that our input gives the same numbers. (With an offset not quite at
    the frame's edge: there the convolution sees zeros, which are black to the one and grey to the other.)
    """

    blue_first: bool = False
    scale: float = 1.0
    offset: float = 0.0


AUTHORS = Colours(blue_first=True)


def kernel(weight: np.ndarray) -> np.ndarray:
    """torch's (out, in, t, h, w) -> (t, h, w, in, out)."""
    return weight.transpose(2, 3, 4, 1, 0)


def depthwise(weight: np.ndarray) -> np.ndarray:
    """torch's (C, 1, t, h, w) -> (t, h, w, C)."""
    return weight[:, 0].transpose(1, 2, 3, 0)


def convolution(path: tuple[str, ...], name: str) -> list[Rule]:
    """A Conv3d with bias."""
    return [
        Rule(("params", *path, "kernel"), (f"{name}.weight",), kernel),
        same(("params", *path, "bias"), f"{name}.bias"),
    ]


def first_convolution(path: tuple[str, ...], name: str, colours: Colours) -> list[Rule]:
    """A Conv3d with bias whose input is the frames."""

    def ordered(weight):
        return kernel(weight[:, ::-1] if colours.blue_first else weight)

    def scaled(weight):
        return ordered(weight) * np.float32(colours.scale)

    def shifted(weight, bias):
        return bias + np.float32(colours.offset) * weight.sum(axis=(1, 2, 3, 4))

    names = (f"{name}.weight", f"{name}.bias")
    return [Rule(("params", *path, "kernel"), names[:1], scaled), Rule(("params", *path, "bias"), names, shifted)]


def block_rules(path: tuple[str, ...], prefix: str) -> list[Rule]:
    """Rules for one Block."""
    rules = [
        *layer_norm((*path, "norm1"), f"{prefix}norm1"),
        *layer_norm((*path, "norm2"), f"{prefix}norm2"),
        *dense((*path, "v"), f"{prefix}attn.proj_v.0", bias=False),
        *dense((*path, "proj"), f"{prefix}proj"),
        *dense((*path, "ff1"), f"{prefix}pwff.fc1.0", bias=False),
        *batch_norm((*path, "norm_ff1"), f"{prefix}pwff.fc1.1"),
        Rule(("params", *path, "depthwise", "kernel"), (f"{prefix}pwff.STConv.0.weight",), depthwise),
        *batch_norm((*path, "norm_depthwise"), f"{prefix}pwff.STConv.1"),
        *dense((*path, "ff2"), f"{prefix}pwff.fc2.0", bias=False),
        *batch_norm((*path, "norm_ff2"), f"{prefix}pwff.fc2.1"),
    ]
    for p in "qk":
        rules.append(Rule(("params", *path, p, "kernel"), (f"{prefix}attn.proj_{p}.0.conv.weight",), kernel))
        rules += batch_norm((*path, f"norm_{p}"), f"{prefix}attn.proj_{p}.1")
    return rules


def network_rules(
    variables: Mapping, path: tuple[str, ...] = (), prefix: str = "", colours: Colours = AUTHORS
) -> list[Rule]:
    """Rules for PhysFormer, without its down-sampler and PFE.

    Args:
      variables: {"params": ...} of PhysFormer, for the number of its blocks and of its stem's convolutions.
      path: of PhysFormer in the model's parameters.
      prefix: of the names in the file.
      colours: of the input.
    """
    names = variables["params"]
    rules = []
    for i in range(sum(name.startswith("stem") for name in names)):
        at, name = (*path, f"stem{i}"), f"{prefix}Stem{i}"
        rules += (
            convolution((*at, "conv"), f"{name}.0") if i else first_convolution((*at, "conv"), f"{name}.0", colours)
        )
        rules += batch_norm((*at, "norm"), f"{name}.1")
    rules += convolution((*path, "patch"), f"{prefix}patch_embedding")
    for stage in range(STAGES):
        for block in range(sum(name.startswith(f"stage{stage}_block") for name in names)):
            rules += block_rules(
                (*path, f"stage{stage}_block{block}"), f"{prefix}transformer{stage + 1}.blocks.{block}."
            )
    for i, name in enumerate(("upsample", "upsample2")):
        rules += convolution((*path, f"up{i}"), f"{prefix}{name}.1")
        rules += batch_norm((*path, f"up{i}_norm"), f"{prefix}{name}.2")
    return rules + dense((*path, "wave"), f"{prefix}ConvBlockLast")


def parameters(
    state: Mapping[str, np.ndarray], variables: Mapping, *, colours: Colours = AUTHORS, file: str = "PhysFormer weights"
) -> Loaded:
    """Parameters and running statistics of PhysFormer.

    Args:
      state: the file's arrays by name.
      variables: {"params": ..., "batch_stats": ...} of PhysFormer, arrays or shapes.
      colours: of the frames that the weights were trained on.
      file: for messages.

    Raises:
      UserError: names or shapes do not fit; all are listed.
    """
    rules = network_rules(variables, colours=colours)
    return assemble(state, rules, variables, file=file, fresh=FRESH, ignored=IGNORED)


def load(path: str | os.PathLike, variables: Mapping, *, input_norm: str = INPUT_NORM) -> Loaded:
    """Read the authors' checkpoint (Physformer_VIPL_fold1.pkl).

    Args:
      path: of the file.
      variables: as parameters'.
      input_norm: the configuration's; anything but INPUT_NORM is refused.
    """
    if input_norm != INPUT_NORM:
        raise UserError(
            f"{path}: these weights expect model.physformer.input_norm={INPUT_NORM!r}, which is {input_norm!r}"
        )
    file = torch_file.read(path)
    result = parameters(file.state, variables, file=str(path))
    result.ignored.extend(file.skipped)
    return result
