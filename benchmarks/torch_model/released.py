"""The authors' training step as they released it (github.com/k-bigboss99/CPML at f517176), of our own modules.

What decides its speed is kept: one real and one fake clip, six forward passes of one clip at one size, each with CLIP's
text encoder on the clip's own prompt and on the other class's; two convolutions for the temporal difference; the PFE
at every pixel; jitter point by point in Python; heart rates in NumPy; the stage features' map, whose result is not
used; two backward passes; torch's default AdamW, float32. In its favour: autograd's anomaly detection, which they leave
on, is off, and the repairs without which it does not run cost nothing.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from scipy import signal
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.torch_model.cpml import CPML
from benchmarks.torch_model.landmarks import JITTER
from benchmarks.torch_model.physformer import normalise

CLIPS = 2  # of a step: a real one and a fake
REAL = 1  # of their labels; the fake's is 0


class Released(nn.Module):
    """Their model.

    Args:
      settings: config.model of configs/reference.py, plain.
      length: T. vocab_size: of the prompts' tokenizer.
    """

    def __init__(self, settings: dict[str, Any], length: int, vocab_size: int) -> None:
        super().__init__()
        self.net = CPML(settings, length, vocab_size=vocab_size, twice=True, dense_pfe=True)
        rppg, width = settings["rppg"], settings["unified_dim"]
        side = rppg["frame_size"] // 2 ** len(rppg["stem"])
        tokens = length // 4 * (side // rppg["patch"][1]) * (side // rppg["patch"][2])
        self.stack = nn.Linear(2 * tokens * rppg["dim"], length)
        self.classifier = nn.Linear(2 * width, 2)

    def forward(self, frames: Tensor, points: Tensor, own: Tensor, other: Tensor, size: str) -> tuple[Tensor, ...]:
        """One clip (1, T, ...) at "full", "half" or "quarter", tokens (P, L) of both classes' prompts.

        Returns the logits of their classifier, the wave, and the cosines to both prompts.
        """
        net, still = self.net, points
        if size in JITTER:
            points = jittered_in_place(points.clone(), size)
        z_land = net.landmarks(points, still)
        volume = normalise(frames, net.rppg.input_norm).contiguous()  # the authors' loader gives volumes
        wave, stages, _ = net.rppg.encode(net.rppg.views.one(volume, size))
        text, opposite = (net.text_encoder(prompts[random.randrange(len(prompts))][None]) for prompts in (own, other))
        self.stack(torch.cat(stages[-2:], dim=1).flatten(1))
        u = net.fusion(wave, stages, z_land, {})
        logits = self.classifier(torch.cat([u, text], dim=1))
        return logits, wave, F.cosine_similarity(u, text), F.cosine_similarity(u, opposite)


def jittered_in_place(points: Tensor, size: str) -> Tensor:
    """(1, T, 68, 2) moved point by point: each number is read into Python and written back, as theirs."""
    every, *regions = JITTER[size]
    for first, end, x, y in ((0, points.shape[2], *every), *regions):
        for frame in range(points.shape[1]):
            for point in range(first, end):
                for axis, half in enumerate((x, y)):
                    value = float(points[0, frame, point, axis])
                    points[0, frame, point, axis] = value + random.uniform(-half, half)
    return points


def pearson(x: Tensor, y: Tensor) -> Tensor:
    x, y = x - x.mean(), y - y.mean()
    return (x * y).sum() / (x.square().sum() * y.square().sum()).sqrt()


def heart_rate(wave: Tensor) -> float:
    """Beats/min of the band's highest peak, 60 to 120, outside the graph."""
    sections = signal.butter(2, [0.6 / 15, 4 / 15], "band", output="sos")
    filtered = signal.sosfiltfilt(sections, wave.detach().cpu().numpy()[0])
    power = np.abs(np.fft.fft(filtered * signal.windows.hann(len(filtered))))
    power[: round(0.6 / 30 * len(power))] = power[round(4 / 30 * len(power)) :] = 0
    peaks = signal.find_peaks(power)[0]
    best = peaks[np.argmax(power[peaks])] if len(peaks) else 0
    return float(np.clip(best / len(power) * 30 * 60, 60, 120))


def step(model: Released, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor], tokens: Tensor) -> float:
    """One step on the batch's first real and first fake clip; returns the sum of its losses.

    Args:
      batch: schema.BATCH of at least a real and a fake clip at one view, real first. tokens: (2, P, L) real, fake.
    """
    clips = [(batch["frames"][i, :1], batch["landmarks"][i, :1]) for i in range(CLIPS)]
    prompts = [(tokens[i], tokens[1 - i]) for i in range(CLIPS)]

    def passes(size: str) -> list[tuple[Tensor, ...]]:
        return [model(*clip, *both, size) for clip, both in zip(clips, prompts, strict=True)]

    labels = [torch.tensor([label], device=tokens.device) for label in (REAL, 1 - REAL)]
    outputs = passes("full")
    entropy = torch.stack([F.cross_entropy(out[0], y) for out, y in zip(outputs, labels, strict=True)]).sum()
    entropy.backward()
    high, low = passes("half"), passes("quarter")
    total = lower_views_loss(high, low)
    total.backward()
    optimizer.step()
    optimizer.zero_grad()
    return float(entropy.detach() + total.detach())


def lower_views_loss(high: list[tuple[Tensor, ...]], low: list[tuple[Tensor, ...]]) -> Tensor:
    """0.2 CQSL + 0.25 CMCL of the passes of both clips at half and quarter."""
    pull = sum(1 - pearson(h[1], q[1]) for h, q in zip(high, low, strict=True))
    push = sum(pearson(a[0][1], b[1][1]).abs() for a in (high, low) for b in (high, low))
    rate = sum(abs(heart_rate(h[1]) - heart_rate(q[1])) / 60 for h, q in zip(high, low, strict=True))
    align = sum((1 - out[2]).sum() for out in (*high, *low))
    repel = sum(out[3].sum() for out in (*high, *low))
    steady = sum(F.mse_loss(h[2], q[2]) for h, q in zip(high, low, strict=True))
    return torch.as_tensor(0.2 * (pull + push + rate) + 0.25 * (align + repel + steady))
