"""Weights under the names and shapes of the published PyTorch networks, made from their names; shared by tests.

The golden files of tests/goldens hold what the published modules, carrying these very weights, gave on a seeded input.
"""

from __future__ import annotations

import zlib

import numpy as np


def numbers(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The array of a name: RandomState(crc32(name)), whose numbers NumPy has promised never to change.

    running_var: uniform in 0.5 ... 1.5. Weights of more than one axis: normal, of variance 1 / fan-in. Scales of norms
    (weights of one axis): 1 + 0.1 normal. num_batches_tracked: 7, int64. All else: 0.1 normal.
    """
    draw = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.array(7, np.int64)
    if name.endswith("running_var"):
        return draw.uniform(0.5, 1.5, shape).astype(np.float32)
    x = draw.standard_normal(shape)
    if name.endswith("weight") and len(shape) > 1:
        return (x * np.prod(shape[1:]) ** -0.5).astype(np.float32)
    return ((1 + 0.1 * x) if name.endswith("weight") else 0.1 * x).astype(np.float32)


def state(shapes: dict[str, tuple[int, ...]], prefix: str = "") -> dict[str, np.ndarray]:
    """Arrays by name; `prefix` is put before the names once their numbers are drawn."""
    return {prefix + name: numbers(name, shape) for name, shape in shapes.items()}


def batch_norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    per_channel = {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
    return per_channel | {f"{name}.num_batches_tracked": ()}


def physformer(dim: int = 96, ff: int = 144, blocks: int = 12, patch: tuple[int, int, int] = (4, 4, 4)) -> dict:
    """Names and shapes of PhysFormer's state dictionary (Yu et al., CVPR 2022; by default the file's)."""
    shapes = {"patch_embedding.weight": (dim, dim, *patch), "patch_embedding.bias": (dim,)}
    for stage in (1, 2, 3):
        for block in range(blocks // 3):
            at = f"transformer{stage}.blocks.{block}"
            for p in "qk":
                shapes |= {f"{at}.attn.proj_{p}.0.conv.weight": (dim, dim, 3, 3, 3)}
                shapes |= batch_norm(f"{at}.attn.proj_{p}.1", dim)
            shapes |= {
                f"{at}.attn.proj_v.0.weight": (dim, dim, 1, 1, 1),
                f"{at}.proj.weight": (dim, dim), f"{at}.proj.bias": (dim,),
                f"{at}.pwff.fc1.0.weight": (ff, dim, 1, 1, 1),
                f"{at}.pwff.STConv.0.weight": (ff, 1, 3, 3, 3),
                f"{at}.pwff.fc2.0.weight": (dim, ff, 1, 1, 1),
            }  # fmt: skip
            shapes |= {f"{at}.norm{i}.{part}": (dim,) for i in (1, 2) for part in ("weight", "bias")}
            for layer, width in (("fc1", ff), ("STConv", ff), ("fc2", dim)):
                shapes |= batch_norm(f"{at}.pwff.{layer}.1", width)
    widths = (3, dim // 4, dim // 2, dim)
    for i in range(3):
        taps = (1, 5, 5) if i == 0 else (3, 3, 3)
        shapes |= {f"Stem{i}.0.weight": (widths[i + 1], widths[i], *taps), f"Stem{i}.0.bias": (widths[i + 1],)}
        shapes |= batch_norm(f"Stem{i}.1", widths[i + 1])
    for name, width in (("upsample", dim), ("upsample2", dim // 2)):
        shapes |= {f"{name}.1.weight": (width, dim, 3, 1, 1), f"{name}.1.bias": (width,)}
        shapes |= batch_norm(f"{name}.2", width)
    return shapes | {"ConvBlockLast.weight": (1, dim // 2, 1), "ConvBlockLast.bias": (1,)}


def lrnet() -> dict[str, tuple[int, ...]]:
    """Names and shapes of LRNet's g1.pth and g2.pth (Sun et al., CVPR 2021)."""
    shapes = {"hidden_state": (2, 1, 32)}
    for end in ("", "_reverse"):
        shapes |= {
            f"gru.weight_ih_l0{end}": (96, 136), f"gru.weight_hh_l0{end}": (96, 32),
            f"gru.bias_ih_l0{end}": (96,), f"gru.bias_hh_l0{end}": (96,),
        }  # fmt: skip
    for layer, out in (("dense.1.fn.net.0", 64), ("dense.1.fn.net.3", 64), ("dense.3", 2)):
        shapes |= {f"{layer}.weight": (out, 64), f"{layer}.bias": (out,)}
    return shapes


def clip_text(vocab: int = 49408, length: int = 77, width: int = 512, layers: int = 12, out: int = 512) -> dict:
    """Names and shapes of the text encoder in OpenAI's CLIP; of its image encoder a few."""
    shapes = {
        "positional_embedding": (length, width), "text_projection": (width, out), "logit_scale": (),
        "token_embedding.weight": (vocab, width), "ln_final.weight": (width,), "ln_final.bias": (width,),
        "visual.proj": (768, out), "visual.conv1.weight": (768, 3, 16, 16),
    }  # fmt: skip
    for i in range(layers):
        at = f"transformer.resblocks.{i}"
        shapes |= {f"{at}.attn.in_proj_weight": (3 * width, width), f"{at}.attn.in_proj_bias": (3 * width,)}
        for name, rows, columns in (
            ("attn.out_proj", width, width), ("mlp.c_fc", 4 * width, width), ("mlp.c_proj", width, 4 * width)
        ):  # fmt: skip
            shapes |= {f"{at}.{name}.weight": (rows, columns), f"{at}.{name}.bias": (rows,)}
        shapes |= {f"{at}.{norm}.{part}": (width,) for norm in ("ln_1", "ln_2") for part in ("weight", "bias")}
    return shapes


def pad_classifier(physformer_shapes: dict, text_shapes: dict, frames: int = 160, stage_values: int = 122880) -> dict:
    """Names and shapes of the whole PAD_Classifier (the reference's training state)."""
    shapes = {f"Extractor.{g}.{name}": shape for g in ("g1", "g2") for name, shape in lrnet().items()}
    shapes |= {f"downstream.{name}": shape for name, shape in physformer_shapes.items()}
    shapes |= {"downstream.ConvBlock1.0.weight": (3, 3, 1, 5, 5), "downstream.ConvBlock1.0.bias": (3,)}
    shapes |= batch_norm("downstream.ConvBlock1.1", 3)
    shapes |= {f"text_encode.{name}": shape for name, shape in text_shapes.items()}
    linear = {
        "attention_layer.fc1": (128, 128), "attention_layer.fc2": (128, 2),
        "classifier_rPPG_attention": (2, frames // 2),
        "classifier_rPPG_attention_stack": (frames, stage_values), "classifier_unified_feature_to_512": (512, 256),
        "classifier_rppg_cross_landmark_cat_prompt": (2, 1024), "classifier_layer_attention": (2, 256),
        "classifier_land": (2, 128), "classifier_rPPG": (2, frames),
    }  # fmt: skip
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes
