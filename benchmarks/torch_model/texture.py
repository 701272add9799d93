"""The contrast of fine texture, as cpml_jax/models/texture_contrast.py has it, of recorded views."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from cpml_jax.data.cells import cell_weights

LUMA = (0.299, 0.587, 0.114)
FLOOR, SCALE = 0.25, 3.0


def texture_contrast(stills: Tensor, grid: int) -> Tensor:
    """(N, K, S, S, 3) grey levels -> (N, grid^2): log of the mean fine part of the luma in each cell."""
    red, green, blue = stills.float().unbind(-1)
    luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    fine = (luma - blurred(luma)).abs()
    weights = torch.from_numpy(cell_weights(luma.shape[-1], grid)).to(luma.device)
    logs = (weights @ fine @ weights.T + FLOOR).log().mean(dim=1)
    return SCALE * (logs - logs.mean(dim=(1, 2), keepdim=True)).flatten(1)


def blurred(x: Tensor) -> Tensor:
    """(1, 2, 1) / 4 along both axes of (N, K, S, S); the edge is repeated."""
    wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
    rows = 0.25 * (wide[..., :-2, :] + wide[..., 2:, :]) + 0.5 * wide[..., 1:-1, :]
    return 0.25 * (rows[..., :-2] + rows[..., 2:]) + 0.5 * rows[..., 1:-1]
