"""Celeb-DF, v1 and v2: Celeb-real, YouTube-real, Celeb-synthesis and a list of test videos. Split by identity.

In List_of_testing_videos.txt 1 is REAL and 0 is FAKE, the other way round than here, and its first line is a video.
A fake `id<A>_id<B>_<NNNN>` shows B's face on A in the video `id<A>_<NNNN>`: its identity is A, its source B.
Videos of YouTube-real show other people, each counted as an identity of its own.

The test split is the list. Of the rest, a video is in train or val if nobody in it (target and source) is named in the
list; which of the two is the hash of the identity (sources.hashed_split), and a fake whose target and source fall on
different sides is left out. So no identity is in two splits. The price is high: v2's list names 56 of its 59
celebrities, and the other three fall into val. So v2 has no train split by identity, and asking for one is an error.
The field trains on every video outside the list, with the people of the test: the kind `celebdf_official`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cpml_jax.errors import UserError
from cpml_jax.schema import FAKE, REAL, REAL_METHOD, UNKNOWN_COMPRESSION
from data_prep.sources import Official, Video, hashed_split, on_disk, read_text, select

TEST_LIST = "List_of_testing_videos.txt"
METHOD = "Celeb-synthesis"
FOLDERS = {"Celeb-real": REAL, "YouTube-real": REAL, METHOD: FAKE}
DIGITS = {"1": REAL, "0": FAKE}  # of the list: the other way round than here
FAKE_NAME = re.compile(r"(id\d+)_(id\d+)_(\d+)")
REAL_NAME = re.compile(r"(id\d+)_(\d+)")
V2_TEST_VIDEOS = 518
TEST_VIDEOS = {"all": V2_TEST_VIDEOS}


def videos(
    root: str | Path, *, compressions: Sequence[str], methods: Sequence[str], splits: Sequence[str]
) -> list[Video]:
    """Files that lie on the disk.

    Raises:
      UserError: beside those of list_videos, a training split was asked for and no fake is left for it.
    """
    videos = on_disk(expected(root, compressions=compressions, methods=methods, splits=splits))
    if "train" in splits and not any(v.split == "train" and v.label == FAKE for v in videos):
        raise UserError(
            f"{root}: no fake is left to train on, since {TEST_LIST} names whom the fakes show; set splits=('test',), "
            "or take the kind celebdf_official, which trains on the people of the test"
        )
    return videos


def expected(
    root: str | Path,
    *,
    compressions: Sequence[str],
    methods: Sequence[str],
    splits: Sequence[str],
    by_identity: bool = True,
) -> list[Video]:
    """Every file on the disk, and those of the test list that are missing."""
    root = Path(root)
    test = read_list(root)
    tested = {identity for name in test for identity in people(name)}
    videos = []
    for name in sorted(set(test) | set(files_on_disk(root))):
        split = "test" if name in test else rest_split(name, tested if by_identity else None)
        if split:
            videos.append(_video(root, name, split))
    return select(videos, compressions, methods, splits)


def read_list(root: Path) -> dict[str, int]:
    """Folder/file of every test video -> label (0 real, 1 fake)."""
    for folder in FOLDERS:
        if not (root / folder).is_dir():
            raise UserError(f"{root}: not a root of Celeb-DF, the folder {folder} is missing")
    path = root / TEST_LIST
    if not path.is_file():
        raise UserError(f"{root}: {TEST_LIST} is missing; it comes with Celeb-DF and names the test videos")
    test = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        digit, _, name = line.strip().partition(" ")
        name = name.strip()
        folder = name.partition("/")[0]
        if digit not in DIGITS or folder not in FOLDERS or not people(name):
            raise UserError(f"{path}, line {number}: {line.strip()!r} is not as `1 YouTube-real/00170.mp4`")
        if DIGITS[digit] != FOLDERS[folder]:
            raise UserError(
                f"{path}, line {number}: {digit} means {'real' if digit == '1' else 'fake'}, "
                f"but {folder} holds the opposite"
            )
        test[name] = FOLDERS[folder]
    return test


def files_on_disk(root: Path) -> list[str]:
    """Folder/file of every video."""
    names = [f"{folder}/{path.name}" for folder in FOLDERS for path in (root / folder).glob("*.mp4")]
    return [name for name in names if people(name)]


def people(name: str) -> tuple[str, ...]:
    """Target and source of a fake, the one person of a real video, () if the name is not of this data set."""
    folder, _, file = name.partition("/")
    stem = file.removesuffix(".mp4")
    if folder == "YouTube-real":
        return (f"youtube-{stem}",) if stem.isdigit() else ()
    match = (FAKE_NAME if folder == METHOD else REAL_NAME).fullmatch(stem)
    return match.groups()[:-1] if match else ()


def rest_split(name: str, tested: set[str] | None) -> str:
    """Split of a video outside the list; "" if it is left out. Without `tested`, by its target alone."""
    identities = people(name)
    if tested is None:
        return hashed_split(identities[0])
    candidates = {hashed_split(identity) for identity in identities}
    return "" if tested.intersection(identities) or len(candidates) > 1 else candidates.pop()


def inventory(root: str | Path) -> list[Video]:
    """Also what is in no split, as if it were in that of its target."""
    return expected(root, compressions=(), methods=(), splits=(), by_identity=False)


def originals(root: str | Path) -> dict[str, str]:
    """Every real video on the disk or in the list -> the identity that it shows."""
    names = set(read_list(Path(root))) | set(files_on_disk(Path(root)))
    return {Path(name).stem: people(name)[0] for name in names if not name.startswith(METHOD)}


def official(root: str | Path) -> list[Official]:
    """Counts of v2 or of v1, told apart by the length of the test list (v2: 518)."""
    if len(read_list(Path(root))) < V2_TEST_VIDEOS:
        source = "README of Celeb-DF v1, github.com/yuezunli/celeb-deepfakeforensics"
        return [
            Official("real (v1)", 408, source, dict(label=REAL)),
            Official("fake (v1)", 795, source, dict(label=FAKE)),
        ]
    source = "README of github.com/yuezunli/celeb-deepfakeforensics"
    return [
        Official("real (v2)", 890, source, dict(label=REAL)),
        Official("fake (v2)", 5639, source, dict(label=FAKE)),
        Official("test (v2)", V2_TEST_VIDEOS, source, dict(split="test")),
    ]


def _video(root: Path, name: str, split: str) -> Video:
    folder, _, file = name.partition("/")
    video = file.removesuffix(".mp4")
    label, identities = FOLDERS[folder], people(name)
    method = METHOD if label == FAKE else REAL_METHOD
    return Video(
        path=str(root / name),
        label=label,
        method=method,
        compression=UNKNOWN_COMPRESSION,
        video=video,
        identity=identities[0],
        source_identity=identities[1] if label == FAKE else "",
        target_video=f"{identities[0]}_{video.rpartition('_')[2]}" if label == FAKE else "",
        split=split,
        track_key=f"{method}/{video}",
    )
