"""The whole model, as cpml_jax/models/cpml.py has it, of pulse, landmarks and, without an encoder, texture contrast."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.torch_model.fusion import Fusion
from benchmarks.torch_model.landmarks import LandmarkRNN, jittered, motion_spectrum
from benchmarks.torch_model.physformer import PhysFormer
from benchmarks.torch_model.text import TextEncoder, unit
from benchmarks.torch_model.texture import texture_contrast

TAU_LIMIT = -math.log(0.01)


class CPML(nn.Module):
    """Views of clips -> unified features, logits, waves.

    Args:
      settings: config.model, plain.
      length: T.
      classes: C.
      vocab_size: of the prompts' tokenizer.
      twice, dense_pfe: of PhysFormer, as the authors have it.

    Raises:
      ValueError: the settings ask for a part that is not here.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        length: int,
        classes: int = 2,
        vocab_size: int = 0,
        *,
        twice: bool = False,
        dense_pfe: bool = False,
    ) -> None:
        super().__init__()
        check(settings)
        rppg, text = settings["rppg"], settings["text_encoder"]
        self.sampled = text["prompts"] == "sampled"
        self.spectrum = settings["landmarks"]["spectrum"]
        self.contrast = settings["visual"]["contrast"] if "visual" in settings["modalities"] else 0
        if settings["head"] == "prompts":
            shape = (text["context_length"], text["width"], text["layers"], text["heads"], settings["unified_dim"])
            self.text_encoder = TextEncoder(vocab_size, *shape)
        else:
            self.prototypes = nn.Parameter(nn.init.orthogonal_(torch.empty(classes, settings["unified_dim"])))
        self.tau = nn.Parameter(torch.tensor(-math.log(settings["temperature"])))
        self.rppg = PhysFormer(rppg, twice, dense_pfe)
        self.landmarks = LandmarkRNN(settings["landmarks"])
        side = rppg["frame_size"] // 2 ** len(rppg["stem"])
        tokens = length // 4 * (side // rppg["patch"][1]) * (side // rppg["patch"][2])
        measured = 3 * bool(rppg["agreement"]) + self.spectrum * spectrum_width(length) + self.contrast**2
        self.fusion = Fusion(settings, length, tokens, measured)

    def forward(
        self, inputs: dict[str, Tensor], tokens: Tensor | None = None, downsampled: tuple[str, ...] = ()
    ) -> dict[str, Tensor]:
        """Inputs (B, V, ...) as the Flax twin's.

        Returns unified (B, V', D), logits (B, V', C), wave (B, V', T), and classes (C, D), which are t_c.
        """
        frames, points = inputs["frames"], inputs["landmarks"]
        batch, views = frames.shape[:2]
        if downsampled:
            views = 1 + len(downsampled)
            frames, given = frames[:, :1], points[:, 0]
            made = [jittered(given, name) if self.training else given for name in downsampled]
            points, still = torch.stack([given, *made], dim=1), given[:, None].expand(-1, views, -1, -1, -1)
        else:
            still = points
        wave, stages, agreement = self.rppg(frames.flatten(0, 1), downsampled)
        z_land = self.landmarks(points.flatten(0, 1), still.flatten(0, 1))
        measured = {"agreement": agreement}
        measured["spectrum"] = motion_spectrum(still.flatten(0, 1)) if self.spectrum else None
        measured["contrast"] = (
            texture_contrast(inputs["stills"].flatten(0, 1), self.contrast) if self.contrast else None
        )
        u = self.fusion(wave, stages, z_land, measured).unflatten(0, (batch, views))
        classes = self.classes(tokens)
        with torch.autocast(u.device.type, enabled=False):
            logits = self.tau.clamp(max=TAU_LIMIT).exp() * unit(u) @ unit(classes).T
        return {"unified": u, "logits": logits, "wave": wave.unflatten(0, (batch, views)), "classes": classes}

    def classes(self, tokens: Tensor | None) -> Tensor:
        """t_c (C, D): the prototypes; or of prompts (C, P, L), in training a drawn one of each class, else the mean."""
        if tokens is None:
            return unit(self.prototypes)
        if self.training and self.sampled:
            place = torch.randint(tokens.shape[1], (len(tokens),), device=tokens.device)
            tokens = tokens[torch.arange(len(tokens), device=tokens.device), place][:, None]
        embedded = unit(self.text_encoder(tokens.flatten(0, 1))).unflatten(0, tokens.shape[:2])
        return unit(embedded.mean(dim=1))


def spectrum_width(length: int) -> int:
    """Numbers of motion_spectrum of a clip."""
    return motion_spectrum(torch.zeros(1, length, 68, 2)).shape[1]


def check(settings: dict[str, Any]) -> None:
    """Raises ValueError if there is no twin of a part that the settings ask for."""
    visual = settings["visual"]["encoder"] == "none"
    known = {"rppg", "landmarks", *(("visual",) if visual else ())}
    if not {"rppg", "landmarks"} <= set(settings["modalities"]) <= known:
        raise ValueError(
            f"modalities {settings['modalities']}: the PyTorch twin has pulse, landmarks, texture contrast"
        )
    if settings["head"] == "linear" or settings["fusion_projection"] != "linear":
        raise ValueError("the PyTorch twin has prompts or prototypes, and a linear map to u")
    if settings["head"] == "prompts" and settings["text_encoder"]["mode"] != "finetune":
        raise ValueError("the PyTorch twin's text encoder is fine-tuned")
    if settings["fusion_stage_pool"] not in ("flatten", "global"):
        raise ValueError("the PyTorch twin pools stages by flatten or global")
