"""Clips mirrored left to right, as cpml_jax/data/augment.py has it."""

from __future__ import annotations

import torch
from torch import Tensor

# iBUG-68: the point that each becomes, by parts: jaw, brows, nose, eyes, outer and inner lip.
MIRRORED = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37, 36,
    41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
)  # fmt: skip


def mirrored(inputs: dict[str, Tensor], chosen: Tensor) -> dict[str, Tensor]:
    """The chosen clips (B,) bool of every input (B, ...) mirrored."""
    return {name: torch.where(chosen.view(-1, *[1] * (x.ndim - 1)), mirror(name, x), x) for name, x in inputs.items()}


def mirror(name: str, x: Tensor) -> Tensor:
    """(..., S, S, 3) pixels, or (..., 68, 2) points."""
    return x[..., list(MIRRORED), :] * x.new_tensor([-1.0, 1.0]) if name == "landmarks" else x.flip(-2)
