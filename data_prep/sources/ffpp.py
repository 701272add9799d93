"""FaceForensics++: original_sequences, manipulated_sequences, and splits of id pairs. The drawn benchmark has its form.

Both ids of a pair are real videos; the fakes are `a_b` and `b_a`, named target_source, frame-aligned with the target.
So all fakes of a target, at all compressions, show a face where the real target shows it, and share its track.
FaceShifter, added later, has the same ids and splits and no masks. DeepFakeDetection, which may lie in the same root,
is a data set of its own: see dfd.py.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from cpml_jax.errors import UserError
from cpml_jax.schema import FAKE, FFPP_METHODS, REAL, REAL_METHOD, SPLITS, compression_rank
from data_prep.sources import Listed, Official, read_text

ORIGINAL = "original_sequences/youtube"
MANIPULATED = "manipulated_sequences"
OTHER_SETS = ("DeepFakeDetection",)  # a folder of MANIPULATED that is not of this data set
METHODS = (*FFPP_METHODS, "FaceShifter")
SPLIT_FOLDERS = (".", "dataset/splits", "splits")
SPLIT_SIZES = {"train": 720, "val": 140, "test": 140}


def read_split(root: Path, split: str) -> list[tuple[str, str]]:
    """Pairs of ids of a split: the official files' form, [["071", "054"], ...]."""
    for folder in SPLIT_FOLDERS:
        path = root / folder / f"{split}.json"
        if not path.is_file():
            continue
        try:
            return [(str(a), str(b)) for a, b in json.loads(read_text(path))]
        except (ValueError, TypeError):
            raise UserError(f'{path}: not a split file; it holds pairs of ids as [["071", "054"], ...]') from None
    raise UserError(f"{root}: the split file {split}.json is missing (looked in the root, dataset/splits and splits)")


def videos(root, *, compressions, methods, splits) -> list[Listed]:
    """Listed files of the wanted splits that lie on the disk; see data_prep.sources.list_videos."""
    chosen = expected(root, compressions=compressions, methods=methods, splits=splits)
    found = [v for v in chosen if os.path.exists(v.path)]
    missing = [method for method in methods if not any(v.method == method for v in found)]
    if missing:
        raise UserError(f"{root}: no video of {', '.join(missing)} in {MANIPULATED}; leave it out of methods")
    return found


def expected(root, *, compressions, methods, splits) -> list[Listed]:
    """Every file that the split files name, whether it lies there or not."""
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; give the root of FaceForensics++")
    if not (root / ORIGINAL).is_dir():
        raise UserError(f"{root}: not a FaceForensics++ root, {ORIGINAL} is missing")
    pairs = {split: read_split(root, split) for split in splits or SPLITS}
    check_disjoint(root, pairs)
    methods = methods or methods_there(root)
    compressions = compressions or compressions_there(root, [ORIGINAL, *(f"{MANIPULATED}/{m}" for m in methods)])
    masks = {method: masks_of(root / MANIPULATED / method) for method in methods}
    found = []
    for split, ids in pairs.items():
        for a, b in ids:
            for target, source in ((a, b), (b, a)):
                found += _files(root, ORIGINAL, REAL_METHOD, target, target, "", split, compressions, {})
                for method in methods:
                    found += _files(
                        root, f"{MANIPULATED}/{method}", method, f"{target}_{source}", target, source, split,
                        compressions, masks[method],
                    )  # fmt: skip
    return list(dict.fromkeys(found))  # a pair that is written twice, or both ways round, is one


def official(root) -> list[Official]:
    return [
        Official(f"{method} in {split}", count, "the split files of FaceForensics++", dict(method=method, split=split))
        for method in (REAL_METHOD, *METHODS)
        for split, count in SPLIT_SIZES.items()
    ]


def methods_there(root: Path) -> tuple[str, ...]:
    folders = [path.name for path in (root / MANIPULATED).glob("*") if path.is_dir()]
    return tuple(sorted(set(folders) - set(OTHER_SETS)))


def compressions_there(root: Path, sequences, folder: str = "videos") -> tuple[str, ...]:
    """Names of the folders <sequence>/<compression>/videos, best compression first."""
    names = {path.parent.name for sequence in sequences for path in (root / sequence).glob(f"*/{folder}")}
    return tuple(sorted(names - {"masks"}, key=lambda name: (compression_rank(name), name)))


def masks_of(sequence: Path) -> dict[str, str]:
    """Video id -> path of its mask, wherever under <sequence>/masks it lies."""
    found: dict[str, str] = {}
    for folder, folders, files in os.walk(sequence / "masks"):  # does not follow links to folders: no loops
        folders.sort()
        for file in sorted(files):
            if file.endswith(".mp4"):
                found.setdefault(file.removesuffix(".mp4"), os.path.join(folder, file))
    return found


def check_disjoint(root: Path, pairs: dict[str, list[tuple[str, str]]]) -> None:
    seen: dict[str, str] = {}
    for split, ids in pairs.items():
        for identity in {i for pair in ids for i in pair}:
            if seen.setdefault(identity, split) != split:
                raise UserError(
                    f"{root}: identity {identity} is in the splits {seen[identity]} and {split}; an identity has one"
                )


def _files(root, sequence, method, video, target, source, split, compressions, masks) -> list[Listed]:
    real = method == REAL_METHOD
    truth = root / "truth" / sequence / f"{video}.npz"
    return [
        Listed(
            path=str(root / sequence / compression / "videos" / f"{video}.mp4"), label=REAL if real else FAKE,
            method=method, compression=compression, video=video, identity=target, source_identity=source,
            target_video="" if real else target, split=split, track_key=f"youtube/{target}",
            truth=str(truth) if truth.is_file() else "", mask=masks.get(video, ""),
        )
        for compression in compressions
    ]  # fmt: skip
