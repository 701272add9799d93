"""Correlations of inner face, rim and wave, as cpml_jax/models/agreement.py has them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cpml_jax.schema import FRAME_RATE, PULSE_BAND_HZ

MIDDLE, SCALE, TINY = 0.5, 2.0, 1e-6


def band_basis(length: int) -> Tensor:
    """Cosines and sines of whole periods inside the pulse's band, Hann-windowed: (T, F)."""
    low, high = (rate * length / FRAME_RATE for rate in PULSE_BAND_HZ)
    periods = np.arange(np.ceil(low), np.floor(high) + 1)
    angles = 2.0 * np.pi * np.outer(np.arange(length), periods) / length
    window = np.hanning(length + 2)[1:-1, None] * np.sqrt(2.0 / length)
    return torch.from_numpy((np.concatenate([np.cos(angles), np.sin(angles)], axis=1) * window).astype(np.float32))


def unit(x: Tensor) -> Tensor:
    return x * (x.square().sum(-1, keepdim=True) + TINY).rsqrt()


def pos_spectrum(colours: Tensor) -> Tensor:
    """(..., F, 3) -> (..., F), POS (Wang et al., IEEE TBME 2017) on coefficients."""
    red, green, blue = colours.unbind(-1)
    first, second = green - blue, green + blue - 2.0 * red
    strength = ((first.square().sum(-1) + TINY) / (second.square().sum(-1) + TINY)).sqrt()
    return first + strength[..., None] * second


class Agreement(nn.Module):
    """Three correlations (N, 3) float32 of a normalised volume (N, 3, T, S, S) and its wave (N, T)."""

    def __init__(self, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.regions = nn.Parameter(torch.zeros(2, grid, grid))
        self.bases: dict[tuple[int, torch.device], Tensor] = {}

    def basis(self, length: int, device: torch.device) -> Tensor:
        """band_basis on a device, made once."""
        if (length, device) not in self.bases:
            self.bases[length, device] = band_basis(length).to(device)
        return self.bases[length, device]

    def forward(self, x: Tensor, wave: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            cells = F.avg_pool3d(x.float(), (1, x.shape[3] // self.grid, x.shape[4] // self.grid))
            cells = cells - cells.mean(dim=2, keepdim=True)
            basis = self.basis(x.shape[2], x.device)
            shares = F.logsigmoid(self.regions).flatten(1).softmax(-1)
            colours = torch.einsum("ncts,rs->nrct", cells.flatten(3), shares) @ basis  # (N, 2, 3, F)
            inner, rim = unit(pos_spectrum(colours.transpose(2, 3))).unbind(1)
            reference = unit((wave - wave.mean(dim=1, keepdim=True)) @ basis)
            inner, rim, reference = in_common(inner, rim, reference)
            pairs = ((inner, rim), (inner, reference), (rim, reference))
            return SCALE * (torch.stack([(a * b).sum(-1) for a, b in pairs], dim=-1) - MIDDLE)


def in_common(*pulses: Tensor) -> list[Tensor]:
    """Unit spectra, each frequency weighted by the amplitude of their mean."""
    cosine, sine = unit(torch.stack(pulses).sum(0)).chunk(2, dim=-1)
    weight = (cosine.square() + sine.square() + TINY).sqrt().repeat(1, 2)
    return [unit(pulse * weight) for pulse in pulses]
