"""One's own videos: a folder with real/ and fake/, or a CSV with a line a file.

Columns of the CSV: path (from the CSV's folder) and label (real or fake, 0 or 1); and, each if wanted, identity,
method, compression, split, video (a name that the compressions of one video share, by which they are paired; the path
if empty) and target (the `video` of the real one that a fake was made from).
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

from cpml_jax.errors import UserError
from cpml_jax.schema import FAKE, REAL, REAL_METHOD, SPLITS, UNKNOWN_COMPRESSION
from data_prep.sources import Video, wanted

LABELS = {"real": REAL, "0": REAL, "fake": FAKE, "1": FAKE}
COLUMNS = "path,label[,identity,method,compression,split,video,target]"


def videos(root, *, compressions, methods, splits) -> list[Video]:
    """Every file listed, even one that is not there: preparation sets it aside with that reason."""
    root = Path(root)
    if root.is_file():
        found = _from_csv(root)
    elif root.is_dir():
        found = _from_folders(root)
    else:
        raise UserError(f"{root}: no such folder or CSV file")
    return wanted(found, compressions, methods, splits)


def originals(root) -> dict[str, str]:
    """Every real video -> who it shows."""
    return {v.video: v.identity for v in videos(root, compressions=(), methods=(), splits=()) if v.label == REAL}


def _listed(path: Path, label: int, video: str, **given) -> Video:
    method = (given.get("method") or "fake") if label == FAKE else REAL_METHOD
    return Video(
        path=str(path), label=label, method=method, compression=given.get("compression") or UNKNOWN_COMPRESSION,
        video=video, identity=given.get("identity") or video, source_identity="",
        target_video=given.get("target") or "", split=given.get("split") or "test", track_key=f"{method}/{video}",
    )  # fmt: skip


def printable(name: str) -> str:
    """A name of bytes that are no UTF-8, with those bytes written out: records are UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _from_folders(root: Path) -> list[Video]:
    found = []
    for name, label in (("real", REAL), ("fake", FAKE)):
        for folder, _, files in os.walk(root / name):  # does not follow links to folders: no loops
            for file in sorted(files):
                if not file.startswith("."):
                    path = Path(folder) / file
                    found.append(_listed(path, label, printable(str(path.relative_to(root / name)))))
    if not found:
        raise UserError(f"{root}: neither real/ nor fake/ with files in it, and not a CSV file")
    return found


def _from_csv(path: Path) -> list[Video]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error):
        raise UserError(f"{path}: not a CSV text file; its columns are {COLUMNS}") from None
    if not rows or not {"path", "label"} <= rows[0].keys():
        raise UserError(f"{path}: the first line must name the columns {COLUMNS}")
    rows = [_checked_row(row, f"{path}, line {number}") for number, row in enumerate(rows, 2)]
    identity_of = {row["video"]: row["identity"] or row["video"] for row in rows if row["label"] == REAL}
    found, paths, split_of, same = [], set(), {}, {}
    for row in rows:
        where = row.pop("where")
        if row["path"] in paths:
            raise UserError(f"{where}: {row['path']} is listed twice")
        paths.add(row["path"])
        # Who is seen in a fake is who is seen in the video that it was made from.
        row["identity"] = row["identity"] or identity_of.get(row["target"], row["target"]) or row["video"]
        listed = _listed(path.parent / row.pop("path"), row.pop("label"), row.pop("video"), **row)
        split = split_of.setdefault(listed.identity, listed.split)
        if split != listed.split:
            raise UserError(f"{where}: identity {listed.identity!r} is in the splits {split} and {listed.split}; "
                            "an identity has one")  # fmt: skip
        _check_views(listed, same.setdefault((listed.method, listed.video), []), where)
        found.append(listed)
    return found


def _checked_row(row: dict, where: str) -> dict:
    """The row's fields, stripped, with its label as a number and where it stands."""
    path = row["path"] or ""  # spaces around a file's name may belong to it
    row = {key: (value or "").strip() for key, value in row.items() if key}  # no key: more fields than columns
    label = LABELS.get(row["label"].lower())
    if label is None:
        raise UserError(f"{where}: label {row['label']!r}; it is real or fake (0 or 1)")
    given = {key: row.get(key, "") for key in ("identity", "method", "compression", "target")}
    given |= dict(path=path, label=label, where=where, split=row.get("split") or "test", video=row.get("video") or path)
    if given["split"] not in SPLITS:
        raise UserError(f"{where}: split {given['split']!r}; it is one of {', '.join(SPLITS)}")
    if not given["path"]:
        raise UserError(f"{where}: the path is empty")
    slashed = [key for key in ("method", "compression") if "/" in given[key]]
    if slashed:
        raise UserError(f"{where}: {slashed[0]} {given[slashed[0]]!r}; it may not contain /")
    if label == FAKE and given["method"] == REAL_METHOD:
        raise UserError(f"{where}: labelled fake, but its method is {REAL_METHOD!r}")
    if label == REAL and given["target"]:
        raise UserError(f"{where}: labelled real, but it has a target; only a fake is made from another video")
    return given


def _check_views(listed: Video, views: list[Video], where: str) -> None:
    """The compressions of a video say one thing of it, and each is another."""
    for other in views[:1]:
        for key in ("identity", "target_video"):
            if getattr(other, key) != getattr(listed, key):
                raise UserError(f"{where}: video {listed.video!r} has two values of {key.removesuffix('_video')}, "
                                f"{getattr(other, key)!r} and {getattr(listed, key)!r}")  # fmt: skip
    if any(other.compression == listed.compression for other in views):
        raise UserError(f"{where}: video {listed.video!r} is there twice as {listed.compression}; "
                        "name the compression of each file")  # fmt: skip
    views.append(listed)
