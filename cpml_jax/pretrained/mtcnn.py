"""MTCNN's three networks, trained, from the package facenet-pytorch (by Timothy Esler).

Its wheel holds three PyTorch files, which are read here without torch and without importing the package.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np

from cpml_jax.errors import INSTALL, UserError, missing_package
from cpml_jax.pretrained import torch_file

PACKAGE = "facenet-pytorch"
Shapes = dict[str, tuple[int, ...]]


def _layer(name: str, *shape: int) -> Shapes:
    """A convolution, or a linear layer, and its PReLU's slopes."""
    kind = "conv" if len(shape) == 4 else "dense"
    return {f"{kind}{name}.weight": shape, f"{kind}{name}.bias": shape[:1], f"prelu{name}.weight": shape[:1]}


def _head(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


# What each file holds: P-Net proposes, R-Net refines, O-Net gives the output.
NETWORKS: dict[str, Shapes] = {
    "pnet": _layer("1", 10, 3, 3, 3)
    | _layer("2", 16, 10, 3, 3)
    | _layer("3", 32, 16, 3, 3)
    | _head("conv4_1", 2, 32, 1, 1)
    | _head("conv4_2", 4, 32, 1, 1),
    "rnet": _layer("1", 28, 3, 3, 3)
    | _layer("2", 48, 28, 3, 3)
    | _layer("3", 64, 48, 2, 2)
    | _layer("4", 128, 576)
    | _head("dense5_1", 2, 128)
    | _head("dense5_2", 4, 128),
    "onet": _layer("1", 32, 3, 3, 3)
    | _layer("2", 64, 32, 3, 3)
    | _layer("3", 64, 64, 3, 3)
    | _layer("4", 128, 64, 2, 2)
    | _layer("5", 256, 1152)
    | _head("dense6_1", 2, 256)
    | _head("dense6_2", 4, 256)
    | _head("dense6_3", 10, 256),
}


def locate(network: str) -> Path:
    """The installed package's file of a network. Raises UserError if there is none."""
    try:
        parts = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        raise missing_package("finding faces", PACKAGE) from None
    files = [Path(str(part.locate())) for part in parts if part.name == f"{network}.pt"]
    if len(files) != 1 or not files[0].is_file():
        raise UserError(f"the package {PACKAGE} lacks its {network}.pt; install it again: {INSTALL}")
    return files[0]


def load(network: str) -> dict[str, np.ndarray]:
    """A network's arrays by the names of the file, float32.

    Args:
      network: of NETWORKS.

    Raises:
      UserError: the package is missing, or its file is not this network's.
    """
    path, wanted = locate(network), NETWORKS[network]
    state = torch_file.read(path).state
    found = {name: array.shape for name, array in state.items()}
    if found != wanted:
        wrong = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
        raise UserError(f"{path}: not MTCNN's {network}: {', '.join(wrong[:8])} missing, or of another shape")
    return {name: np.asarray(array, np.float32) for name, array in state.items()}
