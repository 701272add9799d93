"""FaceForensics++: original_sequences, manipulated_sequences, and splits of id pairs; also the drawn benchmark's tree.

Both ids of a pair are real videos; the fakes are `a_b` and `b_a`, named target_source, frame-aligned with the target.
So all fakes of a target, at all compressions, show a face where the real target shows it, and share its track.
FaceShifter, added later, has the same ids and splits and no masks. DeepFakeDetection, which may lie in the same root,
is a data set of its own: see dfd.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from cpml_jax.errors import UserError
from cpml_jax.files import parse_json
from cpml_jax.schema import FAKE, FFPP_METHODS, REAL, REAL_METHOD, SPLITS, compression_rank
from data_prep.sources import Official, Video, read_text

ORIGINAL = "original_sequences/youtube"
MANIPULATED = "manipulated_sequences"
OTHER_SETS = ("DeepFakeDetection",)  # a folder of MANIPULATED that is not of this data set
METHODS = (*FFPP_METHODS, "FaceShifter")
SPLIT_FOLDERS = (".", "dataset/splits", "splits")
SPLIT_SIZES = {"train": 720, "val": 140, "test": 140}
TEST_VIDEOS = dict.fromkeys((REAL_METHOD, *METHODS), SPLIT_SIZES["test"])


def read_split(root: Path, split: str) -> list[tuple[str, str]]:
    """Pairs of ids of a split: the official files' form, [["071", "054"], ...]."""
    for folder in SPLIT_FOLDERS:
        path = root / folder / f"{split}.json"
        if not path.is_file():
            continue
        try:
            return [(str(a), str(b)) for a, b in parse_json(read_text(path))]
        except (ValueError, TypeError):
            raise UserError(f'{path}: not a split file; it holds pairs of ids as [["071", "054"], ...]') from None
    raise UserError(f"{root}: the split file {split}.json is missing (looked in the root, dataset/splits and splits)")


def expected(
    root: str | Path, *, compressions: Sequence[str], methods: Sequence[str], splits: Sequence[str]
) -> list[Video]:
    """Every file that the split files name, whether it lies there or not."""
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; give the root of FaceForensics++")
    if not (root / ORIGINAL).is_dir():
        raise UserError(f"{root}: not a FaceForensics++ root, {ORIGINAL} is missing")
    pairs = {split: read_split(root, split) for split in splits or SPLITS}
    check_disjoint(root, pairs)
    methods = methods or method_folders(root)
    compressions = compressions or compression_folders(root, [ORIGINAL, *(f"{MANIPULATED}/{m}" for m in methods)])
    masks = {method: masks_of(root / MANIPULATED / method) for method in methods}
    videos = []
    for split, ids in pairs.items():
        for target, source in [pair for a, b in ids for pair in ((a, b), (b, a))]:
            for compression in compressions:
                videos.append(_video(root, REAL_METHOD, target, "", split, compression, {}))
                videos += [_video(root, name, target, source, split, compression, masks[name]) for name in methods]
    return list(dict.fromkeys(videos))  # a pair that is written twice, or both ways round, is one


def official(root: str | Path) -> list[Official]:
    """Counts of a complete download."""
    return [
        Official(f"{method} in {split}", count, "the split files of FaceForensics++", dict(method=method, split=split))
        for method in (REAL_METHOD, *METHODS)
        for split, count in SPLIT_SIZES.items()
    ]


def method_folders(root: Path) -> tuple[str, ...]:
    """Names of the folders of manipulated videos that belong to this data set."""
    folders = [path.name for path in (root / MANIPULATED).glob("*") if path.is_dir()]
    return tuple(sorted(set(folders) - set(OTHER_SETS)))


def compression_folders(root: Path, sequences: Iterable[str], folder: str = "videos") -> tuple[str, ...]:
    """Names of the folders <sequence>/<compression>/videos, best compression first."""
    names = {path.parent.name for sequence in sequences for path in (root / sequence).glob(f"*/{folder}")}
    return tuple(sorted(names - {"masks"}, key=lambda name: (compression_rank(name), name)))


def masks_of(sequence: Path) -> dict[str, str]:
    """Video id -> path of its mask, wherever under <sequence>/masks it lies."""
    masks: dict[str, str] = {}
    for folder, folders, files in os.walk(sequence / "masks"):  # does not follow links to folders: no loops
        folders.sort()
        for file in sorted(files):
            if file.endswith(".mp4"):
                masks.setdefault(file.removesuffix(".mp4"), os.path.join(folder, file))
    return masks


def check_disjoint(root: Path, pairs: dict[str, list[tuple[str, str]]]) -> None:
    """Raise UserError if an identity is in the pairs of two splits."""
    split_of: dict[str, str] = {}
    for split, ids in pairs.items():
        for identity in {i for pair in ids for i in pair}:
            other = split_of.setdefault(identity, split)
            if other != split:
                raise UserError(
                    f"{root}: identity {identity} is in the splits {other} and {split}; it may be in one alone"
                )


def _video(
    root: Path, method: str, target: str, source: str, split: str, compression: str, masks: dict[str, str]
) -> Video:
    real = method == REAL_METHOD
    sequence = ORIGINAL if real else f"{MANIPULATED}/{method}"
    video = target if real else f"{target}_{source}"
    truth = root / "truth" / sequence / f"{video}.npz"
    return Video(
        path=str(root / sequence / compression / "videos" / f"{video}.mp4"),
        label=REAL if real else FAKE,
        method=method,
        compression=compression,
        video=video,
        identity=target,
        source_identity=source,
        target_video="" if real else target,
        split=split,
        track_key=f"youtube/{target}",
        truth=str(truth) if os.path.isfile(truth) else "",
        mask=masks.get(video, ""),
    )
