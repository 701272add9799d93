"""DFDC, the full set: train/dfdc_train_part_<N>/metadata.json, and test/labels.csv (1 is fake).

What metadata.json calls `train` is divided into train and val by the hash of the original's name
(sources.hashed_split), so that a fake is where its original is. Actors are not named: one actor's several originals
may fall on both sides, and nothing that is published could tell.
"""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

from cpml_jax.errors import UserError
from cpml_jax.schema import FAKE, REAL, REAL_METHOD, UNKNOWN_COMPRESSION
from data_prep.sources import Official, Video, hashed_split, read_text, wanted

METHOD = "DFDC"  # eight methods made the fakes; which one made which is not published
LABELS = {"REAL": REAL, "FAKE": FAKE, "0": REAL, "1": FAKE}
PARTS = 50
TRAIN = "train/dfdc_train_part_*"
TEST = "test/labels.csv"


def videos(root, *, compressions, methods, splits) -> list[Video]:
    """Files that lie on the disk; see data_prep.sources.list_videos."""
    chosen = expected(root, compressions=compressions, methods=methods, splits=splits)
    return [v for v in chosen if os.path.exists(v.path)]


def expected(root, *, compressions, methods, splits) -> list[Video]:
    """Every file that metadata.json of a part that is there, or labels.csv, names."""
    root = Path(root)
    parts, test = parts_there(root), root / TEST
    if not parts and not test.is_file():
        raise UserError(f"{root}: not a root of DFDC, neither {TRAIN}/metadata.json nor {TEST} is there")
    if not parts and {"train", "val"} & set(splits):
        raise UserError(f"{root}: {TRAIN}/metadata.json is missing; without it, set splits=('test',)")
    if not test.is_file() and "test" in splits:
        raise UserError(f"{root}: {TEST} is missing; without it, set splits=('train', 'val')")
    found: dict[str, Video] = {}
    for video in [v for part in parts for v in _train(part)] + (_test(test) if test.is_file() else []):
        other = found.setdefault(video.video, video)
        if other.path != video.path:
            raise UserError(f"{root}: {other.path} and {video.path} have one name; a name has one video")
    return wanted(found.values(), compressions, methods, splits)


def parts_there(root: Path) -> list[Path]:
    """Folders of the parts with a metadata.json.

    Raises:
      UserError: a part has videos and no metadata.json, so that nobody knows their labels.
    """
    found = []
    for part in sorted(root.glob(TRAIN)):
        if (part / "metadata.json").is_file():
            found.append(part)
        elif any(part.glob("*.mp4")):
            raise UserError(f"{part}: metadata.json is missing, and with it the labels of the videos there")
    return found


def originals(root) -> dict[str, str] | None:
    """Every real video -> itself; None as long as parts are missing: originals may be in those."""
    root = Path(root)
    if 0 < len(parts_there(root)) < PARTS:
        return None
    every = expected(root, compressions=(), methods=(), splits=())
    return {v.video: v.identity for v in every if v.label == REAL}


def official(root) -> list[Official]:
    source = "Dolhansky et al. 2020, arXiv 2006.07397"
    root, found = Path(root), []
    if parts_there(root):
        found += [
            Official("real in train and val", 19_154, source, dict(label=REAL, split=("train", "val"))),
            Official("fake in train and val", 100_000, source, dict(label=FAKE, split=("train", "val"))),
        ]
    return found + ([Official("test", 5000, source, dict(split="test"))] if (root / TEST).is_file() else [])


def _train(part: Path) -> list[Video]:
    path = part / "metadata.json"
    try:
        entries = json.loads(read_text(path))
        rows = [
            (name, entry["label"], Path(entry.get("original") or "").stem, entry.get("split", "train"))
            for name, entry in entries.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f'{path}: not DFDC\'s form, {{"x.mp4": {{"label": "FAKE", "original": …}}}}') from None
    found = []
    for name, label, original, split in rows:
        if label not in ("REAL", "FAKE"):
            raise UserError(f"{path}: the label of {name} is {label!r}; it is REAL or FAKE")
        if label == "REAL" and original:
            raise UserError(f"{path}: {name} is REAL and made from {original}; only a fake has an original")
        if split not in ("train", "val", "test"):
            raise UserError(f"{path}: the split of {name} is {split!r}; it is train, val or test")
        identity = original or Path(name).stem
        split = hashed_split(identity) if split == "train" else split
        found.append(_listed(part / name, LABELS[label], identity, original, split))
    return found


def _test(path: Path) -> list[Video]:
    rows = list(csv.DictReader(read_text(path).splitlines()))
    if not rows or not {"filename", "label"} <= rows[0].keys():
        raise UserError(f"{path}: the first line must name the columns filename,label")
    # As downloaded the videos lie beside the list; unpacked by other tools, in videos/.
    folder = path.parent / "videos" if (path.parent / "videos").is_dir() else path.parent
    found = []
    for number, row in enumerate(rows, 2):
        if row["label"] not in ("0", "1") or not row["filename"]:
            raise UserError(f"{path}, line {number}: a file name and 0 (real) or 1 (fake) must stand there")
        found.append(_listed(folder / row["filename"], LABELS[row["label"]], Path(row["filename"]).stem, "", "test"))
    return found


def _listed(path: Path, label: int, identity: str, original: str, split: str) -> Video:
    method = METHOD if label == FAKE else REAL_METHOD
    return Video(
        path=str(path), label=label, method=method, compression=UNKNOWN_COMPRESSION, video=path.stem,
        identity=identity, source_identity="", target_video=original if label == FAKE else "", split=split,
        track_key=f"{method}/{path.stem}",
    )  # fmt: skip
