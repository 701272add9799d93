"""The weights and the clips of tests/goldens/reference.npz: made from names and seeds, so that no file holds them.

One real and one fake clip of 160 frames of 128 x 128 pixels, and the reference's whole PAD_Classifier with a PhysFormer
of width 16 in three blocks and a CLIP text encoder of width 16 in two: all other sizes are written into their code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import published_weights

from cpml_jax.models import prompt_bank, prompts

FRAMES, SIZE = 160, 128
DIM, FF_DIM, BLOCKS, HEADS, PATCH = 16, 24, 3, 4, (4, 4, 4)
STAGE_VALUES = 2 * FRAMES // 4 * 16 * DIM
PFE_WIDTHS = (29, 32, 32, 3)  # the reference leaves the MLP undefined: model.rppg.pfe_width and pfe_depth
TEXT = dict(context_length=16, width=16, layers=2, heads=2)
TEMPLATE = 4  # "a photo of a ... face", the prompt that every forward pass draws
ROWS = slice(None, None, 40)  # tokens of a stage that the golden file keeps
GAINS = {"downstream.mlp_x.layers.4.weight": 10, "downstream.ConvBlock1.0.weight": 8}
# Gradients whose norms are compared: names of the reference, and where those arrays lie here.
GRADIENTS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("downstream.Stem0.0.weight",): ("rppg", "stem0", "conv", "kernel"),
    ("downstream.ConvBlock1.0.weight",): ("rppg", "views", "down_sampler", "conv", "kernel"),
    ("downstream.mlp_x.layers.2.weight",): ("rppg", "views", "pfe", "hidden_1", "kernel"),
    ("downstream.transformer2.blocks.0.attn.proj_q.0.conv.weight",): ("rppg", "stage1_block0", "q", "kernel"),
    ("Extractor.g2.gru.weight_ih_l0", "Extractor.g2.gru.weight_ih_l0_reverse"): (
        "landmarks", "deltas", "gru", "kernel_ih",
    ),
    ("classifier_rPPG_attention.weight",): ("fusion", "cross_attention", "pulse", "kernel"),
    ("attention_layer.fc2.weight",): ("fusion", "cross_attention", "keys", "kernel"),
    ("classifier_unified_feature_to_512.weight",): ("fusion", "out", "kernel"),
    ("text_encode.text_projection",): ("text_encoder", "projection", "kernel"),
}  # fmt: skip


def tokenizer() -> Any:
    return prompts.build_tokenizer(prompt_bank.TEMPLATES)


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the state dictionary."""
    text = published_weights.clip_text(len(tokenizer()), TEXT["context_length"], TEXT["width"], TEXT["layers"])
    physformer = published_weights.physformer(DIM, FF_DIM, BLOCKS, PATCH)
    made = published_weights.pad_classifier(physformer, text, FRAMES, STAGE_VALUES)
    for i, (width, out) in enumerate(zip(PFE_WIDTHS, PFE_WIDTHS[1:], strict=False)):
        name = f"downstream.mlp_x.layers.{2 * i}"
        made |= {f"{name}.weight": (out, width), f"{name}.bias": (out,)}
    return made


def state() -> dict[str, np.ndarray]:
    """The weights; those in GAINS larger, so that waves follow the clip and not the padding at its ends."""
    made = published_weights.state(shapes())
    return made | {name: np.float32(gain) * made[name] for name, gain in GAINS.items()}


def clips() -> tuple[np.ndarray, np.ndarray]:
    """frames (2, 160, 128, 128, 3) uint8 and landmarks (2, 160, 68, 2) float32, of the real and of the fake.

    RandomState, whose numbers NumPy has promised never to change. Blocks of colour that flicker on their own and
    together, so that every view of every clip has another wave.
    """
    draw = np.random.RandomState(14)
    blocks = draw.randint(20, 140, (2, 1, 16, 16, 3)) * np.array([1.5, 0.8]).reshape(2, 1, 1, 1, 1) + draw.randint(
        -40, 41, (2, FRAMES, 16, 16, 3)
    )
    blocks = blocks.repeat(8, axis=2).repeat(8, axis=3)
    light = draw.randint(-60, 61, (2, FRAMES, 1, 1, 3))
    noise = draw.randint(-20, 21, (2, FRAMES, SIZE, SIZE, 3))
    frames = np.clip(blocks + light + noise, 0, 255).astype(np.uint8)
    steps = draw.uniform(-0.01, 0.01, (2, FRAMES, 68, 2))
    landmarks = draw.uniform(-0.8, 0.8, (2, 1, 68, 2)) + steps.cumsum(axis=1)
    return frames, landmarks.astype(np.float32)
