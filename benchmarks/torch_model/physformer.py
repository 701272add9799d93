"""PhysFormer (Yu et al., CVPR 2022), as cpml_jax/models/physformer.py has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.torch_model.agreement import Agreement
from benchmarks.torch_model.resolution import BatchNorm, ConvPool, ResolutionViews

STAGES = 3
TEMPORAL_SCALE, TEMPORAL_LIMIT, TEMPORAL_FLOOR = 100.0, 10.0, 16.0


def normalise(frames: Tensor, kind: str) -> Tensor:
    """(N, T, S, S, 3) uint8 -> (N, 3, T, S, S) float32; kinds as in the Flax twin, without "standardize"."""
    x = frames.permute(0, 4, 1, 2, 3).float()
    if kind == "center":
        return (x - 127.5) / 128.0
    if kind == "unit":
        return x / 255.0
    if kind != "temporal":
        raise ValueError(f"input_norm {kind!r} is not one of center, unit, temporal")
    mean = x.mean(dim=2, keepdim=True)
    return ((x - mean) * (TEMPORAL_SCALE / mean.clamp(min=TEMPORAL_FLOOR))).clamp(-TEMPORAL_LIMIT, TEMPORAL_LIMIT)


class TemporalDifference(nn.Conv3d):
    """Temporal central difference, 3x3x3 without bias.

    Attributes:
      twice: as the authors have it, a second convolution of the whole volume by the difference; otherwise theta times
        it is taken from the kernel's centre tap: the same numbers from one convolution.
    """

    def __init__(self, dim: int, theta: float, twice: bool = False) -> None:
        super().__init__(dim, dim, 3, padding=1, bias=False)
        self.theta, self.twice = theta, twice

    def forward(self, input: Tensor) -> Tensor:
        difference = self.theta * (self.weight[:, :, 0].sum((2, 3)) + self.weight[:, :, 2].sum((2, 3)))
        difference = difference[:, :, None, None, None]
        if self.twice:
            return F.conv3d(input, self.weight, padding=1) - F.conv3d(input, difference)
        return F.conv3d(input, self.weight - F.pad(difference, (1,) * 6), padding=1)


class Block(nn.Module):
    """Temporal-difference self-attention and a spatio-temporal feed-forward, each with a residual: (N, L, D) tokens.

    fused: attention through PyTorch's scaled_dot_product_attention, else as matrix products around a softmax.
    """

    def __init__(
        self, dim: int, ff_dim: int, heads: int, theta: float, temperature: float, dropout: float, twice: bool
    ) -> None:
        super().__init__()
        self.heads, self.temperature, self.dropout = heads, temperature, dropout
        self.fused = False
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.q, self.norm_q = TemporalDifference(dim, theta, twice), BatchNorm(dim)
        self.k, self.norm_k = TemporalDifference(dim, theta, twice), BatchNorm(dim)
        self.v, self.proj = nn.Conv3d(dim, dim, 1, bias=False), nn.Linear(dim, dim)
        self.ff1, self.norm_ff1 = nn.Conv3d(dim, ff_dim, 1, bias=False), BatchNorm(ff_dim)
        self.depthwise = nn.Conv3d(ff_dim, ff_dim, 3, padding=1, groups=ff_dim, bias=False)
        self.norm_depthwise = BatchNorm(ff_dim)
        self.ff2, self.norm_ff2 = nn.Conv3d(ff_dim, dim, 1, bias=False), BatchNorm(dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """grid: T / 4, H, W of the tokens."""
        x = x + self.drop(self.attention(self.norm1(x).transpose(1, 2).unflatten(2, grid)))
        return x + self.drop(self.feed_forward(self.norm2(x).transpose(1, 2).unflatten(2, grid)))

    def attention(self, x: Tensor) -> Tensor:
        """(N, D, T, H, W) -> (N, L, D)."""
        q, k, v = (
            y.flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3)
            for y in (self.norm_q(self.q(x)), self.norm_k(self.k(x)), self.v(x))
        )
        share = self.dropout if self.training else 0.0
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=share, scale=1.0 / self.temperature)
        else:
            y = F.dropout((q @ k.transpose(2, 3) / self.temperature).softmax(-1), share, self.training) @ v
        return self.proj(y.transpose(1, 2).flatten(2))

    def feed_forward(self, x: Tensor) -> Tensor:
        """(N, D, T, H, W) -> (N, L, D)."""
        x = F.elu(self.norm_ff1(self.ff1(x)))
        x = F.elu(self.norm_depthwise(self.depthwise(x)))
        return self.norm_ff2(self.ff2(x)).flatten(2).transpose(1, 2)


class PhysFormer(nn.Module):
    """Pulse wave and stage features of face clips.

    Args:
      settings: config.model.rppg.
      twice: of TemporalDifference.
      dense_pfe: of PFE.
    """

    def __init__(self, settings: Mapping[str, Any], twice: bool = False, dense_pfe: bool = False) -> None:
        super().__init__()
        s = settings
        self.input_norm, self.pfe_views, self.blocks = s["input_norm"], s["pfe_views"], s["blocks"]
        self.stems = len(s["stem"])
        self.patch_size = tuple(s["patch"])
        self.views = ResolutionViews(s["frame_size"], s["pfe_width"], s["pfe_depth"], s["pfe_views"], dense_pfe)
        for i, (given, made) in enumerate(zip((3, *s["stem"]), s["stem"], strict=False)):
            self.add_module(f"stem{i}", ConvPool(given, made, (3, 3, 3) if i else (1, 5, 5)))
        dim = s["dim"]
        self.patch = nn.Conv3d(s["stem"][-1], dim, self.patch_size, stride=self.patch_size)
        for name in self.block_names():
            block = Block(dim, s["ff_dim"], s["heads"], s["theta"], s["temperature"], s["dropout"], twice)
            self.add_module(name, block)
        for i, (given, made) in enumerate(((dim, dim), (dim, dim // 2))):
            self.add_module(f"up{i}", nn.Conv3d(given, made, (3, 1, 1), padding=(1, 0, 0)))
            self.add_module(f"up{i}_norm", BatchNorm(made))
        self.wave = nn.Conv1d(dim // 2, 1, 1)
        self.agreement = Agreement(s["agreement"]) if s["agreement"] else None

    def fuse_attention(self, fused: bool) -> None:
        """Take PyTorch's scaled_dot_product_attention, or not."""
        for block in self.modules():
            if isinstance(block, Block):
                block.fused = fused

    def block_names(self) -> list[str]:
        return [f"stage{stage}_block{block}" for stage in range(STAGES) for block in range(self.blocks // STAGES)]

    def forward(self, frames: Tensor, downsampled: tuple[str, ...] = ()) -> tuple[Tensor, list[Tensor], Tensor | None]:
        """(N, T, S, S, 3) uint8 -> wave (NV, T), three stages (NV, L, dim), agreement's numbers (NV, 3) or None."""
        x = normalise(frames, self.input_norm)
        if downsampled or self.pfe_views == "all":
            x = self.views(x, downsampled).flatten(0, 1)
        return self.encode(x)

    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor], Tensor | None]:
        """The same of a normalised volume (N, 3, T, S, S)."""
        seen = x
        for i in range(self.stems):
            x = self.get_submodule(f"stem{i}")(x)
        x = self.patch(x)
        grid, x = x.shape[2:], x.flatten(2).transpose(1, 2)
        stages = []
        for number, name in enumerate(self.block_names(), 1):
            x = self.get_submodule(name)(x, grid)
            if number % (self.blocks // STAGES) == 0:
                stages.append(x)
        wave = self.head(x.transpose(1, 2).unflatten(2, grid))
        return wave, stages, None if self.agreement is None else self.agreement(seen, wave)

    def head(self, x: Tensor) -> Tensor:
        """(N, D, T / 4, H, W) -> (N, T)."""
        for i in range(2):
            x = F.interpolate(x, scale_factor=(2, 1, 1))
            x = F.elu(self.get_submodule(f"up{i}_norm")(self.get_submodule(f"up{i}")(x)))
        with torch.autocast(x.device.type, enabled=False):
            return self.wave(x.float().mean((3, 4)))[:, 0]
