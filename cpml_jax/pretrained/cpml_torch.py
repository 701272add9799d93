"""Weights of the whole reference model, PAD_Classifier (PyTorch) -> CPML.

Names and shapes are those of the authors' released code (github.com/k-bigboss99/CPML, torch.save(model.state_dict())):

| reference | CPML |
| --- | --- |
| Extractor.g1, Extractor.g2 | landmarks/positions, landmarks/deltas (lrnet.py) |
| downstream | rppg (physformer.py) |
| downstream.ConvBlock1 | rppg/views/down_sampler |
| downstream.mlp_x.layers.0, .2, ... (their code uses it and makes it nowhere) | rppg/views/pfe |
| classifier_rPPG_attention_stack | fusion/series/stages |
| classifier_rPPG_attention | fusion/cross_attention/pulse |
| attention_layer.fc1, attention_layer.fc2 | fusion/cross_attention/queries, keys |
| classifier_unified_feature_to_512 (before 21 Nov: classifier_attended_feature_to_512) | fusion/out |
| text_encode: OpenAI's CLIP | text_encoder |
| text_encode.logit_scale | tau |

CLIP's image encoder is ignored, and so are the reference's classifiers, whose input holds the true class's prompt
(docs/method.md, Departures); learned context tokens start fresh.

With model.fusion_wiring="released" and rppg.pfe_views="all" the unified feature is the reference's. As specified it is
not: the reference reshapes its keys (2, 128) -> (128, 2) where a transposition is meant, which mixes the two tokens;
its wave is not z-scored; and the result of its classifier_rPPG_attention_stack is overwritten before it is used, so
that this array has no place in the released wiring. Its frames are RGB in 0 ... 1: input_norm="unit".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import numpy as np

from cpml_jax.errors import UserError
from cpml_jax.models.class_embeddings import TAU_LIMIT
from cpml_jax.pretrained import lrnet, physformer, torch_file
from cpml_jax.pretrained.source import Loaded, Rule, assemble, batch_norm, dense, layer_norm, same

INPUT_NORM = "unit"  # what the weights expect of model.rppg.input_norm
MODALITIES = ("rppg", "landmarks")
OUT = ("classifier_unified_feature_to_512", "classifier_attended_feature_to_512")
PFE = "downstream.mlp_x.layers"
HEADS = (
    "classifier_rppg_cross_landmark_cat_prompt",
    "classifier_layer_attention",
    "classifier_layer",
    "classifier_land",
    "classifier_rPPG",
)
IGNORED = (
    *(f"{head}.{part}" for head in HEADS for part in ("weight", "bias")),
    *(f"Extractor.{g}.{name}" for g in lrnet.BRANCHES for name in lrnet.IGNORED),
    *(f"downstream.{pattern}" for pattern in physformer.IGNORED),
    "text_encode.visual.*",
)
STACK = "classifier_rPPG_attention_stack"


def text_rules(layers: int, prefix: str, path: tuple[str, ...] = ("text_encoder",)) -> list[Rule]:
    """Rules for TextEncoder from OpenAI's CLIP (not transformers': other names, q, k and v in one array)."""

    def third(i: int, transposed: bool) -> Callable[[np.ndarray], np.ndarray]:
        def convert(x: np.ndarray) -> np.ndarray:
            part = np.split(x, 3)[i]
            return part.T if transposed else part

        return convert

    params = ("params", *path)
    rules = [
        same((*params, "token_embedding", "embedding"), f"{prefix}token_embedding.weight"),
        same((*params, "position_embedding"), f"{prefix}positional_embedding"),
        *layer_norm((*path, "final_layer_norm"), f"{prefix}ln_final"),
        same((*params, "projection", "kernel"), f"{prefix}text_projection"),  # multiplied from the right, as here
    ]
    for layer in range(layers):
        at, name = (*path, f"layer_{layer}"), f"{prefix}transformer.resblocks.{layer}"
        rules += layer_norm((*at, "layer_norm1"), f"{name}.ln_1") + layer_norm((*at, "layer_norm2"), f"{name}.ln_2")
        rules += dense((*at, "fc1"), f"{name}.mlp.c_fc") + dense((*at, "fc2"), f"{name}.mlp.c_proj")
        rules += dense((*at, "self_attn", "out_proj"), f"{name}.attn.out_proj")
        for i, p in enumerate("qkv"):
            project = ("params", *at, "self_attn", f"{p}_proj")
            rules.append(Rule((*project, "kernel"), (f"{name}.attn.in_proj_weight",), third(i, True)))
            rules.append(Rule((*project, "bias"), (f"{name}.attn.in_proj_bias",), third(i, False)))
    return rules


def fusion_rules(out: str, fusion: Mapping) -> list[Rule]:
    """Rules for Fusion of the pulse and the landmarks.

    Args:
      out: one of OUT.
      fusion: its parameters, arrays or shapes. Without `series` they are of the released wiring.
    """
    attention = ("fusion", "cross_attention")
    queries = dense((*attention, "queries"), "attention_layer.fc1")
    series = []
    if "series" in fusion:
        # As specified the logits are divided by the root of the width, the reference's are not.
        root = np.float32(fusion["cross_attention"]["queries"]["kernel"].shape[0] ** 0.5)
        queries = [Rule(rule.path, rule.names, lambda x, convert=rule.convert: convert(x) * root) for rule in queries]
        series = dense(("fusion", "series", "stages"), STACK)
    return [
        *series,
        *dense((*attention, "pulse"), "classifier_rPPG_attention"),
        *queries,
        *dense((*attention, "keys"), "attention_layer.fc2"),
        *dense(("fusion", "out"), out),
    ]


def pfe_rules(depth: int, path: tuple[str, ...] = ("rppg", "views", "pfe")) -> list[Rule]:
    """Rules for PFE of `depth` hidden layers."""
    if depth == 0:
        raise UserError("model.rppg.pfe_depth=0: the reference's PFE has hidden layers")
    names = [*(f"hidden_{i}" for i in range(depth)), "out"]
    rules = [rule for i, name in enumerate(names) for rule in dense((*path, name), f"{PFE}.{2 * i}")]

    def first(weight: np.ndarray) -> np.ndarray:
        # The reference: for each colour its 3x3 neighbours (torch's unfold), then the cell's size in units of -1 ... 1.
        # Here: for each neighbour its colours, then the cell's size in units of 0 ... 1.
        pixels = weight[:, :27].reshape(-1, 3, 9).transpose(0, 2, 1).reshape(-1, 27)
        return np.concatenate([pixels, 2 * weight[:, 27:]], axis=1).T

    return [Rule(rules[0].path, rules[0].names, first), *rules[1:]]


def parameters(
    state: Mapping[str, np.ndarray], variables: Mapping, *, delta_scale: float = 1.0, file: str = "CPML weights"
) -> Loaded:
    """Parameters and running statistics of CPML.

    Args:
      state: the file's arrays by name.
      variables: {"params": ..., "batch_stats": ...} of CPML with the modalities rppg and landmarks, arrays or shapes.
      delta_scale: of LandmarkRNN; the reference has 1.
      file: for messages.

    Raises:
      UserError: the model has other modalities, no text encoder or another tokenizer, or names or shapes do not fit;
        all of those are listed.
    """
    params = variables["params"]
    if not {*MODALITIES} <= params.keys() or "visual" in params:
        raise UserError(f"{file}: weights of the whole reference model fit model.modalities={MODALITIES} and no other")
    if "text_encoder" not in params:
        raise UserError(f"{file}: weights of the whole reference model have a text encoder; set model.head='prompts'")
    check_vocabulary(state, params["text_encoder"]["token_embedding"]["embedding"].shape[0], file)
    rppg = {"params": params["rppg"]}
    text_layers = sum(name.startswith("layer_") for name in params["text_encoder"])
    rules = [
        *lrnet.branch_rules(("landmarks", "positions"), "Extractor.g1."),
        *lrnet.branch_rules(("landmarks", "deltas"), "Extractor.g2.", delta_scale),
        *physformer.network_rules(rppg, ("rppg",), "downstream.", blue_first=False),
        *physformer.convolution_of_frames(("rppg", "views", "down_sampler", "conv"), "downstream.ConvBlock1.0", False),
        *batch_norm(("rppg", "views", "down_sampler", "norm"), "downstream.ConvBlock1.1"),
        *fusion_rules(OUT[1] if OUT[1] + ".weight" in state else OUT[0], params["fusion"]),
        *text_rules(text_layers, "text_encode."),
        Rule(("params", "tau"), ("text_encode.logit_scale",), lambda x: np.minimum(x, np.float32(TAU_LIMIT))),
    ]
    fresh, ignored = ["params/context"], [*IGNORED]
    if "series" not in params["fusion"]:
        ignored.append(f"{STACK}.*")
    if any(name.startswith(PFE) for name in state):
        rules += pfe_rules(sum(name.startswith("hidden_") for name in params["rppg"]["views"]["pfe"]))
    else:
        fresh.append("params/rppg/views/pfe/*")
    return assemble(state, rules, variables, file=file, fresh=fresh, ignored=ignored)


def check_vocabulary(state: Mapping[str, np.ndarray], tokens: int, file: str) -> None:
    """Raises UserError if the file's text encoder reads other tokens than those of the model's tokenizer."""
    name = "text_encode.token_embedding.weight"
    if name in state and len(state[name]) != tokens:
        raise UserError(
            f"{file}: {name} {np.shape(state[name])} has {len(state[name])} tokens, the model's tokenizer {tokens}; it "
            "comes with the CLIP that the file was trained from: set model.text_encoder.weights to that CLIP's folder"
        )


def load(
    path: str | os.PathLike, variables: Mapping, *, input_norm: str = INPUT_NORM, delta_scale: float = 1.0
) -> Loaded:
    """Read a file, then parameters. `input_norm` is the configuration's; anything but INPUT_NORM is refused."""
    physformer.check_input_norm(path, input_norm, INPUT_NORM)
    file = torch_file.read(path)
    result = parameters(file.state, variables, delta_scale=delta_scale, file=str(path))
    result.ignored.extend(file.skipped)
    return result
