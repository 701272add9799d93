"""Trained weights that a new run starts from: whether they are named and there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from cpml_jax.configuration import flattened
from cpml_jax.errors import UserError
from cpml_jax.models import visual
from cpml_jax.pretrained import apply, efficientnet_lite
from cpml_jax.validation.rules import NEEDED


def check_weights(config: ConfigDict, rootless: Sequence[str] = ()) -> None:
    """Refuse a new training run whose recipe lacks what it needs, or that names weights which are not there.

    open-rppg's are a package's, and a CLIP of the hub is read by check_model.

    Args:
      rootless: options of data sets that are to be prepared and have no root.

    Raises:
      UserError: all that is lacking, in one line.
    """
    flat = flattened(config.to_dict())
    weights = ("model.rppg.weights", "model.landmarks.weights")
    # A whole model holds the parts' weights; of CLIP's folder it needs the tokenizer still.
    needed = [key for key in config.needs if not flat[key] and not (flat["init_from"] and key in weights)]
    lacking = [f"{key}={NEEDED[key]}" for key in needed] + [f"{key}=FOLDER" for key in rootless]
    gone = [
        f"{option}={flat[option]}: no such file or folder"
        for option in ("init_from", *weights)
        if flat[option] and not flat[option].startswith("open-rppg:") and not Path(flat[option]).expanduser().exists()
    ]
    encoder, source = flat["model.visual.encoder"], flat["model.visual.weights"]
    if source and encoder == visual.LITE and "visual" in config.model.modalities:
        with apply.named("model.visual.weights", source):
            efficientnet_lite.locate(source)
    if lacking and config.needs:
        gone.insert(0, f"{config.name} needs, and has not: " + ", ".join(f"--config.{words}" for words in lacking))
    if gone:
        raise UserError("; ".join(gone))
