"""One's own videos: a folder with real/ and fake/, or a CSV of path,label[,identity,method,compression,split]."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from cpml_jax.errors import UserError
from cpml_jax.schema import FAKE, REAL, REAL_METHOD, SPLITS, UNKNOWN_COMPRESSION
from data_prep.sources import Listed

LABELS = {"real": REAL, "0": REAL, "fake": FAKE, "1": FAKE}


def videos(root, *, compressions, methods, splits) -> list[Listed]:
    """Every file listed; empty `compressions` and `methods` mean all of them."""
    root = Path(root)
    if root.is_file():
        found = _from_csv(root)
    elif root.is_dir():
        found = _from_folders(root)
    else:
        raise UserError(f"{root}: no such folder or CSV file")
    return [
        v
        for v in found
        if v.split in splits
        and (not compressions or v.compression in compressions)
        and (not methods or v.label == REAL or v.method in methods)
    ]


def _listed(path: Path, label: int, video: str, **given) -> Listed:
    method = given.get("method") or ("fake" if label == FAKE else REAL_METHOD)
    compression = given.get("compression") or UNKNOWN_COMPRESSION
    return Listed(
        path=str(path), label=label, method=method if label == FAKE else REAL_METHOD, compression=compression,
        video=video, identity=given.get("identity") or video, source_identity="", target_video="",
        split=given.get("split") or "test", track_key=f"{method}/{compression}/{video}",
    )  # fmt: skip


def _from_folders(root: Path) -> list[Listed]:
    found = []
    for name, label in (("real", REAL), ("fake", FAKE)):
        for folder, _, files in os.walk(root / name):  # does not follow links to folders: no loops
            for file in sorted(files):
                if not file.startswith("."):
                    path = Path(folder) / file
                    found.append(_listed(path, label, str(path.relative_to(root / name))))
    if not found:
        raise UserError(f"{root}: neither real/ nor fake/ with files in it, and not a CSV file")
    return found


def _from_csv(path: Path) -> list[Listed]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error):
        raise UserError(
            f"{path}: not a CSV text file; its columns are path,label[,identity,method,compression,split]"
        ) from None
    if not rows or not {"path", "label"} <= rows[0].keys():
        raise UserError(f"{path}: the first line must name the columns path,label[,identity,method,compression,split]")
    found, seen, split_of = [], set(), {}
    for number, row in enumerate(rows, 2):
        label = LABELS.get((row["label"] or "").strip().lower())
        if label is None:
            raise UserError(f"{path}, line {number}: label {row['label']!r}; it is real or fake (0 or 1)")
        split = (row.get("split") or "test").strip()
        if split not in SPLITS:
            raise UserError(f"{path}, line {number}: split {split!r}; it is one of {', '.join(SPLITS)}")
        if not row["path"]:
            raise UserError(f"{path}, line {number}: the path is empty")
        if row["path"] in seen:
            raise UserError(f"{path}, line {number}: {row['path']} is listed twice")
        seen.add(row["path"])
        given = {key: (row.get(key) or "").strip() for key in ("identity", "method", "compression")}
        slashed = [key for key in ("method", "compression") if "/" in given[key]]
        if slashed:
            raise UserError(f"{path}, line {number}: {slashed[0]} {given[slashed[0]]!r}; it may not contain /")
        if label == FAKE and given["method"] == REAL_METHOD:
            raise UserError(f"{path}, line {number}: labelled fake, but its method is {REAL_METHOD!r}")
        if given["identity"] and split_of.setdefault(given["identity"], split) != split:
            raise UserError(
                f"{path}, line {number}: identity {given['identity']!r} is in the splits "
                f"{split_of[given['identity']]} and {split}; an identity has one"
            )
        found.append(_listed(path.parent / row["path"], label, row["path"], split=split, **given))
    return found
