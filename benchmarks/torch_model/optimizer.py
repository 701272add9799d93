"""AdamW with warm-up, cosine, clipping and groups, as cpml_jax/training/optimizer.py has it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
from torch import nn


class Optimizer:
    """torch's fused AdamW over groups of a factor and a decay.

    Args:
      model: its trained parameters are all; those that a step does not reach are left alone.
      steps, learning_rate, weight_decay, warmup_steps, final_fraction, clip_norm, groups: config.optim, train.steps.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        steps: int,
        learning_rate: float,
        weight_decay: float,
        warmup_steps: int,
        final_fraction: float,
        clip_norm: float,
        groups: Sequence[tuple[str, float]] = (),
        accumulate: int = 1,
    ) -> None:
        if accumulate != 1:
            raise ValueError("the PyTorch twin accumulates no gradients")
        self.clip_norm, self.number = clip_norm, 0
        self.rate = (learning_rate, steps, warmup_steps, final_fraction)
        by_kind: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            path = name.replace(".", "/")
            factor = next((factor for pattern, factor in groups if re.match(pattern, path)), 1.0)
            # The GRUs' biases are one array a kind in Flax, (2, 3 H), which decays.
            decays = parameter.ndim > 1 or "/gru/gru/" in path
            by_kind.setdefault((factor, weight_decay if decays else 0.0), []).append(parameter)
        self.factors = [factor for factor, _ in by_kind]
        kinds = [{"params": found, "weight_decay": decay} for (_, decay), found in by_kind.items()]
        self.adamw = torch.optim.AdamW(kinds, lr=learning_rate, eps=1e-8, betas=(0.9, 0.999), fused=True)
        self.parameters = [parameter for found in by_kind.values() for parameter in found]

    def update(self) -> None:
        """One step from the parameters' gradients, which are then gone."""
        if self.clip_norm:
            nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        for factor, group in zip(self.factors, self.adamw.param_groups, strict=True):
            group["lr"] = factor * rate_at(self.number, *self.rate)
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
        self.number += 1


def rate_at(step: int, peak: float, steps: int, warmup: int, final_fraction: float) -> float:
    """Linear warm-up from 0 to the peak, then a cosine to its final fraction."""
    if step < warmup:
        return peak * step / warmup
    share = min((step - warmup) / max(steps - warmup, 1), 1.0)
    return peak * ((1.0 - final_fraction) * 0.5 * (1.0 + math.cos(math.pi * share)) + final_fraction)
