"""Your own videos: a folder with real/ and fake/, or a CSV with one line per file.

Columns of the CSV: path (relative to the CSV's folder) and label (real or fake, 0 or 1); optional ones are identity,
method, compression, split, video (a name that the compressions of one video share, by which they are paired; the path
if empty) and target (the `video` of the real one that a fake was made from).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cpml_jax.errors import UserError
from cpml_jax.schema import FAKE, REAL, REAL_METHOD, SPLITS, UNKNOWN_COMPRESSION
from data_prep.sources import Video, read_csv, select

LABELS = {"real": REAL, "0": REAL, "fake": FAKE, "1": FAKE}
COLUMNS = "path,label[,identity,method,compression,split,video,target]"


def videos(
    root: str | Path, *, compressions: Sequence[str], methods: Sequence[str], splits: Sequence[str]
) -> list[Video]:
    """Every file listed, even a missing one: preparation sets it aside with that reason."""
    root = Path(root)
    if root.is_file():
        listed = _from_csv(root)
    elif root.is_dir():
        listed = _from_folders(root)
    else:
        raise UserError(f"{root}: no such folder or CSV file")
    return select(listed, compressions, methods, splits)


def originals(root: str | Path) -> dict[str, str]:
    """Every real video -> the identity that it shows."""
    return {v.video: v.identity for v in videos(root, compressions=(), methods=(), splits=()) if v.label == REAL}


def _video(path: Path, label: int, video: str, **columns: str) -> Video:
    method = (columns.get("method") or "fake") if label == FAKE else REAL_METHOD
    return Video(
        path=str(path),
        label=label,
        method=method,
        compression=columns.get("compression") or UNKNOWN_COMPRESSION,
        video=video,
        identity=columns.get("identity") or video,
        source_identity="",
        target_video=columns.get("target") or "",
        split=columns.get("split") or "test",
        track_key=f"{method}/{video}",
    )


def printable(name: str) -> str:
    """A file's name, with bytes that are not UTF-8 written out: records are UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _from_folders(root: Path) -> list[Video]:
    videos = []
    for name, label in (("real", REAL), ("fake", FAKE)):
        for folder, _, files in os.walk(root / name):  # does not follow links to folders: no loops
            for file in sorted(files):
                if not file.startswith("."):
                    path = Path(folder) / file
                    videos.append(_video(path, label, printable(str(path.relative_to(root / name)))))
    if not videos:
        raise UserError(f"{root}: neither real/ nor fake/ with files in it, and not a CSV file")
    return videos


def _from_csv(path: Path) -> list[Video]:
    rows = read_csv(path, COLUMNS)
    if not rows or not {"path", "label"} <= rows[0].keys():
        raise UserError(f"{path}: the first line must name the columns {COLUMNS}")
    rows = [_checked_row(row, f"{path}, line {number}") for number, row in enumerate(rows, 2)]
    identity_of = {row["video"]: row["identity"] or row["video"] for row in rows if row["label"] == REAL}
    videos, paths, split_of, views = [], set(), {}, {}
    for row in rows:
        where = row.pop("where")
        if row["path"] in paths:
            raise UserError(f"{where}: {row['path']} is listed twice")
        paths.add(row["path"])
        # A fake shows whom the video shows that it was made from.
        row["identity"] = row["identity"] or identity_of.get(row["target"], row["target"]) or row["video"]
        video = _video(path.parent / row.pop("path"), row.pop("label"), row.pop("video"), **row)
        split = split_of.setdefault(video.identity, video.split)
        if split != video.split:
            raise UserError(
                f"{where}: identity {video.identity!r} is in the splits {split} and {video.split}; "
                "it may be in one alone"
            )
        _check_views(video, views.setdefault((video.method, video.video), []), where)
        videos.append(video)
    return videos


def _checked_row(row: dict, where: str) -> dict:
    """The row's fields, stripped, with its label as a number and `where` for messages."""
    path = row["path"] or ""  # spaces around a file's name may belong to it
    row = {key: (value or "").strip() for key, value in row.items() if key}  # no key: more fields than columns
    label = LABELS.get(row["label"].lower())
    if label is None:
        raise UserError(f"{where}: label {row['label']!r}; it is real or fake (0 or 1)")
    checked = {key: row.get(key, "") for key in ("identity", "method", "compression", "target")}
    checked |= dict(
        path=path, label=label, where=where, split=row.get("split") or "test", video=row.get("video") or path
    )
    if checked["split"] not in SPLITS:
        raise UserError(f"{where}: split {checked['split']!r}; it is one of {', '.join(SPLITS)}")
    if not checked["path"]:
        raise UserError(f"{where}: the path is empty")
    slashed = [key for key in ("method", "compression") if "/" in checked[key]]
    if slashed:
        raise UserError(f"{where}: {slashed[0]} {checked[slashed[0]]!r}; it may not contain /")
    if label == FAKE and checked["method"] == REAL_METHOD:
        raise UserError(f"{where}: labelled fake, but its method is {REAL_METHOD!r}")
    if label == REAL and checked["target"]:
        raise UserError(f"{where}: labelled real, but it has a target; only a fake is made from another video")
    return checked


def _check_views(video: Video, views: list[Video], where: str) -> None:
    """Add a compression to those of the same video: they must agree on all but the compression, and differ in that."""
    for other in views[:1]:
        for key in ("identity", "target_video"):
            if getattr(other, key) != getattr(video, key):
                raise UserError(
                    f"{where}: video {video.video!r} has two values of {key.removesuffix('_video')}, "
                    f"{getattr(other, key)!r} and {getattr(video, key)!r}"
                )
    if any(other.compression == video.compression for other in views):
        raise UserError(
            f"{where}: video {video.video!r} appears twice as {video.compression}; name the compression of each file"
        )
    views.append(video)
