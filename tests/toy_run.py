"""A run of the real command in miniature: toy files under the published names, and a configuration that they fit."""

from __future__ import annotations

from pathlib import Path

import clip_folder
import published_weights
import torch_writer

FRAMES, METHOD = 16, "Deepfakes"
# A preset with a small PhysFormer, on a small drawn data set.
CONFIG = f"""
from cpml_jax.configs import base, ffpp, reference, synthetic

def get_config():
    config = PRESET
    config.data.num_frames = {FRAMES}
    config.data.workers = 1
    splits = ("train", "val", "test")
    drawn = base.source("ffpp", "{{workdir}}/videos", compressions=("raw",), methods=("{METHOD}",))
    drawn.draw = synthetic.drawing("a", dict.fromkeys(splits, 2), {FRAMES}, 128, dict.fromkeys(splits, ("raw",)), 5)
    drawn.draw.methods = ("{METHOD}",)
    config.data.sources = dict(ffpp=drawn)
    config.update_from_flattened_dict({{
        "train.methods": ("{METHOD}",), "train.log_every": 1, "train.devices": 1, "eval.protocols": ("in_dataset",),
        "eval.batch_size": 2, "model.rppg.frame_size": 32, "model.rppg.stem": (2, 4, 8), "model.rppg.patch": (4, 1, 1),
        "model.rppg.dim": 8, "model.rppg.ff_dim": 12, "model.rppg.heads": 2, "model.rppg.blocks": 3,
        **CHANGES,
    }})
    return config
"""


def write_config(path: Path, preset: str, **changes) -> Path:
    """preset: an expression of CONFIG's modules; changes: values of dotted keys."""
    path.write_text(CONFIG.replace("PRESET", preset).replace("CHANGES", repr(changes)))
    return path


def write_weights(root: Path) -> dict[str, str]:
    """Option -> the file or folder of toy weights that fits CONFIG."""
    clip_folder.write(root / "clip", clip_folder.Clip(projection=512))
    rppg = published_weights.physformer(8, 12, 3, (4, 1, 1))
    g1, _ = (_save(root / f"{g}_toy.pth", published_weights.lrnet()) for g in ("g1", "g2"))
    text = published_weights.clip_text(len(clip_folder.vocabulary()[0]), 32, 16, 2)
    whole = published_weights.pad_classifier(rppg, text, FRAMES, 2 * 64 * 8)
    return {
        "model.text_encoder.weights": str(root / "clip"),
        "model.rppg.weights": str(_save(root / "physformer.pkl", rppg)),
        "model.landmarks.weights": str(g1),
        "init_from": str(_save(root / "fg_epoch0.pt", whole)),
    }


def _save(path: Path, shapes: dict) -> Path:
    return torch_writer.save(published_weights.state(shapes), path)
