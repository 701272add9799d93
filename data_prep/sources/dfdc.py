"""DFDC, the full set: train/dfdc_train_part_<N>/metadata.json, and test/labels.csv (1 is fake).

What metadata.json calls `train` is divided into train and val by the hash of the original's name
(sources.hashed_split), so that a fake falls where its original does. Actors are not named in the published files: one
actor's originals may fall on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cpml_jax.errors import UserError
from cpml_jax.files import parse_json
from cpml_jax.schema import FAKE, REAL, REAL_METHOD, UNKNOWN_COMPRESSION
from data_prep.sources import Official, Video, hashed_split, read_csv, read_text, select

METHOD = "DFDC"  # eight methods made the fakes; which one made which is not published
LABELS = {"REAL": REAL, "FAKE": FAKE, "0": REAL, "1": FAKE}
PARTS = 50
TEST_VIDEOS = {"all": 5000}
TRAIN = "train/dfdc_train_part_*"
TEST = "test/labels.csv"


def expected(
    root: str | Path, *, compressions: Sequence[str], methods: Sequence[str], splits: Sequence[str]
) -> list[Video]:
    """Every file that labels.csv and the parts' metadata.json name."""
    root = Path(root)
    parts, test = labelled_parts(root), root / TEST
    if not parts and not test.is_file():
        raise UserError(f"{root}: not a root of DFDC, it has neither {TRAIN}/metadata.json nor {TEST}")
    if not parts and {"train", "val"} & set(splits):
        raise UserError(f"{root}: {TRAIN}/metadata.json is missing; without it, set splits=('test',)")
    if not test.is_file() and "test" in splits:
        raise UserError(f"{root}: {TEST} is missing; without it, set splits=('train', 'val')")
    videos: dict[str, Video] = {}
    for video in [v for part in parts for v in _train(part)] + (_test(test) if test.is_file() else []):
        other = videos.setdefault(video.video, video)
        if other.path != video.path:
            raise UserError(f"{root}: {other.path} and {video.path} have the same name")
    return select(videos.values(), compressions, methods, splits)


def labelled_parts(root: Path) -> list[Path]:
    """Folders of the parts with a metadata.json.

    Raises:
      UserError: a part has videos but no metadata.json, and so no labels.
    """
    parts = []
    for part in sorted(root.glob(TRAIN)):
        if (part / "metadata.json").is_file():
            parts.append(part)
        elif any(part.glob("*.mp4")):
            raise UserError(f"{part}: metadata.json is missing, and with it the labels of the videos beside it")
    return parts


def originals(root: str | Path) -> dict[str, str] | None:
    """Every real video -> itself; None while parts are missing: originals may be in those."""
    root = Path(root)
    if 0 < len(labelled_parts(root)) < PARTS:
        return None
    videos = expected(root, compressions=(), methods=(), splits=())
    return {v.video: v.identity for v in videos if v.label == REAL}


def official(root: str | Path) -> list[Official]:
    """Of train and val together, where parts are present; of the test set, where its list is."""
    source = "Dolhansky et al. 2020, arXiv 2006.07397"
    root, counts = Path(root), []
    if labelled_parts(root):
        counts += [
            Official("real in train and val", 19_154, source, dict(label=REAL, split=("train", "val"))),
            Official("fake in train and val", 100_000, source, dict(label=FAKE, split=("train", "val"))),
        ]
    return counts + (
        [Official("test", TEST_VIDEOS["all"], source, dict(split="test"))] if (root / TEST).is_file() else []
    )


def _train(part: Path) -> list[Video]:
    path = part / "metadata.json"
    try:
        entries = parse_json(read_text(path))
        rows = [
            (name, entry["label"], Path(entry.get("original") or "").stem, entry.get("split", "train"))
            for name, entry in entries.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f'{path}: not DFDC\'s form, {{"x.mp4": {{"label": "FAKE", "original": …}}}}') from None
    videos = []
    for name, label, original, split in rows:
        if label not in ("REAL", "FAKE"):
            raise UserError(f"{path}: the label of {name} is {label!r}; it is REAL or FAKE")
        if label == "REAL" and original:
            raise UserError(f"{path}: {name} is REAL and made from {original}; only a fake has an original")
        if split not in ("train", "val", "test"):
            raise UserError(f"{path}: the split of {name} is {split!r}; it is train, val or test")
        identity = original or Path(name).stem
        split = hashed_split(identity) if split == "train" else split
        videos.append(_video(part / name, LABELS[label], identity, original, split))
    return videos


def _test(path: Path) -> list[Video]:
    rows = read_csv(path, "filename,label")
    if not rows or not {"filename", "label"} <= rows[0].keys():
        raise UserError(f"{path}: the first line must name the columns filename,label")
    # As downloaded the videos lie beside the list; unpacked by other tools, in videos/.
    folder = path.parent / "videos" if (path.parent / "videos").is_dir() else path.parent
    videos = []
    for number, row in enumerate(rows, 2):
        if row["label"] not in ("0", "1") or not row["filename"]:
            raise UserError(f"{path}, line {number}: it needs a file name and 0 (real) or 1 (fake)")
        videos.append(_video(folder / row["filename"], LABELS[row["label"]], Path(row["filename"]).stem, "", "test"))
    return videos


def _video(path: Path, label: int, identity: str, original: str, split: str) -> Video:
    method = METHOD if label == FAKE else REAL_METHOD
    return Video(
        path=str(path),
        label=label,
        method=method,
        compression=UNKNOWN_COMPRESSION,
        video=path.stem,
        identity=identity,
        source_identity="",
        target_video=original if label == FAKE else "",
        split=split,
        track_key=f"{method}/{path.stem}",
    )
