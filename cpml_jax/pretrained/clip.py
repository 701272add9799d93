"""CLIP's published weights, under their names in transformers' CLIPModel -> parameters of models/clip.py.

Pure functions of arrays; huggingface.py reads them from a folder or the hub.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cpml_jax.errors import UserError
from cpml_jax.models.class_embeddings import TAU_LIMIT
from cpml_jax.pretrained.source import Source, flat

LOGIT_SCALE = "logit_scale"


class _Source(Source):
    def layer(self, name: str) -> dict[str, Any]:
        """One layer of either transformer."""
        attention = {p: self.dense(f"{name}.self_attn.{p}") for p in ("q_proj", "k_proj", "v_proj", "out_proj")}
        return {
            "layer_norm1": self.norm(f"{name}.layer_norm1"),
            "self_attn": attention,
            "layer_norm2": self.norm(f"{name}.layer_norm2"),
            "fc1": self.dense(f"{name}.mlp.fc1"),
            "fc2": self.dense(f"{name}.mlp.fc2"),
        }


def text_parameters(state: Mapping[str, np.ndarray], layers: int) -> dict[str, Any]:
    """Parameters of TextEncoder.

    Args:
      state: arrays by name; those of the image encoder are ignored.
      layers: of the transformer.

    Raises:
      UserError: names are missing or left over, all of them listed.
    """
    source = _Source(state, "CLIP")
    tree = {
        "token_embedding": {"embedding": source.take("text_model.embeddings.token_embedding.weight")},
        "position_embedding": source.take("text_model.embeddings.position_embedding.weight"),
        "final_layer_norm": source.norm("text_model.final_layer_norm"),
        "projection": source.dense("text_projection", bias=False),
    }
    tree |= {f"layer_{i}": source.layer(f"text_model.encoder.layers.{i}") for i in range(layers)}
    source.finish(("text_model.", "text_projection."))
    return tree


def temperature(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """{"tau": () float32}, the logarithm by whose exponential CLIP multiplies its cosines; {} of weights without it.

    CLIP's training holds it at the logarithm of 100, and rounding may leave the file above that: there tau would have
    no gradient (models/cpml.py).
    """
    if LOGIT_SCALE not in state:
        return {}
    return {"tau": np.minimum(np.asarray(state[LOGIT_SCALE], np.float32).reshape(()), np.float32(TAU_LIMIT))}


def image_parameters(state: Mapping[str, np.ndarray], layers: int) -> dict[str, Any]:
    """Parameters of ImageEncoder. Arguments and errors as text_parameters'."""
    source = _Source(state, "CLIP")
    # torch's convolution kernel is (width, 3, p, p); here a patch is a row of (p, p, 3) values.
    kernel = source.take("vision_model.embeddings.patch_embedding.weight")
    tree = {
        "class_embedding": source.take("vision_model.embeddings.class_embedding"),
        "patch_embedding": {"kernel": kernel.transpose(2, 3, 1, 0).reshape(-1, len(kernel))},
        "position_embedding": source.take("vision_model.embeddings.position_embedding.weight"),
        "pre_layer_norm": source.norm("vision_model.pre_layrnorm"),  # their spelling
        "post_layer_norm": source.norm("vision_model.post_layernorm"),
        "projection": source.dense("visual_projection", bias=False),
    }
    tree |= {f"layer_{i}": source.layer(f"vision_model.encoder.layers.{i}") for i in range(layers)}
    source.finish(("vision_model.", "visual_projection."))
    return tree


def check_shapes(loaded: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Compare two parameter trees by path and shape.

    Raises:
      UserError: they differ; every difference is listed.
    """
    have = {"/".join(k): np.shape(v) for k, v in flat(loaded).items()}
    want = {"/".join(k): np.shape(v) for k, v in flat(expected).items()}
    wrong = [
        f"{k}: {have.get(k)} for {want.get(k)}" for k in sorted(have.keys() | want.keys()) if have.get(k) != want.get(k)
    ]
    if wrong:
        raise UserError(f"CLIP weights do not fit the configuration: {'; '.join(wrong)}")
