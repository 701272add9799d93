"""Configuration keys: what earlier versions called them."""

from __future__ import annotations

from collections.abc import Mapping

# Old key or section -> today's. Files that a run of an earlier version left are read through this.
RENAMED = {
    "train.qualities": "train.compressions",
    "eval.qualities": "eval.compressions",
    "eval.cross_quality": "eval.cross_compression",
    "eval.variants": "eval.conditions",
    "model.physformer": "model.rppg",
    "model.landmark_rnn": "model.landmarks",
    "model.clip_text": "model.text_encoder",
    "model.clip_image": "model.visual",
}


def renamed(key: str) -> str:
    """Today's name of a dotted key."""
    for old, new in RENAMED.items():
        if key == old or key.startswith(f"{old}."):
            return new + key[len(old) :]
    return key


def current_names(flat: Mapping[str, object]) -> dict[str, object]:
    """A flattened configuration with today's keys."""
    return {renamed(key): value for key, value in flat.items()}
