"""Ready-made crops: the tree of the original project, made from FaceForensics++ and read without detecting anything.

    {original_sequences/youtube,manipulated_sequences/<M>}/<compression>/crop_MTCNN/<id>/face0/0000.jpg, 0001.jpg, ...
    {...}/<compression>/video_landmark_new/<id>.txt        136 numbers per line, one line per frame

Splits: FaceForensics++'s train.json, val.json and test.json where one of them lies in the root (ffpp.SPLIT_FOLDERS).
Else the project's list files, lines of `Deepfakes,001_870,-1` or `youtube,001,+1` (+1 real, -1 fake): a .txt or .csv in
the root or in a folder of it, with the word train, val or test in its name (FF++_train2.txt); one for each split. A
single file with `list` and no split in its name is a test set.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cpml_jax.errors import UserError
from cpml_jax.schema import FAKE, REAL, REAL_METHOD, SPLITS
from data_prep.sources import Video, ffpp, read_text, select

READY_MADE = True
TEST_VIDEOS = ffpp.TEST_VIDEOS
CROPS, LANDMARKS, FACE = "crop_MTCNN", "video_landmark_new", "face0"
REAL_SETS = ("youtube", "actors")
SIGNS = {"+1": REAL, "1": REAL, "-1": FAKE}

Row = tuple[str, str, str]  # set (a method, or youtube), video, split


def expected(
    root: str | Path, *, compressions: Sequence[str], methods: Sequence[str], splits: Sequence[str]
) -> list[Video]:
    """Every video that the split files or the lists name; Video.path is its folder face0."""
    root = Path(root)
    sequences = [f"original_sequences/{name}" for name in REAL_SETS]
    sequences += [f"{ffpp.MANIPULATED}/{method}" for method in ffpp.method_folders(root)]
    compressions = compressions or ffpp.compression_folders(root, sequences, CROPS)
    if not ffpp.compression_folders(root, sequences, CROPS):
        raise UserError(f"{root}: not a tree of crops, it has no original_sequences/youtube/*/{CROPS}")
    if has_split_files(root):
        rows = rows_of_pairs(root, splits or SPLITS)
    else:
        rows = rows_of_lists(root, splits)
    check_disjoint(root, rows)
    videos = [_video(root, *row, compression) for compression in compressions for row in dict.fromkeys(rows)]
    return select(videos, (), methods, ())


def has_split_files(root: Path) -> bool:
    """Whether one of FaceForensics++'s split files lies in the root."""
    return any((root / folder / f"{split}.json").is_file() for folder in ffpp.SPLIT_FOLDERS for split in SPLITS)


def rows_of_pairs(root: Path, splits: Sequence[str]) -> list[Row]:
    """By FaceForensics++'s split files."""
    pairs = [(a, b, split) for split in splits for a, b in ffpp.read_split(root, split)]
    rows = [("youtube", name, split) for a, b, split in pairs for name in (a, b)]
    for method in ffpp.method_folders(root):
        rows += [(method, name, split) for a, b, split in pairs for name in (f"{a}_{b}", f"{b}_{a}")]
    return rows


def rows_of_lists(root: Path, splits: Sequence[str]) -> list[Row]:
    """By the project's list files."""
    lists = list_files(root)
    if not lists:
        raise UserError(f"{root}: no splits, neither train.json, val.json, test.json nor lists as FF++_train.txt")
    missing = [split for split in splits if split not in lists]
    if missing:
        raise UserError(
            f"{root}: no list for {missing[0]} (there are {', '.join(map(str, lists.values()))}); "
            "leave it out of splits"
        )
    return [row for split in splits or lists for row in read_list(lists[split], split)]


def list_files(root: Path) -> dict[str, Path]:
    """Split -> its list file."""
    lists: dict[str, Path] = {}
    unnamed = []
    for path in sorted([*root.glob("*.*"), *root.glob("*/*.*")]):
        stem = path.stem.lower()
        if path.suffix.lower() not in (".txt", ".csv") or not path.is_file():
            continue
        named = set(re.findall("[a-z]+", stem)) & set(SPLITS)
        if len(named) == 1:
            split = named.pop()
            if lists.setdefault(split, path) != path:
                raise UserError(f"{root}: two lists for {split}, {lists[split]} and {path}; remove one")
        elif "list" in stem and not any(split in stem for split in SPLITS):
            unnamed.append(path)
    if not lists and len(unnamed) == 1:
        return {"test": unnamed[0]}
    return lists


def read_list(path: Path, split: str) -> list[Row]:
    """The rows of a list file."""
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != 3 or fields[2] not in SIGNS or "/" in line:
            raise UserError(f"{path}, line {number}: {line.strip()!r} is not as `Deepfakes,001_870,-1`")
        if (SIGNS[fields[2]] == REAL) != (fields[0] in REAL_SETS):
            raise UserError(
                f"{path}, line {number}: {fields[0]} is {'real' if fields[0] in REAL_SETS else 'fake'}, "
                f"and {fields[2]} says the opposite (+1 real, -1 fake)"
            )
        rows.append((fields[0], fields[1], split))
    return rows


def check_disjoint(root: Path, rows: list[Row]) -> None:
    """Raise UserError if an identity is in two splits."""
    pairs: dict[str, list[tuple[str, str]]] = {}
    for _, video, split in rows:
        target, _, source = video.partition("_")
        pairs.setdefault(split, []).append((target, source or target))
    ffpp.check_disjoint(root, pairs)


def originals(root: str | Path) -> dict[str, str] | None:
    """None without official splits: a list may name fakes and not the real videos that they were made from."""
    root = Path(root)
    if not has_split_files(root):
        return None
    return {i: i for split in SPLITS for pair in ffpp.read_split(root, split) for i in pair}


def _video(root: Path, name: str, video: str, split: str, compression: str) -> Video:
    real = name in REAL_SETS
    sequence = root / ("original_sequences" if real else ffpp.MANIPULATED) / name / compression
    target, _, source = video.partition("_")
    return Video(
        path=str(sequence / CROPS / video / FACE),
        label=REAL if real else FAKE,
        method=REAL_METHOD if real else name,
        compression=compression,
        video=video,
        identity=target,
        source_identity="" if real else source,
        target_video="" if real else target,
        split=split,
        track_key=f"{name}/{video}",
        crop_landmarks=str(sequence / LANDMARKS / f"{video}.txt"),
    )
