"""PhysFormer's published weights (Yu et al., CVPR 2022; class ViT_ST_ST_Compact3_TDC_gra_sharp) -> PhysFormer.

The published network is ours name for name: theta 0.7 and gra_sharp 2.0 are arguments, not weights (docs/method.md has
the published values), there is no norm after the last block (normLast is switched off in the published code), and the
down-sampler and the PFE, which CPML adds, stay fresh. Two things are the authors' habit rather than the network's:
they read frames with OpenCV, blue first, and as (x - 127.5) / 128, which is model.rppg.input_norm="center".
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from cpml_jax.errors import UserError
from cpml_jax.models.physformer import STAGES
from cpml_jax.pretrained import torch_file
from cpml_jax.pretrained.source import Loaded, Rule, assemble, batch_norm, dense, layer_norm, same

INPUT_NORM = "center"  # what the weights expect of model.rppg.input_norm
IGNORED = ("*num_batches_tracked",)  # of torch's batch norms, for a momentum that is not used
FRESH = ("params/views/*", "batch_stats/views/*")


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


def convolution_of_frames(path: tuple[str, ...], name: str, blue_first: bool) -> list[Rule]:
    """A Conv3d with bias that sees the frames; if blue came first, its channels are turned round to our order."""

    def ordered(weight: np.ndarray) -> np.ndarray:
        return kernel(weight[:, ::-1] if blue_first else weight)

    return [
        Rule(("params", *path, "kernel"), (f"{name}.weight",), ordered),
        same(("params", *path, "bias"), f"{name}.bias"),
    ]


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
    variables: Mapping, path: tuple[str, ...] = (), prefix: str = "", blue_first: bool = True
) -> list[Rule]:
    """Rules for PhysFormer, without its down-sampler and PFE.

    Args:
      variables: {"params": ...} of PhysFormer, for the number of its blocks and of its stem's convolutions.
      path: of PhysFormer in the model's parameters.
      prefix: of the names in the file.
      blue_first: the weights were trained on frames as OpenCV reads them.
    """
    names = variables["params"]
    rules = []
    for i in range(sum(name.startswith("stem") for name in names)):
        at, name = (*path, f"stem{i}"), f"{prefix}Stem{i}"
        rules += (
            convolution((*at, "conv"), f"{name}.0")
            if i
            else convolution_of_frames((*at, "conv"), f"{name}.0", blue_first)
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
    state: Mapping[str, np.ndarray], variables: Mapping, *, blue_first: bool = True, file: str = "PhysFormer weights"
) -> Loaded:
    """Parameters and running statistics of PhysFormer.

    Args:
      state: the file's arrays by name.
      variables: {"params": ..., "batch_stats": ...} of PhysFormer, arrays or shapes.
      blue_first: as network_rules'.
      file: for messages.

    Raises:
      UserError: names or shapes do not fit; all are listed.
    """
    rules = network_rules(variables, blue_first=blue_first)
    return assemble(state, rules, variables, file=file, fresh=FRESH, ignored=IGNORED)


def load(path: str | os.PathLike, variables: Mapping, *, input_norm: str = INPUT_NORM) -> Loaded:
    """Read the authors' checkpoint (Physformer_VIPL_fold1.pkl).

    Args:
      path: of the file.
      variables: as parameters'.
      input_norm: the configuration's; anything but INPUT_NORM is refused.
    """
    check_input_norm(path, input_norm, INPUT_NORM)
    file = torch_file.read(path)
    result = parameters(file.state, variables, file=str(path))
    result.ignored.extend(file.skipped)
    return result


def check_input_norm(path: str | os.PathLike, configured: str, expected: str) -> None:
    """Raises UserError if weights would see another input than they were trained on."""
    if configured != expected:
        raise UserError(
            f"{path}: these weights expect model.rppg.input_norm={expected!r}, which is {configured!r}; set it"
        )
