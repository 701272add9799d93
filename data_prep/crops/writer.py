"""Records -> the original project's tree of crops and landmarks, for other tools.

    <root>/original_sequences/youtube/<compression>/crop_MTCNN/<id>/face0/0000.jpg, 0001.jpg, ...
    <root>/manipulated_sequences/<method>/<compression>/crop_MTCNN/<id>/face0/0000.jpg, 0001.jpg, ...
    <root>/.../<compression>/video_landmark_new/<id>.txt      one line of 136 numbers per frame
    <root>/train.txt, val.txt, test.txt                       Deepfakes,001_870,-1 or youtube,001,+1 (+1 real, -1 fake)

Landmarks: x and y of the first point, of the second, ..., in pixels of the crop, (0, 0) the middle of its upper left
pixel (`unit="pixels"`), or in [-1, 1] from the crop's left and upper edges to its right and lower ones, as in records
(`unit="normalised"`), for tools that feed a line to their network unchanged. `reader` distinguishes the two.

A frame's JPEG file is the record's, byte for byte. The tree has no place for the rest, which is lost: which frames were
filled in, the box, the pulse, the source's properties, and time between two windows that was left out.
"""

from __future__ import annotations

import collections
import itertools
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from cpml_jax.errors import UserError
from cpml_jax.files import parse_json
from cpml_jax.schema import CROP_SIZE, REAL

CROPS, LANDMARKS, FACE = "crop_MTCNN", "video_landmark_new", "face0"
MARKER = "crop_tree.json"  # marks a tree that this module wrote, and whether it is finished
UNITS = ("pixels", "normalised")


def write(
    root: str | Path, records: Iterable[dict], *, originals: str = "youtube", unit: str = "pixels"
) -> dict[str, int]:
    """Write the tree. After an interruption the same call starts over.

    Args:
      root: a new or empty folder, or one with an unfinished tree of this module.
      records: schema.RECORD, frames as JPEG bytes; those of one (video, compression) follow one another, in any order
        of their windows, as sorted clip ids do. The windows of one video are in memory at a time; in the tree they
        follow one another, so that reading with the same number of frames gives the same clips.
      originals: folder of the real videos in original_sequences (`actors` for DFD).
      unit: of the landmarks, see above.

    Returns:
      split -> number of videos.

    Raises:
      UserError: the folder holds something else, two videos have the same place, or the disk is full.
    """
    if unit not in UNITS:
        raise UserError(f"landmark unit {unit!r}; it is one of {', '.join(UNITS)}")
    root = Path(root)
    try:
        begin(root)
        lists = write_videos(root, records, originals, unit)
        for split, lines in lists.items():
            text = "".join(f"{line}\n" for line in sorted(lines))
            (root / f"{split}.txt").write_bytes(text.encode("utf-8", "surrogateescape"))
        about = {"finished": True, "landmarks": unit, "crop_pixels": CROP_SIZE}
        (root / MARKER).write_text(json.dumps(about, indent=1) + "\n")
    except OSError as error:
        raise UserError(
            f"{error.filename or root}: cannot be written ({error.strerror}); make room, or choose another folder"
        ) from None
    return {split: len(lines) for split, lines in sorted(lists.items())}


def is_complete(root: str | Path) -> bool:
    """Whether the folder holds a finished tree."""
    try:
        return parse_json((Path(root) / MARKER).read_text())["finished"] is True
    except (OSError, ValueError, KeyError, TypeError):
        return False


def begin(root: Path) -> None:
    """Mark the folder as an unfinished tree; UserError if its content must not be overwritten."""
    if is_complete(root):
        raise UserError(f"{root}: holds a finished tree of crops; delete it, or name another folder")
    if root.is_dir() and any(root.iterdir()) and not (root / MARKER).is_file():
        raise UserError(f"{root}: not empty, and not an unfinished tree of crops; name a new folder")
    root.mkdir(parents=True, exist_ok=True)
    (root / MARKER).write_text(json.dumps({"finished": False}) + "\n")


def write_videos(root: Path, records: Iterable[dict], originals: str, unit: str) -> dict[str, set[str]]:
    """Every video's folder and landmarks; returns the list lines of each split."""
    lists: dict[str, set[str]] = collections.defaultdict(set)
    key_of: dict[tuple, str] = {}
    for key, windows in by_video(records):
        sequence, video, line = place(windows[0], originals)
        if key_of.setdefault((sequence, video), key) != key:
            raise UserError(
                f"{root / sequence}: the videos {key_of[sequence, video]} and {key} would both be {video}; "
                "write one data set per folder"
            )
        write_video(root / sequence, video, windows, unit)
        lists[_string(windows[0]["split"])].add(line)
    return lists


def by_video(records: Iterable[dict]) -> Iterator[tuple[str, list[dict]]]:
    """(video key, its windows in order)."""
    done = set()
    for key, group in itertools.groupby(records, key=lambda record: _string(record["video_key"])):
        if key in done:
            raise ValueError(f"the records of {key} do not follow one another")
        done.add(key)
        yield key, sorted(group, key=lambda record: int(record["window"]))


def place(record: dict, originals: str) -> tuple[str, str, str]:
    """(sequence folder under the root, name of the video's folder, its line in the list)."""
    real = int(record["label"]) == REAL
    group = originals if real else safe_name(_string(record["method"]))
    video = safe_name(_string(record["video"]))
    above = "original_sequences" if real else "manipulated_sequences"
    sequence = f"{above}/{group}/{safe_name(_string(record['compression']))}"
    return sequence, video, f"{group},{video},{'+1' if real else '-1'}"


def safe_name(name: str) -> str:
    """A name that is one folder and one field of a list: / \\ , % and control characters become %2F and so on, as do a
    leading dot and spaces at the ends. Ids such as 001_870 stay as they are, and no two names become one.
    """
    return re.sub(r"[%/\\,\x00-\x1f\x7f\x85\u2028\u2029]|^[.\s]|\s$", lambda m: f"%{ord(m[0]):02X}", name)


def write_video(sequence: Path, video: str, windows: list[dict], unit: str) -> None:
    """The crops and the landmark file of one video; windows: its records in order."""
    folder = sequence / CROPS / video / FACE
    shutil.rmtree(folder, ignore_errors=True)  # of an interrupted run
    folder.mkdir(parents=True)
    for number, data in enumerate(itertools.chain.from_iterable(record["frames"] for record in windows)):
        (folder / f"{number:04d}.jpg").write_bytes(bytes(data))
    points = np.concatenate([np.asarray(record["landmarks"], float) for record in windows])
    digits = 6
    if unit == "pixels":
        points, digits = (points + 1) * (CROP_SIZE / 2) - 0.5, 3
    lines = (" ".join(f"{value:.{digits}f}" for value in frame.ravel()) for frame in points)
    (sequence / LANDMARKS).mkdir(exist_ok=True)
    (sequence / LANDMARKS / f"{video}.txt").write_text("".join(f"{line}\n" for line in lines))


def _string(value: str | bytes) -> str:
    """TFDS returns strings as bytes."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
