"""The model and what its losses need of it: heads, streams, class prompts, shapes."""

from __future__ import annotations

import os

from ml_collections import ConfigDict

from cpml_jax.configuration import Flat
from cpml_jax.errors import UserError
from cpml_jax.models import visual

# Losses that compare with the class prompts, and those on augmented images.
_WITH_PROMPTS = ("cmcl", "prompt_mse", "affinity")
_ON_IMAGES = ("simclr", "prompt_mse")


def check_heads(flat: Flat) -> None:
    """Refuse heads, losses and streams that do not fit together."""
    head, modalities = flat["model.head"], tuple(flat["model.modalities"])
    for name in _WITH_PROMPTS:
        if head == "linear" and flat[f"loss.{name}"]:
            raise UserError(
                f"loss.{name}={flat[f'loss.{name}']} compares with the class prompts, which model.head='linear' has "
                f"none of; set loss.{name}=0.0 or model.head='prompts'"
            )
    if head == "prototypes":
        no_text(flat)
    for name in _ON_IMAGES:
        if flat[f"loss.{name}"] and "visual" not in modalities:
            raise UserError(
                f"loss.{name}={flat[f'loss.{name}']} needs the visual stream; model.modalities is {modalities}: "
                f"add 'visual' or set loss.{name}=0.0"
            )
    alone = modalities == ("visual",) and compares_with_prompts(flat) and not flat["model.visual.contrast"]
    if head != "linear" and flat["model.fusion_projection"] == "none" and not alone:
        raise UserError(
            f"model.fusion_projection='none' with model.modalities={modalities}: only the visual stream alone, without "
            f"contrast, is as wide as the class prompts{narrower(flat)}; set it to 'linear', or model.head='linear'"
        )
    if flat["loss.sparsity"] and flat["model.fusion_projection"] == "none":
        raise UserError(
            f"loss.sparsity={flat['loss.sparsity']} is of the fusion's last map, which model.fusion_projection='none' "
            "has none of; set loss.sparsity=0.0 or model.fusion_projection='linear'"
        )
    if flat["model.fusion_wiring"] == "released" and (
        not {"rppg", "landmarks"} <= set(modalities) or flat["model.fusion_landmarks"] != "crossed"
    ):
        raise UserError(
            f"model.fusion_wiring='released' crosses pulse and landmarks; with model.modalities={modalities} and "
            f"model.fusion_landmarks={flat['model.fusion_landmarks']!r} set it to 'specified'"
        )


def compares_with_prompts(flat: Flat) -> bool:
    """Whether the visual stream has an encoder, and its features are as wide as the class prompts."""
    wanted = flat["model.unified_dim"]
    encoder, projection, pool = (flat[f"model.visual.{key}"] for key in ("encoder", "projection", "pool"))
    return encoder != visual.NONE and wanted == visual.feature_width(encoder, projection, pool, wanted)


def narrower(flat: Flat) -> str:
    """How to give efficientnet_lite0's features the prompts' width, where they have another."""
    if flat["model.visual.encoder"] != visual.LITE or compares_with_prompts(flat):
        return ""
    return f" (with efficientnet_lite0 set model.visual.projection={flat['model.unified_dim']})"


def check_visual(flat: Flat) -> None:
    """Refuse a visual stream of nothing, what only its image encoder could use, and more stills than a clip has."""
    if "visual" not in flat["model.modalities"]:
        return
    encoder = flat["model.visual.encoder"]
    if encoder == visual.NONE:
        if not flat["model.visual.contrast"]:
            raise UserError(
                "model.visual.encoder='none' with model.visual.contrast=0 leaves the visual stream nothing; set one of "
                "them, or take 'visual' out of model.modalities"
            )
        for key in (*(f"loss.{name}" for name in _ON_IMAGES), "model.visual.weights"):
            if flat[key]:
                raise UserError(f"{key}={flat[key]!r} needs the image encoder; set model.visual.encoder='clip'")
    if encoder != visual.LITE and flat["model.visual.projection"]:
        raise UserError(
            f"model.visual.projection={flat['model.visual.projection']} is of model.visual.encoder={visual.LITE!r}; "
            f"with {encoder!r} set it to 0"
        )
    if encoder != visual.LITE and flat["model.visual.pool"] != visual.GLOBAL:
        raise UserError(
            f"model.visual.pool={flat['model.visual.pool']!r} is of model.visual.encoder={visual.LITE!r}; with "
            f"{encoder!r} set it to {visual.GLOBAL!r}"
        )
    for name in _ON_IMAGES:
        if flat[f"loss.{name}"] and not compares_with_prompts(flat):
            raise UserError(
                f"loss.{name}={flat[f'loss.{name}']} compares the image features with the class prompts{narrower(flat)}"
            )
    if flat["model.visual.frames"] > flat["data.num_frames"]:
        raise UserError(
            f"model.visual.frames={flat['model.visual.frames']} is more than a clip has, data.num_frames="
            f"{flat['data.num_frames']}"
        )


def no_text(flat: Flat) -> None:
    """Refuse what only a text encoder could use."""
    unused = {"model.text_encoder.weights": "", "model.text_encoder.mode": "finetune", "loss.prompt_mse": 0.0}
    for key, value in unused.items():
        if flat[key] != value:
            raise UserError(
                f"{key}={flat[key]!r} needs a text encoder, which model.head='prototypes' has none of; set it to "
                f"{value!r} or model.head='prompts'"
            )


def check_text(flat: Flat) -> None:
    """Refuse settings of learned context without learned context."""
    section = "model.text_encoder"
    if flat[f"{section}.mode"] == "context":
        return
    for key in ("context_per_class", "context_init"):
        if flat[f"{section}.{key}"]:
            raise UserError(f"{section}.{key} goes with mode='context', not {flat[f'{section}.mode']!r}")


def check_model(config: ConfigDict, workdir: str | os.PathLike | None = None) -> None:
    """Refuse what only building the model shows: shapes, prompts that do not fit, weights' own settings.

    No parameter is made. Reads the bank of prompts and the tokenizer, and config.json of a CLIP folder, if any is set;
    or what the run of that workdir keeps of them.
    """
    from cpml_jax.evaluation import scoring
    from cpml_jax.models.streams import STREAMS
    from cpml_jax.pretrained import apply
    from cpml_jax.training import network as networks
    from cpml_jax.training import run_files

    if workdir is not None:
        run_files.check_config(workdir, config.to_dict(), resume=False)  # what the run keeps is of its own model
    network = networks.of_run(config, workdir)
    given = apply.configured(config.model.to_dict(), network.shapes)
    for name, stream in STREAMS.items():
        stream.check({key: value for key, value in given[name].items() if key != "weights"})
    width, heads = given["text_encoder"]["width"], given["text_encoder"]["heads"]
    if width % heads:
        raise UserError(f"model.text_encoder.width={width} must be a multiple of model.text_encoder.heads={heads}")
    bank = networks.read_bank(config, workdir)
    if config.loss.prompt_mse and min(map(len, bank.values())) < 2:
        raise UserError(
            f"loss.prompt_mse={config.loss.prompt_mse} splits each class's prompts in two: give it two or more"
        )
    model, _ = scoring.build_model(config, network)
    text = config.model.text_encoder
    if text.mode == "context" and text.context_init and len(model.context_words) != text.context_tokens:
        count = len(model.context_words)
        raise UserError(
            f"model.text_encoder.context_init={text.context_init!r} has {count} tokens; "
            f"set model.text_encoder.context_tokens={count} (it is {text.context_tokens})"
        )
