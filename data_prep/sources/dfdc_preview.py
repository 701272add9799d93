"""The DFDC preview: original_videos, method_A, method_B, and dataset.json, which says label and set of every path.

Names are <actor>_<scene>_<number> and, of fakes, <source>_<target>_<scene>_<number>. dataset.json knows train and
test; val is taken from train by the hash of the target actor (sources.hashed_split).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cpml_jax.errors import UserError
from cpml_jax.files import parse_json
from cpml_jax.schema import FAKE, REAL, REAL_METHOD, UNKNOWN_COMPRESSION
from data_prep.sources import Official, Video, hashed_split, read_text, select

INDEX = "dataset.json"
ORIGINAL = "original_videos"
LABELS = {"real": REAL, "fake": FAKE}
NAME = re.compile(r"(?:(\d+)_)?(\d+)_([A-Za-z]+)_(\d+)")


def expected(
    root: str | Path, *, compressions: Sequence[str], methods: Sequence[str], splits: Sequence[str]
) -> list[Video]:
    """Every file that dataset.json names."""
    root = Path(root)
    path = root / INDEX
    if not path.is_file():
        raise UserError(f"{root}: not a root of the DFDC preview, {INDEX} is missing")
    try:
        rows = [(key, entry["label"], entry["set"]) for key, entry in parse_json(read_text(path)).items()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f'{path}: not as {{"method_A/…/x.mp4": {{"label": "fake", "set": "train"}}}}') from None
    return select([_video(path, *row) for row in rows], compressions, methods, splits)


def official(root: str | Path) -> list[Official]:
    """Of real videos alone: sources differ on the fakes, 4,113 or 4,119."""
    return [Official("real", 1131, "table 1 of Celeb-DF, arXiv 1909.12962", dict(label=REAL))]


def _video(index: Path, key: str, label: str, part: str) -> Video:
    folder, video = key.partition("/")[0], Path(key).stem
    name = NAME.fullmatch(video)
    if label not in LABELS or part not in ("train", "test") or not name:
        raise UserError(f"{index}: {key} has label {label!r} and set {part!r}; they are real or fake, train or test")
    source, target, scene, number = name.groups()
    fake = LABELS[label] == FAKE
    if fake != (folder != ORIGINAL) or fake != (source is not None):
        raise UserError(f"{index}: {key} is labelled {label}, its name says the opposite")
    method = folder if fake else REAL_METHOD
    return Video(
        path=str(index.parent / key),
        label=LABELS[label],
        method=method,
        compression=UNKNOWN_COMPRESSION,
        video=video,
        identity=target,
        source_identity=source or "",
        target_video=f"{target}_{scene}_{number}" if fake else "",
        split=hashed_split(target) if part == "train" else "test",
        track_key=f"{method}/{video}",
    )
