"""Which trained weights a run starts without, and what stands in for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cpml_jax.models import visual as visual_stream


def stand_ins(config: Mapping[str, Any]) -> str:
    """One line for a run that starts anew; "" if it lacks none of CLIP, PhysFormer and LRNet that its model could use.

    Args:
      config: plain dictionary of a valid configuration.
    """
    model = config["model"]
    if config["init_from"]:
        return ""  # a whole model; what it leaves fresh is printed with it
    parts = {"rppg": rppg, "landmarks": landmarks, "visual": visual}
    lines = [words(config) for name, words in parts.items() if name in model["modalities"]]
    lines = [text(config), *lines]
    return "; ".join(line for line in lines if line)


def text(config: Mapping[str, Any]) -> str:
    model = config["model"]
    if model["head"] == "prototypes":
        return "no CLIP weights: learned class prototypes stand in for the prompts' embeddings"
    if model["head"] == "linear" or model["text_encoder"]["weights"]:
        return ""
    mode = model["text_encoder"]["mode"]
    stays = "" if mode == "finetune" else f", and with model.text_encoder.mode={mode!r} it stays so"
    return (
        "no CLIP weights: a text encoder that starts at random embeds the prompts, whose words mean nothing to it"
        f"{stays} (model.head='prototypes' does without words)"
    )


def rppg(config: Mapping[str, Any]) -> str:
    if config["model"]["rppg"]["weights"]:
        return ""
    teacher = config["loss"]["teacher"]
    if teacher:
        return f"no PhysFormer weights: a random start, which the pulse teacher moves (loss.teacher={teacher:g})"
    return "no PhysFormer weights: a random start, and without a pulse teacher it learns no pulse (loss.teacher=0)"


def landmarks(config: Mapping[str, Any]) -> str:
    settings = config["model"]["landmarks"]
    if settings["weights"]:
        return ""
    helped = [f"deltas times {settings['delta_scale']:g}"] * (settings["delta_scale"] != 1)
    helped += [f"a memory of {settings['memory']:g} frames"] * bool(settings["memory"])
    helped += ["the motion's spectrum"] * settings["spectrum"]
    if helped:
        return f"no LRNet weights: a random start with {', '.join(helped)}"
    return "no LRNet weights: a random start on plain deltas, of which it sees little (model.landmarks.delta_scale=1)"


def visual(config: Mapping[str, Any]) -> str:
    settings = config["model"]["visual"]
    if settings["weights"] or settings["encoder"] == visual_stream.NONE:
        return ""
    whose = "CLIP" if settings["encoder"] == visual_stream.CLIP else "EfficientNet-Lite0"
    stays = {"all": "", "norm": ", of which only norms are trained", "none": " and stays so"}[settings["trained"]]
    return f"no {whose} weights: an image encoder that starts at random{stays}"
