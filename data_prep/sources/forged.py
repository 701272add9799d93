"""Real videos and forgeries made from them by data_prep/forge: its videos.csv.

A real clip, its forgeries and all their compressions are aligned frame by frame and share one face track, as in
FaceForensics++. Every kind is a method.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cpml_jax.errors import UserError
from cpml_jax.schema import FAKE, REAL, SPLITS
from data_prep.sources import Video, read_csv, select

LIST = "videos.csv"
COLUMNS = (
    "path", "label", "identity", "source_identity", "method", "compression", "split", "video", "target", "mask",
)  # fmt: skip
LABELS = {"real": REAL, "fake": FAKE}


def expected(
    root: str | Path, *, compressions: Sequence[str], methods: Sequence[str], splits: Sequence[str]
) -> list[Video]:
    """Every file that the list names, whether it lies there or not."""
    path = Path(root) / LIST
    if not path.is_file():
        raise UserError(f"{root}: no forged videos, {LIST} is missing; `main.py forge` makes them")
    rows = read_csv(path, ",".join(COLUMNS))
    if not rows or not rows[0].keys() >= set(COLUMNS):
        raise UserError(f"{path}: not the list of forged videos; `main.py forge` writes it anew once it is deleted")
    return select([_video(Path(root), row, f"{path}, line {line}") for line, row in enumerate(rows, 2)],
                  compressions, methods, splits)  # fmt: skip


def _video(root: Path, row: dict[str, str], where: str) -> Video:
    if row["label"] not in LABELS or row["split"] not in SPLITS:
        raise UserError(f"{where}: label {row['label']!r}, split {row['split']!r}; the list was changed by hand")
    label = LABELS[row["label"]]
    return Video(
        path=os.path.join(root, row["path"]),
        label=label,
        method=row["method"],
        compression=row["compression"],
        video=row["video"],
        identity=row["identity"],
        source_identity=row["source_identity"],
        target_video=row["target"],
        split=row["split"],
        track_key=f"real/{row['target'] or row['video']}",
        mask=os.path.join(root, row["mask"]) if row["mask"] else "",
    )
