"""Checks of a data set's root before any work; no video is opened.

Problems are reasons to stop: with them a data set is not what its name promises (identities in two splits, labels that
contradict each other, copies of one file under two names, no split file). Notes are things to know that do not stop
preparation: files not downloaded yet, empty ones, unused ones.
"""

from __future__ import annotations

import collections
import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from cpml_jax.errors import UserError
from cpml_jax.schema import FAKE, REAL, SPLITS
from data_prep import sources
from data_prep.sources import Video
from data_prep.verify import duplicates, leftovers

DISTINCT = ("split", "label", "method", "compression")  # copies that differ in one of these are a problem


def verify(
    kind: str,
    root: str | Path,
    *,
    compressions: Sequence[str] = (),
    methods: Sequence[str] = (),
    splits: Sequence[str] = (),
    hash_files: bool = True,
    progress: bool = True,
) -> dict:
    """Check a root.

    Args:
      kind, root, compressions, methods, splits: see sources.list_videos.
      hash_files: compare files of equal size by content, for which they are read.
      progress: a bar on stderr while files are read.

    Returns:
      ok: no problem. problems, notes: lists of one-line texts. Beside them what they were made from, all of it JSON:
      kind, root, videos ({"split/method/compression": files on the disk}), missing ({"method/compression": files that
      the lists name and the disk lacks}), identities ({split: how many}), duplicates (groups of paths of one content).

    Raises:
      UserError: no such kind. Whatever else is wrong is a problem in the result.
    """
    module, root = sources.load(kind), str(root)
    result = dict(kind=kind, root=root, ok=False, problems=[], notes=[], videos={}, missing={}, identities={})
    result["duplicates"] = []
    chosen = dict(compressions=tuple(compressions), methods=tuple(methods), splits=tuple(splits))
    try:
        listed = sources.expected(module, root, **chosen)
        existing = sources.on_disk(listed)
        every, complete = everything(module, root, listed)
        count(result, listed, existing)
        if hasattr(module, "official"):
            compare_official(result, module.official(root), every, complete, chosen)
        check_identities(result, module, listed)
        check_targets(result, module, root, listed)
        check_files(result, existing)
        if hash_files:
            check_copies(result, existing, progress)
        left_out = {v.path for v in every} - {v.path for v in listed}
        if hasattr(module, "inventory") and set(splits or SPLITS) == set(SPLITS) and left_out:
            result["notes"].append(
                f"{len(left_out)} videos are in no split ({examples(left_out)}): see sources/{kind}.py"
            )
        result["notes"] += leftovers.notes(root, [*every, *listed])
        sources.list_videos(kind, root, **chosen)  # raises what preparation would stop at
    except UserError as error:
        result["problems"].append(str(error))
    result["ok"] = not result["problems"]
    return result


def everything(module: ModuleType, root: str, listed: list[Video]) -> tuple[list[Video], bool]:
    """All videos of the root, of every split, method and compression; and whether these are all."""
    try:
        if hasattr(module, "inventory"):
            return module.inventory(root), True
        return sources.expected(module, root, compressions=(), methods=(), splits=()), True
    except UserError:  # the file of a split that nobody asked for is missing
        return listed, False


def tally(videos: list[Video], fields: Sequence[str]) -> dict[str, int]:
    """How many videos have each combination of the fields' values, joined by slashes."""
    counted = collections.Counter("/".join(str(getattr(v, field)) for field in fields) for v in videos)
    return dict(sorted(counted.items()))


def count(result: dict, listed: list[Video], existing: list[Video]) -> None:
    """What lies on the disk, and what the lists name and the disk lacks."""
    fields = ("method", "compression")
    expected = tally(listed, fields)
    result["videos"] = tally(existing, ("split", *fields))
    paths = {v.path for v in existing}
    result["missing"] = tally([v for v in listed if v.path not in paths], fields)
    for key, number in result["missing"].items():
        result["notes"].append(f"{key}: {number} of {expected[key]} videos that the lists name are missing")


def compare_official(
    result: dict,
    entries: list[sources.Official],
    every: list[Video],
    complete: bool,
    chosen: dict[str, tuple[str, ...]],
) -> None:
    """What lies on the disk against the official numbers, per compression. A split not asked for is not counted."""
    every = sources.on_disk(sources.select(every, chosen["compressions"], chosen["methods"], ()))
    for compression in sorted({v.compression for v in every}):
        for entry in entries:
            splits = as_tuple(entry.fields.get("split", ()))
            other_splits = splits and chosen["splits"] and not set(splits) & set(chosen["splits"])
            if other_splits or not (complete or splits):
                continue
            number = len({(v.method, v.video) for v in every if v.compression == compression and matches(v, entry)})
            if number and number != entry.count:
                result["notes"].append(
                    f"{compression}: {number} videos of {entry.what}, officially {entry.count} ({entry.source})"
                )


def as_tuple(value: int | str | tuple[str, ...]) -> tuple[int | str, ...]:
    """One value as a tuple of one."""
    return value if isinstance(value, tuple) else (value,)


def matches(video: Video, entry: sources.Official) -> bool:
    """Whether an official number counts a video."""
    return all(getattr(video, field) in as_tuple(value) for field, value in entry.fields.items())


def check_identities(result: dict, module: ModuleType, listed: list[Video]) -> None:
    """Which identities are in which split, as the person shown (target) and as the face put in (source)."""
    targets, lenders = collections.defaultdict(set), collections.defaultdict(set)
    for video in listed:
        targets[video.split].add(video.identity)
        if video.source_identity:
            lenders[video.split].add(video.source_identity)
    result["identities"] = {split: len(targets[split]) for split in SPLITS if targets[split]}
    known = getattr(module, "known_overlap", "")
    for a, b in itertools.combinations(SPLITS, 2):
        both = targets[a] & targets[b]
        if both:
            text = f"IDENTITY OVERLAP: {len(both)} identities are in {a} and in {b} ({examples(both)})"
            result["notes" if known else "problems"].append(f"{text}: {known}" if known else text)
        lent = ((lenders[a] & (targets[b] | lenders[b])) | (lenders[b] & targets[a])) - both
        if lent:
            result["notes"].append(
                f"{len(lent)} identities are in both {a} and {b} as faces put into fakes ({examples(lent)})"
            )


def check_targets(result: dict, module: ModuleType, root: str, listed: list[Video]) -> None:
    """A fake names the real video that it was made from: it must be one, and show the same person."""
    real: dict[str, str] = {v.video: v.identity for v in listed if v.label == REAL}
    known = module.originals(root) if hasattr(module, "originals") else real
    real |= known or {}
    people = set(real.values())
    fakes = [v for v in listed if v.label == FAKE and v.target_video]
    unknown = {v.identity for v in fakes if v.target_video not in real and v.identity not in people}
    if unknown:
        text = f"{len(unknown)} identities are the targets of fakes and are in no real video ({examples(unknown)})"
        certain = known is not None and real  # otherwise the real videos may only be missing from this disk
        result["problems" if certain else "notes"].append(text)
    absent = {v.target_video for v in fakes if v.target_video not in real and v.identity in people}
    if absent:
        result["notes"].append(f"{len(absent)} real videos that fakes were made from are missing ({examples(absent)})")
    other = {v.video for v in fakes if real.get(v.target_video, v.identity) != v.identity}
    if other:
        result["problems"].append(f"{len(other)} fakes do not show the person of their targets ({examples(other)})")


def check_files(result: dict, existing: list[Video]) -> None:
    """Empty files, and crops without images or landmarks."""
    crops = [v for v in existing if v.crop_landmarks]
    findings = {
        "files are empty (0 bytes)": [
            v.path for v in existing if os.path.isfile(v.path) and not os.path.getsize(v.path)
        ],
        "folders of crops have no .jpg": [
            v.path for v in crops if not any(name.endswith(".jpg") for name in os.listdir(v.path))
        ],
        "files of landmarks are missing": [v.crop_landmarks for v in crops if not os.path.isfile(v.crop_landmarks)],
    }
    for what, paths in findings.items():
        if paths:
            result["notes"].append(f"{len(paths)} {what} ({examples(paths)})")


def check_copies(result: dict, existing: list[Video], progress: bool) -> None:
    """Files of one content under several names. Of ready-made crops, the landmarks are compared."""
    of_path = collections.defaultdict(list)
    for video in existing:
        of_path[video.crop_landmarks or video.path].append(video)
    for paths in duplicates.groups(of_path, progress):
        result["duplicates"].append(paths)
        videos = [video for path in paths for video in of_path[path]]
        differing = [field for field in DISTINCT if len({getattr(v, field) for v in videos}) > 1]
        text = f"{len(paths)} files have one content ({examples(paths)})"
        if differing:
            result["problems"].append(f"{text}, and differ in {', '.join(differing)}")
        else:
            result["notes"].append(text)


def examples(values: Iterable[str]) -> str:
    """The first of the values, in order."""
    return leftovers.abbreviated(sorted(values))


def report_text(result: dict) -> str:
    """The result in lines: what lies on the disk, then the problems, then the notes."""
    lines = [f"{result['kind']} in {result['root']}: {'ok' if result['ok'] else 'NOT OK'}"]
    width = max(map(len, result["videos"]), default=0)
    lines += [f"  {key:{width}}  {number}" for key, number in result["videos"].items()]
    if result["identities"]:
        lines.append("  identities: " + ", ".join(f"{n} in {split}" for split, n in result["identities"].items()))
    lines += [f"problem: {text}" for text in result["problems"]]
    lines += [f"note: {text}" for text in result["notes"]]
    return "\n".join(lines)
