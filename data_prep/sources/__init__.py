"""Data sets: one file each. A root goes in, a list of videos comes out; no video is opened here.

A module here is a data set, by its name. It must have one of

    videos(root, *, compressions, methods, splits) -> list[Video]       what to prepare; empty tuples mean all
    expected(root, *, compressions, methods, splits) -> list[Video]     what its lists name: what of that lies on the
                                                                        disk is prepared, verify counts the rest

(with both, `videos` is prepared), and may have

    READY_MADE: bool                                                    True: folders of crops, where no face is sought
    inventory(root) -> list[Video]                                      for verify: also what is in no split
    originals(root) -> dict[str, str] | None                            id of every real video -> its identity; None
                                                                        where lists do not name all of them
    official(root) -> list[Official]                                    how many videos there ought to be
    TEST_VIDEOS: dict[str, int]                                         sizes of the published test list by method, real
                                                                        too; "all" where only their sum is known
    known_overlap: str                                                  why identities recur between its splits
"""

from __future__ import annotations

import csv
import dataclasses
import difflib
import hashlib
import importlib
import io
import os
import pkgutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from cpml_jax.errors import UserError
from cpml_jax.schema import FAKE, REAL, SPLITS, compression_rank
from data_prep import hub

VAL_SHARE = 0.1  # of the identities, where a data set has no validation split of its own


@dataclasses.dataclass(frozen=True)
class Video:
    """One video of a data set.

    Attributes:
      path: of the file.
      label: 0 real, 1 fake.
      method: manipulation, or "real".
      compression: raw, c23, c40, ..., or "unknown".
      video: id inside the data set and method.
      identity: who is seen (the target). source_identity: whose face or expression was put in; "" for real or unknown.
      target_video: id of the frame-aligned real video of a fake; "" if there is none.
      split: train, val or test.
      track_key: videos with one key show one face in one place (compressions of a video; in FF++ also the fakes made
        from it) and share one face track.
      truth: path of the drawn benchmark's sidecar with the true pulse; "" elsewhere.
      mask: path of the video that shows where the face was manipulated; "" if there is none. Read for training alone.
      crop_landmarks: path of the landmarks of ready-made crops: `path` is then a folder of aligned face images, and
        nothing is detected; "" for videos.
    """

    path: str
    label: int
    method: str
    compression: str
    video: str
    identity: str
    source_identity: str
    target_video: str
    split: str
    track_key: str
    truth: str = ""
    mask: str = ""
    crop_landmarks: str = ""


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set to prepare, as the configuration names it.

    Attributes:
      name: of the folder of its records.
      kind: name of a module here. root: its folder, or its address on the hub (hub.py).
      compressions, methods, splits: see list_videos.
      draw: how the videos were drawn (arguments of synthetic.generate); None for real ones.
      forge: how they were forged from real ones (arguments of forge.generate); None for those that came forged.
    """

    name: str
    kind: str
    root: str | Path
    compressions: Sequence[str] = ()
    methods: Sequence[str] = ()
    splits: Sequence[str] = ()
    draw: dict[str, Any] | None = None
    forge: dict[str, Any] | None = None

    def parameters(self) -> dict[str, Any]:
        """What its records depend on: all but the place of the videos."""
        chosen = dict(kind=self.kind, compressions=self.compressions, methods=self.methods, splits=self.splits)
        made = {} if self.draw is None else {"draw": self.draw}
        if self.forge is not None:
            made["forge"] = {key: value for key, value in self.forge.items() if key != "input"}
        return chosen | made

    def list_videos(self, **chosen: Sequence[str]) -> list[Video]:
        """Its videos, with absolute paths; `chosen` replaces its compressions, methods or splits.

        Raises:
          UserError: as list_videos and folder do.
        """
        chosen = dict(compressions=self.compressions, methods=self.methods, splits=self.splits) | chosen
        return list_videos(self.kind, self.folder(), **chosen)

    def folder(self) -> str:
        """Its root's absolute path on this machine, downloaded where the root is an address and it is not there yet.

        Raises:
          UserError: it has no root, or hub.local does.
        """
        if not self.root:
            key = f"data.sources.{self.name}.root"
            raise UserError(f"{key} is empty; give the folder: --config.{key}=FOLDER")
        # Absolute: a worker on another machine has another working folder.
        return os.path.abspath(hub.local(self.root))


@dataclasses.dataclass(frozen=True)
class Official:
    """How many different videos a compression ought to have.

    Attributes:
      what: in words. count: the official number. source: where it is published.
      fields: attributes of Video, and the value (or values) that a video must have to be counted.
    """

    what: str
    count: int
    source: str
    fields: dict[str, int | str | tuple[str, ...]]


def kinds() -> list[str]:
    """Names of the data sets."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(kind: str) -> ModuleType:
    """The module of a data set.

    Raises:
      UserError: there is none of that name.
    """
    if kind not in kinds():
        near = difflib.get_close_matches(kind, kinds(), n=1)
        raise UserError(
            f"no data source {kind!r}{f', did you mean {near[0]!r}?' if near else ''}; there are {', '.join(kinds())}"
        )
    return importlib.import_module(f"{__name__}.{kind}")


def official_test(kind: str) -> dict[str, int]:
    """A data set's TEST_VIDEOS; empty where it has no published test list."""
    return dict(getattr(load(kind), "TEST_VIDEOS", {}))


def list_videos(
    kind: str,
    root: str | Path,
    *,
    compressions: Sequence[str] = (),
    methods: Sequence[str] = (),
    splits: Sequence[str] = (),
) -> list[Video]:
    """The videos of a data set that lie on the disk, sorted.

    Args:
      kind: name of a module here.
      root: its folder (or, for `folder`, a CSV file).
      compressions, methods, splits: which of them; empty: all. `methods` are of fakes: real videos are always listed.

    Raises:
      UserError: no such kind, a root that is not this data set, a missing split file, no video at all, two files for
        one video, or no video of a compression, method or split that was asked for.
    """
    module = load(kind)
    chosen = dict(compressions=tuple(compressions), methods=tuple(methods), splits=tuple(splits))
    videos = present(module, root, **chosen)
    check_present(module, root, videos, **chosen)
    paths: dict[tuple[str, str, str], str] = {}
    for video in videos:
        other = paths.setdefault((video.method, video.compression, video.video), video.path)
        if other != video.path:
            raise UserError(
                f"{root}: {other} and {video.path} are both video {video.video!r} of {video.method}, "
                f"{video.compression}; take one away"
            )
    return sorted(videos, key=lambda v: (v.track_key, v.compression, v.path))


def present(module: ModuleType, root: str | Path, **chosen: tuple[str, ...]) -> list[Video]:
    """What a data set's module lists of a root; of `expected` alone, what lies on the disk."""
    return module.videos(root, **chosen) if hasattr(module, "videos") else on_disk(module.expected(root, **chosen))


def expected(module: ModuleType, root: str | Path, **chosen: tuple[str, ...]) -> list[Video]:
    """What a data set's module lists of a root, with what its lists name and the disk lacks."""
    return module.expected(root, **chosen) if hasattr(module, "expected") else module.videos(root, **chosen)


def on_disk(videos: Iterable[Video]) -> list[Video]:
    """Those whose file or folder exists."""
    return [video for video in videos if os.path.exists(video.path)]


def check_present(module: ModuleType, root: str | Path, videos: list[Video], **chosen: tuple[str, ...]) -> None:
    """Refuse compressions, methods and splits that were asked for and have no video, naming those that have.

    Otherwise methods of another data set would leave its real videos alone, and a training run without fakes.
    """
    for field, names in available(videos).items():
        absent = [name for name in chosen[field] if name not in names]
        if absent:
            try:
                names = available(present(module, root, **chosen | {field: ()}))[field]
            except UserError:  # of a split that nobody asked for: its file is missing
                pass
            raise UserError(
                f"{root}: no video of {', '.join(absent)} (there are {', '.join(names) or 'none'}); leave that out of "
                f"{field}, or set {field}=() for all"
            )
    if not videos:
        raise UserError(f"{root}: no video of this data set")


def available(videos: list[Video]) -> dict[str, list[str]]:
    """The compressions of the videos, the methods of the fakes among them, and the splits."""
    return {
        "compressions": sorted({v.compression for v in videos}, key=lambda name: (compression_rank(name), name)),
        "methods": sorted({v.method for v in videos if v.label == FAKE}),
        "splits": [split for split in SPLITS if any(v.split == split for v in videos)],
    }


def select(
    videos: Iterable[Video], compressions: Sequence[str], methods: Sequence[str], splits: Sequence[str]
) -> list[Video]:
    """Those of the compressions, methods (real ones always) and splits asked for; an empty tuple asks for all."""
    return [
        v
        for v in videos
        if (not splits or v.split in splits)
        and (not compressions or v.compression in compressions)
        and (not methods or v.label == REAL or v.method in methods)
    ]


def read_text(path: Path) -> str:
    """A list that belongs to a data set.

    Raises:
      UserError: it cannot be read, or is not text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file") from None


def read_csv(path: Path, columns: str) -> list[dict[str, Any]]:
    """The lines of a CSV under its columns. A line with fewer fields has None for the rest, one with more has them
    under None.

    Raises:
      UserError: it cannot be read, or is no such text; `columns` says what it should have.
    """
    text = read_text(path)
    try:
        if "\0" not in text:
            return list(csv.DictReader(io.StringIO(text)))
    except csv.Error:
        pass
    raise UserError(f"{path}: not a CSV text file; its columns are {columns}")


def hashed_split(identity: str) -> str:
    """train or val (VAL_SHARE of the identities) by the identity's SHA-256: the same on every machine.

    An identity added or taken away moves no other, and all videos of one fall on one side.
    """
    place = int.from_bytes(hashlib.sha256(identity.encode("utf-8", "surrogatepass")).digest()[:8], "big") / 2**64
    return "val" if place < VAL_SHARE else "train"
