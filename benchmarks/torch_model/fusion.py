"""Fusion of the streams into u, as cpml_jax/models/fusion.py has it: stage pools "flatten" and "global", linear map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

JOINT_SHARE, LANDMARK_SHARE = 0.03, 0.3
AGREEMENT_SHARE, SPECTRUM_SHARE, CONTRAST_SHARE = 3.0, 8.0, 0.5


class PulseTokens(nn.Module):
    """The z-scored wave plus a linear map of the last two stages: (N, T)."""

    def __init__(self, length: int, tokens: int, dim: int, pool: str) -> None:
        super().__init__()
        self.pool = pool
        values = 2 * (2 * dim if pool == "global" else tokens * dim)
        self.norm = nn.LayerNorm(values, eps=1e-6) if pool == "global" else None
        self.stages = nn.Linear(values, length)

    def forward(self, wave: Tensor, stages: list[Tensor]) -> Tensor:
        features = torch.cat([self.pooled(stage, wave.shape[1] // 4) for stage in stages[-2:]], dim=1)
        if self.norm is not None:
            features = self.norm(features)
        wave = wave - wave.mean(dim=1, keepdim=True)
        wave = wave * (wave.square().mean(dim=1, keepdim=True) + 1e-6).rsqrt()
        return wave + self.stages(features).float()

    def pooled(self, stage: Tensor, steps: int) -> Tensor:
        if self.pool == "flatten":
            return stage.flatten(1)
        series = stage.float().unflatten(1, (steps, -1))
        deviation = (series.var(dim=1, correction=0) + 1e-6).sqrt().mean(dim=1)
        return torch.cat([series.mean(dim=(1, 2)), deviation], dim=-1)


class CrossAttention(nn.Module):
    """Series (N, T) and landmark features (N, F) -> their joint vector (N, 2 F).

    released: as the authors' code runs: the wave alone, keys reshaped and not transposed, products not scaled.
    """

    def __init__(self, length: int, width: int, released: bool) -> None:
        super().__init__()
        self.released = released
        self.pulse = nn.Linear(length // 2, 2)
        self.keys, self.queries = nn.Linear(2, width), nn.Linear(width, width)

    def forward(self, series: Tensor, z_land: Tensor) -> Tensor:
        z_rppg = self.pulse(series.unflatten(1, (2, -1)))
        keys, queries = self.keys(z_rppg), self.queries(z_land)
        keys = keys.flatten(1).unflatten(1, (-1, 2)) if self.released else keys.transpose(1, 2)
        logits = (queries[:, None] @ keys).float()
        weights = (logits if self.released else logits * z_land.shape[1] ** -0.5).softmax(-1)
        attended = weights.to(z_rppg.dtype) @ z_rppg
        return (z_land[:, :, None] * attended).flatten(1)


class Fusion(nn.Module):
    """Wave, stages, landmark features and measured numbers -> u (N, D) float32.

    Args:
      settings: config.model.
      length, tokens: T, and L of a stage.
      measured: how many numbers agreement, spectrum and contrast have together.
    """

    def __init__(self, settings: dict, length: int, tokens: int, measured: int) -> None:
        super().__init__()
        width, released = 4 * settings["landmarks"]["hidden"], settings["fusion_wiring"] == "released"
        self.beside = settings["fusion_landmarks"] == "beside"
        self.series = None
        if not released:
            self.series = PulseTokens(length, tokens, settings["rppg"]["dim"], settings["fusion_stage_pool"])
        self.cross_attention = CrossAttention(length, width, released)
        self.joint_norm = nn.LayerNorm(2 * width, eps=1e-6) if self.beside else None
        self.drop = nn.Dropout(settings["fusion_dropout"])
        self.out = nn.Linear((3 if self.beside else 2) * width + measured, settings["unified_dim"])

    def forward(self, wave: Tensor, stages: list[Tensor], z_land: Tensor, measured: dict[str, Tensor | None]) -> Tensor:
        series = wave if self.series is None else self.series(wave, stages)
        joint = self.cross_attention(series, z_land)
        if self.joint_norm is not None:
            joint = torch.cat([JOINT_SHARE * self.joint_norm(joint.float()), LANDMARK_SHARE * z_land], dim=-1)
        shares = {"agreement": AGREEMENT_SHARE, "spectrum": SPECTRUM_SHARE, "contrast": CONTRAST_SHARE}
        parts = [shares[name] * numbers for name, numbers in measured.items() if numbers is not None]
        return self.out(torch.cat([self.drop(joint), *parts], dim=-1)).float()
