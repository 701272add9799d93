"""LRNet (Sun et al., CVPR 2021) and the motion's spectrum, as cpml_jax/models has them. All of it is float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cpml_jax.schema import FRAME_RATE, NUM_LANDMARKS

BANDS_HZ = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 11.5, 15.1)
NOSE = (27, 36)
JAW, BROWS, EYES = range(5, 12), range(17, 27), range(36, 48)
UPPER_LIP, LOWER_LIP = (*range(48, 55), *range(60, 65)), (*range(55, 60), *range(65, 68))
POWER_FLOOR = 1e-8
# Half-widths (x, y) of the jitter of made views: on every point, and on top of it from one point to before another.
JITTER = {
    "half": ((0.0005, 0.0005), (48, 68, 0.0006, 0.0005), (36, 48, 0.0005, 0.0004), (27, 36, 0.0001, 0.0001)),
    "quarter": ((0.01, 0.01), (48, 68, 0.006, 0.0085), (36, 48, 0.005, 0.007), (27, 36, 0.001, 0.0015)),
}


def jittered(points: Tensor, view: str) -> Tensor:
    """(N, T, 68, 2) with two uniform draws a coordinate, one on every point and one by region."""
    every, *regions = JITTER[view]
    by_region = points.new_zeros(NUM_LANDMARKS, 2)
    for first, end, x, y in regions:
        by_region[first:end] = points.new_tensor([x, y])
    noise = torch.empty_like(points).uniform_(-1, 1) * points.new_tensor(every)
    return points + noise + torch.empty_like(points).uniform_(-1, 1) * by_region


class BidirectionalGRU(nn.Module):
    """torch's GRU with a learned start: (N, T, F) -> (N, 2 hidden), both final states."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(features, hidden, batch_first=True, bidirectional=True)
        self.initial_state = nn.Parameter(torch.zeros(2, hidden))

    def forward(self, x: Tensor) -> Tensor:
        start = self.initial_state[:, None].expand(-1, len(x), -1).contiguous()
        return self.gru(x, start)[1].transpose(0, 1).flatten(1)


class Branch(nn.Module):
    """Point dropout, bidirectional GRU, residual MLP, noise."""

    def __init__(self, hidden: int, point_dropout: float, dropout: float, noise: float) -> None:
        super().__init__()
        self.point_dropout, self.noise = point_dropout, noise
        self.gru = BidirectionalGRU(2 * NUM_LANDMARKS, hidden)
        self.fc1, self.fc2 = nn.Linear(2 * hidden, 2 * hidden), nn.Linear(2 * hidden, 2 * hidden)
        self.drop = nn.Dropout(dropout)

    def forward(self, points: Tensor) -> Tensor:
        if self.training and self.point_dropout:
            points = points * F.dropout(points.new_ones(len(points), 1, NUM_LANDMARKS, 1), self.point_dropout)
        x = self.drop(self.gru(points.flatten(2)))
        x = self.drop(x + self.fc2(self.drop(F.relu(self.fc1(x)))))
        return x + self.noise * torch.randn_like(x) if self.training and self.noise else x


class LandmarkRNN(nn.Module):
    """Positions and deltas, each through a Branch: (N, T, 68, 2) -> (N, 4 hidden)."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.delta_scale = settings["delta_scale"]
        given = (settings["hidden"], settings["point_dropout"], settings["dropout"], settings["noise"])
        self.positions, self.deltas = Branch(*given), Branch(*given)

    def forward(self, points: Tensor, unjittered: Tensor) -> Tensor:
        """unjittered: the points whose deltas are read."""
        with torch.autocast(points.device.type, enabled=False):
            deltas = self.delta_scale * (unjittered[:, 1:] - unjittered[:, :-1])
            return torch.cat([self.positions(points), self.deltas(deltas)], dim=-1)


def motion_spectrum(landmarks: Tensor) -> Tensor:
    """(N, T, 68, 2) -> (N, features): log power by region and band, standardised over a clip's numbers."""
    length = landmarks.shape[1]
    nose = landmarks[:, :, NOSE[0] : NOSE[1]].mean(dim=2)
    regions = (JAW, BROWS, EYES, UPPER_LIP, LOWER_LIP)
    places = torch.stack([landmarks[:, :, list(region)].mean(dim=2) - nose for region in regions], dim=2)
    window = torch.from_numpy(np.hanning(length + 2)[1:-1].astype(np.float32)).to(places.device)
    spectrum = torch.fft.rfft((places - places.mean(dim=1, keepdim=True)) * window[:, None, None], dim=1)
    power = (spectrum.real.square() + spectrum.imag.square()).sum(-1)
    rates = np.fft.rfftfreq(length, 1 / FRAME_RATE)
    bands = []
    for low, high in zip(BANDS_HZ[:-1], BANDS_HZ[1:], strict=True):
        inside = np.flatnonzero((rates >= low) & (rates < high))
        if len(inside):
            bands.append(power[:, inside[0] : inside[-1] + 1].mean(dim=1))
    features = (torch.stack(bands, dim=-1) + POWER_FLOOR).log().flatten(1)
    features = features - features.mean(dim=1, keepdim=True)
    return features * (features.square().mean(dim=1, keepdim=True) + 1e-6).rsqrt()
