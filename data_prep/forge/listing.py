"""Which real videos there are, whom each shows, and who is in which split.

A folder: every video file in it, at any depth. Whoever has a folder of his own at its top (PERSON/clip.mp4, at any
depth) is one person. A file that lies beside those shows the person of its name, without a number of up to three digits
at its end: anna_1.mp4 and anna_02.mp4 show anna, IMG_0001.mp4 and IMG_0002.mp4 two people. Who is taken for one person
by mistake costs data; who is taken for two may be trained and tested on, so what names do not tell must be in a CSV.

A CSV: path (relative to its folder), and any of identity (empty: as for a folder), split (of all rows or none) and
label (empty: real; rows of fakes are left out, with a line that says so).
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from cpml_jax.errors import UserError
from cpml_jax.schema import REAL, SPLITS
from cpml_jax.video_files import expand
from data_prep import hub
from data_prep.sources import read_csv
from data_prep.sources.folder import LABELS

COLUMNS = "path[,identity,split,label]"
VAL_SHARE, TEST_SHARE = 0.16, 0.22  # of the people, where no CSV divides them
FEWEST = 2  # people in a split: nobody is swapped with himself
LONGEST = 80  # bytes of a video's name: two of them make a file's


@dataclasses.dataclass(frozen=True)
class RealVideo:
    """A real video of one person.

    Attributes:
      path: of the file, absolute. video: its name, unique among all.
      identity: who is seen. split: train, val or test; "": not divided yet.
    """

    path: str
    video: str
    identity: str
    split: str = ""


def real_videos(place: str | os.PathLike[str], output: str | os.PathLike[str]) -> tuple[list[RealVideo], list[str]]:
    """The real videos of a folder or CSV, in order of name, and lines to tell the user; no video is opened.

    Args:
      output: folder that the forged data set goes to.

    Raises:
      UserError: no such folder or CSV, one that cannot be read, or too few people.
    """
    path = Path(os.path.abspath(hub.local(place)))
    if path.is_dir():
        found, notes = of_folder(path, output), []
    elif path.is_file():
        found, notes = of_csv(path, output)
    else:
        raise UserError(f"{place}: no such folder or CSV file of real videos")
    check_names(path, found)
    check_people(path, found)
    return sorted(found, key=lambda one: one.video), notes


def of_folder(root: Path, output: str | os.PathLike[str]) -> list[RealVideo]:
    """Every video file under a folder."""
    inside = Path(os.path.realpath(output)), Path(os.path.realpath(root))
    if inside[0].is_relative_to(inside[1]) or inside[1].is_relative_to(inside[0]):
        raise UserError(
            f"{root}: the forged videos would go to {output}, which lies in the folder of the real ones or around it; "
            "choose another --workdir"
        )
    found = []
    for name, problem in expand([str(root)]):
        if problem:
            raise UserError(f"{name}: {problem}")
        relative = Path(name).relative_to(root)
        found.append(RealVideo(name, video_name(relative), person(relative)))
    return found


def of_csv(path: Path, output: str | os.PathLike[str]) -> tuple[list[RealVideo], list[str]]:
    """The real videos that a CSV lists, and a line about the others."""
    root, taken = Path(os.path.realpath(output)), Path(os.path.realpath(path.parent))
    found: dict[str, RealVideo] = {}
    fakes = 0
    for number, row in enumerate(rows_of(path), 2):
        where = f"{path}, line {number}"
        label = LABELS.get(row.get("label", "").strip().lower() or "real")
        if label is None:
            raise UserError(f"{where}: label {row['label']!r}; it is real or fake (0 or 1)")
        if label != REAL:
            fakes += 1
            continue
        name = row["path"]
        if not name:
            raise UserError(f"{where}: the path is empty")
        file = os.path.normpath(path.parent / name)
        if Path(os.path.realpath(file)).is_relative_to(root):
            raise UserError(f"{where}: {name} lies in {output}, the folder that forged videos go to")
        if file in found:
            raise UserError(f"{where}: {name} is listed twice")
        split = row.get("split", "").strip()
        if split and split not in SPLITS:
            raise UserError(f"{where}: split {split!r}; it is one of {', '.join(SPLITS)}")
        relative = Path(os.path.relpath(file, path.parent))
        found[file] = RealVideo(file, video_name(relative), row.get("identity", "").strip() or person(relative), split)
    if root == taken:
        raise UserError(f"{path}: lies in {output}, the folder that forged videos go to; choose another --workdir")
    check_splits(path, found.values())
    notes = [f"{path}: {fakes} fake videos left out; only real ones are forged"] if fakes else []
    return list(found.values()), notes


def rows_of(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV under its columns. Raises UserError for what is none."""
    rows = read_csv(path, COLUMNS)
    if not rows or "path" not in rows[0]:
        raise UserError(f"{path}: the first line must name the columns {COLUMNS}, and a video must follow")
    # No key: more fields than columns. No value: fewer.
    return [{key: value or "" for key, value in row.items() if key} for row in rows]


def person(relative: Path) -> str:
    """Who is seen, as the name of a file tells: see above."""
    name = relative.parts[0] if len(relative.parts) > 1 and relative.parts[0] != ".." else relative.stem
    alone = re.sub(r"_\d{1,3}$", "", name) if len(relative.parts) == 1 else name
    return printable(alone or name)


def printable(name: str) -> str:
    """A name as text that can be written: bytes that are none are spelled out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def video_name(relative: Path) -> str:
    """A name for files of this video: its path without suffix, other signs than letters, digits and _ . - replaced."""
    name = re.sub(r"[^\w.-]", "-", str(relative.with_suffix("")).replace(os.sep, "-")).lstrip(".-") or "video"
    if len(name.encode()) <= LONGEST:
        return name
    digest = hashlib.sha256(os.fsencode(relative)).hexdigest()[:8]
    return name.encode()[: LONGEST - 9].decode("utf-8", "ignore") + "-" + digest


def check_names(path: Path, found: Sequence[RealVideo]) -> None:
    """Refuse two files that would have one name."""
    by_name: dict[str, str] = {}
    for one in found:
        other = by_name.setdefault(one.video, one.path)
        if other != one.path:
            raise UserError(f"{path}: {other} and {one.path} would both be called {one.video}; rename one of them")


def check_people(path: Path, found: Sequence[RealVideo]) -> None:
    """Refuse too few people for any division."""
    people = sorted({one.identity for one in found})

    def refuse(what: str) -> NoReturn:
        raise UserError(
            f"{path}: {what}; a forgery takes another person of the same split, and each of {', '.join(SPLITS)} needs "
            f"{FEWEST} at least. Who is who: a folder for each person, or a CSV with the columns {COLUMNS}"
        )

    if not found:
        refuse("no real video")
    if len(people) == 1:
        refuse(f"{len(found)} videos of one person alone, {people[0]!r}")
    if len(people) < FEWEST * len(SPLITS):
        refuse(f"{len(found)} videos of {len(people)} people")


def check_splits(path: Path, found: Iterable[RealVideo]) -> None:
    """Refuse a CSV that has one person in two splits, or divides only some of its videos."""
    found = list(found)
    split_of: dict[str, str] = {}
    for one in found:
        split = split_of.setdefault(one.identity, one.split)
        if split != one.split and split and one.split:
            raise UserError(
                f"{path}: person {one.identity!r} is in the splits {split} and {one.split}; one person may be in one "
                "split alone"
            )
    unnamed = [one for one in found if not one.split]
    if unnamed and len(unnamed) < len(found):
        raise UserError(f"{path}: {unnamed[0].path} has no split, others have one; name it for all, or for none")
    if not unnamed and found:
        check_counts(path, {one.identity: one.split for one in found})


def check_counts(path: str | os.PathLike[str], split_of: Mapping[str, str], why: str = "") -> None:
    """Refuse splits with too few people. split_of: of every person; why: they are so few."""
    counts = collections.Counter(split_of.values())
    for split in SPLITS:
        if counts[split] < FEWEST:
            raise UserError(
                f"{path}: {counts[split]} {'person' if counts[split] == 1 else 'people'} in the {split} split{why}; "
                f"it needs {FEWEST} at least, since a forgery takes another person of the same split"
            )


def divided(found: Sequence[RealVideo], seed: int) -> list[RealVideo]:
    """With a split for every person, where none is named: by the order of the seed's SHA-256 with the person's name."""
    if not found or found[0].split:
        return list(found)

    def place(identity: str) -> bytes:
        return hashlib.sha256(f"{seed}/{identity}".encode("utf-8", "surrogatepass")).digest()

    people = sorted({one.identity for one in found}, key=place)
    val, test = (max(FEWEST, round(share * len(people))) for share in (VAL_SHARE, TEST_SHARE))
    names = ["test"] * test + ["val"] * val + ["train"] * max(len(people) - val - test, 0)
    split_of = dict(zip(people, names, strict=False))
    return [dataclasses.replace(one, split=split_of[one.identity]) for one in found]
