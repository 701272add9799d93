"""The total loss, as cpml_jax/losses has it: cross-entropy, CQSL, CMCL, pulse teacher, sparsity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.torch_model.cpml import CPML, TAU_LIMIT
from benchmarks.torch_model.text import unit
from cpml_jax.schema import FAKE, FRAME_RATE, REAL

CLIPS, VIEWS = 2, 2  # of the smallest batch
TINY = 1e-8
SHARPNESS = 30.0
RATES = np.arange(60.0, 120.5, 1.0)  # beats/min


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    weight = weight.expand_as(values)
    return (values * weight).sum() / weight.sum().clamp(min=TINY)


def pearson(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """Correlation over the last axis; 0 where either is constant."""
    total = weight.sum(-1, keepdim=True).clamp(min=TINY)
    x = x - (weight * x).sum(-1, keepdim=True) / total
    y = y - (weight * y).sum(-1, keepdim=True) / total
    power = (weight * x * x).sum(-1) * (weight * y * y).sum(-1)
    moving = power > TINY**2
    rho = (weight * x * y).sum(-1) * torch.where(moving, power, 1.0).rsqrt()
    return torch.where(moving, rho.clamp(-1.0, 1.0), 0.0)


def soft_heart_rate(wave: Tensor) -> Tensor:
    """(..., T) -> (...) beats/min in [60, 120], differentiable."""
    length = wave.shape[-1]
    angles = 2.0 * np.pi * np.outer(np.arange(length) / FRAME_RATE, RATES / 60.0)
    window = np.hanning(length + 2)[1:-1, None]
    bases = torch.from_numpy(np.stack([np.cos(angles), np.sin(angles)]) * window).to(wave)
    wave = wave - wave.mean(-1, keepdim=True)
    power = (wave @ bases[0]).square() + (wave @ bases[1]).square()
    peak = power.detach().amax(-1, keepdim=True).clamp(min=TINY)
    return (SHARPNESS * power / peak).softmax(-1) @ torch.from_numpy(RATES).to(wave)


def push_pairs(batch: Mapping[str, Tensor], which: str) -> Tensor:
    """(B, B) weight of the pair of real clip (row) and fake (column)."""
    label, weight = batch["label"], batch["weight"]
    pairs = (weight * (label == REAL))[:, None] * (weight * (label == FAKE))
    return pairs * (batch["pair"][:, None] == batch["pair"]) if which == "matched" else pairs


def cqsl(wave: Tensor, batch: Mapping[str, Tensor], valid: Tensor, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """pull, push and rate of waves (B, V, T)."""
    clips, views, length = wave.shape
    measured, weight = valid.float(), batch["weight"]
    terms = {}
    if views > 1:
        rho = pearson(wave[:, :1], wave[:, 1:], measured[:, :1] * measured[:, 1:])
        terms["pull"] = CLIPS * weighted_mean(1.0 - rho, weight[:, None])
        rates = soft_heart_rate(wave)
        terms["rate"] = CLIPS * weighted_mean((rates[:, :1] - rates[:, 1:]).abs() / 60.0, weight[:, None])
    rows, shown = wave.flatten(0, 1), measured.flatten(0, 1)
    excess = (pearson(rows[:, None], rows, shown[:, None] * shown).abs() - settings["push_margin"]).relu()
    excess = excess.view(clips, views, clips, views)
    pairs = push_pairs(batch, settings["push_pairs"])
    return terms | {"push": min(views, VIEWS) ** 2 * weighted_mean(excess, pairs[:, None, :, None])}


def cmcl(unified: Tensor, classes: Tensor, index: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """align, repel and steady of u (B, V, D) and t_c (C, D)."""
    cosine = unit(unified) @ classes.T
    own = F.one_hot(index, cosine.shape[-1])[:, None].bool()
    to_class = torch.where(own, cosine, 0.0).sum(-1)
    to_others = torch.where(own, 0.0, cosine).sum(-1) / (cosine.shape[-1] - 1)
    count = CLIPS * min(unified.shape[1], VIEWS)
    terms = {
        "align": count * weighted_mean(1.0 - to_class, weight[:, None]),
        "repel": count * weighted_mean(to_others, weight[:, None]),
    }
    if unified.shape[1] > 1:
        steady = (to_class[:, :1] - to_class[:, 1:]).square()
        terms["steady"] = CLIPS * weighted_mean(steady, weight[:, None])
    return terms


def teacher(wave: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """1 - rho(wave, trace) of real clips at their best view."""
    rho = pearson(wave[:, 0], batch["pulse"], batch["valid"][:, 0].float())
    taught = (batch["label"] == REAL) & (batch["pulse"] != 0).any(dim=1)
    return weighted_mean(1.0 - rho, batch["weight"] * taught)


def sparsity(model: CPML, outputs: Mapping[str, Tensor]) -> Tensor:
    """L1 norm of what a fused number adds to the classes' logits."""
    length = (outputs["unified"].square().sum(-1).mean() + 1e-12).sqrt()
    kernel = model.fusion.out.weight.T @ unit(outputs["classes"]).T
    return (model.tau.clamp(max=TAU_LIMIT).exp() / length * kernel).abs().sum()


def total_loss(
    model: CPML, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum and each term.

    Args:
      outputs: of CPML. batch: schema.BATCH as tensors.
      settings: config.loss; push_skip_matching, stop_better and FLIP's terms have no twin, and are off.
    """
    weight = batch["weight"]
    classes, wave = outputs["classes"], outputs["wave"]
    index = (batch["label"] if len(classes) == 2 else batch["class_index"]).long()
    read = outputs["logits"] if settings["ce_views"] == "all" else outputs["logits"][:, :1]
    each = F.cross_entropy(read.flatten(0, 1), index.repeat_interleave(read.shape[1]), reduction="none")
    terms = {"ce": CLIPS * weighted_mean(each, weight.repeat_interleave(read.shape[1]))}
    first = 0 if settings["pairing"] == "full" else 1
    made = wave.shape[1] - batch["valid"].shape[1]
    valid = torch.cat([batch["valid"], batch["valid"][:, :1].expand(-1, made, -1)], dim=1)
    if settings["cqsl"]:
        terms |= cqsl(wave[:, first:], batch, valid[:, first:], settings)
    if settings["cmcl"]:
        terms |= cmcl(outputs["unified"][:, first:], classes, index, weight)
    if settings["teacher"]:
        terms["teacher"] = teacher(wave, batch)
    if settings["sparsity"]:
        terms["sparsity"] = sparsity(model, outputs)
    factors = {"ce": settings["ce"], "teacher": settings["teacher"], "sparsity": settings["sparsity"]}
    factors |= {name: settings["cqsl"] * settings[f"cqsl_{name}"] for name in ("pull", "push", "rate")}
    factors |= {name: settings["cmcl"] * settings[f"cmcl_{name}"] for name in ("align", "repel", "steady")}
    return torch.stack([factors[name] * term for name, term in terms.items()]).sum(), terms
