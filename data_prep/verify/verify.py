"""Is a root the data set that it should be? Looked at before any work; no video is opened.

Problems are reasons to stop: a data set with them would teach or measure something else than its name says (identities
in two splits, labels that contradict each other, copies of one file under two names, no split file). Notes are things
to know and go on with: files not downloaded yet, empty ones, files of no use.
"""

from __future__ import annotations

import collections
import os

from cpml_jax.errors import UserError
from cpml_jax.schema import FAKE, REAL, SPLITS
from data_prep import sources
from data_prep.sources import Video
from data_prep.verify import duplicates, leftovers

SHOWN = 3  # examples of a finding
TOLD_APART = ("split", "label", "method", "compression")  # copies that differ in one of these are a problem


def verify(kind, root, *, compressions=(), methods=(), splits=(), hash_files=True, progress=True) -> dict:
    """Look at a root.

    Args:
      kind, root, compressions, methods, splits: see sources.list_videos.
      hash_files: compare files of equal size by content; they have to be read for it.
      progress: a bar on stderr while files are read.

    Returns:
      ok: no problem. problems, notes: lists of one-line texts. Beside them what they were made from, all of it JSON:
      kind, root, videos ({"split/method/compression": files there}), missing ({"method/compression": files that lists
      name and that are not there}), identities ({split: how many}), duplicates (groups of paths of one content).

    Raises:
      UserError: no such kind. Whatever else is wrong is a problem in the result.
    """
    module, root = sources.load(kind), str(root)
    result = dict(kind=kind, root=root, ok=False, problems=[], notes=[], videos={}, missing={}, identities={})
    result["duplicates"] = []
    chosen = dict(compressions=tuple(compressions), methods=tuple(methods), splits=tuple(splits))
    try:
        listed = getattr(module, "expected", module.videos)(root, **chosen)
        there = [v for v in listed if os.path.exists(v.path)]
        every, whole = everything(module, root, listed)
        count(result, listed, there)
        if hasattr(module, "official"):
            compare_official(result, module.official(root), every, whole, chosen)
        check_identities(result, module, listed)
        check_targets(result, module, root, listed)
        check_files(result, listed, there)
        if hash_files:
            check_copies(result, there, progress)
        left_out = {v.path for v in every} - {v.path for v in listed}
        if hasattr(module, "inventory") and set(splits or SPLITS) == set(SPLITS) and left_out:
            result["notes"].append(
                f"{len(left_out)} videos are in no split ({examples(left_out)}): see sources/{kind}.py"
            )
        result["notes"] += leftovers.notes(root, [*every, *listed])
        sources.list_videos(kind, root, **chosen)  # what preparation would stop at
    except UserError as error:
        result["problems"].append(str(error))
    result["ok"] = not result["problems"]
    return result


def everything(module, root: str, listed: list[Video]) -> tuple[list[Video], bool]:
    """All videos of the root, of every split, method and compression; and whether it could be told."""
    try:
        if hasattr(module, "inventory"):
            return module.inventory(root), True
        return getattr(module, "expected", module.videos)(root, compressions=(), methods=(), splits=()), True
    except UserError:  # the file of a split that nobody asked for is missing
        return listed, False


def tally(videos: list[Video], fields) -> dict[str, int]:
    counted = collections.Counter("/".join(str(getattr(v, field)) for field in fields) for v in videos)
    return dict(sorted(counted.items()))


def count(result: dict, listed: list[Video], there: list[Video]) -> None:
    """What is there, and what lists name and is not there."""
    kinds, named = ("method", "compression"), tally(listed, ("method", "compression"))
    result["videos"] = tally(there, ("split", *kinds))
    result["missing"] = tally([v for v in listed if not os.path.exists(v.path)], kinds)
    for key, number in result["missing"].items():
        result["notes"].append(f"{key}: {number} of {named[key]} videos that the lists name are not there")


def compare_official(result: dict, entries, every: list[Video], whole: bool, chosen: dict) -> None:
    """What is there against the official numbers, a compression at a time. A split not asked for is not counted."""
    every = [v for v in sources.wanted(every, chosen["compressions"], chosen["methods"], ()) if os.path.exists(v.path)]
    for compression in sorted({v.compression for v in every}):
        for entry in entries:
            splits = as_tuple(entry.fields.get("split", ()))
            unasked = splits and chosen["splits"] and not set(splits) & set(chosen["splits"])
            if unasked or not (whole or splits):
                continue
            number = len({(v.method, v.video) for v in every if v.compression == compression and matches(v, entry)})
            if number and number != entry.count:
                result["notes"].append(
                    f"{compression}: {number} videos of {entry.what}, officially {entry.count} ({entry.source})"
                )


def as_tuple(value) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def matches(video: Video, entry: sources.Official) -> bool:
    return all(getattr(video, field) in as_tuple(value) for field, value in entry.fields.items())


def check_identities(result: dict, module, listed: list[Video]) -> None:
    """Who is in which split, as the one who is seen and as the one whose face was put in."""
    seen, put_in = collections.defaultdict(set), collections.defaultdict(set)
    for video in listed:
        seen[video.split].add(video.identity)
        if video.source_identity:
            put_in[video.split].add(video.source_identity)
    result["identities"] = {split: len(seen[split]) for split in SPLITS if seen[split]}
    known = getattr(module, "known_overlap", "")
    for i, a in enumerate(SPLITS):
        for b in SPLITS[i + 1 :]:
            both = seen[a] & seen[b]
            if both:
                text = f"IDENTITY OVERLAP: {len(both)} identities are in {a} and in {b} ({examples(both)})"
                result["notes" if known else "problems"].append(f"{text}: {known}" if known else text)
            lent = ((put_in[a] & (seen[b] | put_in[b])) | (put_in[b] & seen[a])) - both
            if lent:
                text = f"{len(lent)} identities of {a} and {b} meet as faces put into fakes ({examples(lent)})"
                result["notes"].append(text)


def check_targets(result: dict, module, root: str, listed: list[Video]) -> None:
    """A fake names the real video that it was made from: it must be one, and show the same person."""
    real = {v.video: v.identity for v in listed if v.label == REAL}
    known = module.originals(root) if hasattr(module, "originals") else real
    real |= known or {}
    people = set(real.values())
    fakes = [v for v in listed if v.label == FAKE and v.target_video]
    unknown = {v.identity for v in fakes if v.target_video not in real and v.identity not in people}
    if unknown:
        text = f"{len(unknown)} identities are the targets of fakes and are in no real video ({examples(unknown)})"
        certain = known is not None and real  # else the real videos are merely not here
        result["problems" if certain else "notes"].append(text)
    absent = {v.target_video for v in fakes if v.target_video not in real and v.identity in people}
    if absent:
        result["notes"].append(f"{len(absent)} real videos that fakes were made from are missing ({examples(absent)})")
    other = {v.video for v in fakes if real.get(v.target_video, v.identity) != v.identity}
    if other:
        result["problems"].append(f"{len(other)} fakes show somebody else than their targets ({examples(other)})")


def check_files(result: dict, listed: list[Video], there: list[Video]) -> None:
    """Empty files, and crops without images or landmarks."""
    crops = [v for v in there if v.crop_landmarks]
    findings = {
        "files are empty (0 bytes)": [
            v.path for v in there if os.path.isfile(v.path) and not os.path.getsize(v.path)
        ],
        "folders of crops have no .jpg": [
            v.path for v in crops if not any(name.endswith(".jpg") for name in os.listdir(v.path))
        ],
        "files of landmarks are missing": [v.crop_landmarks for v in crops if not os.path.isfile(v.crop_landmarks)],
    }  # fmt: skip
    for what, paths in findings.items():
        if paths:
            result["notes"].append(f"{len(paths)} {what} ({examples(paths)})")


def check_copies(result: dict, there: list[Video], progress: bool) -> None:
    """Files of one content under several names. Of ready-made crops the landmarks are compared."""
    of_path = collections.defaultdict(list)
    for video in there:
        of_path[video.crop_landmarks or video.path].append(video)
    for paths in duplicates.groups(of_path, progress):
        result["duplicates"].append(paths)
        videos = [video for path in paths for video in of_path[path]]
        differing = [field for field in TOLD_APART if len({getattr(v, field) for v in videos}) > 1]
        text = f"{len(paths)} files have one content ({examples(paths)})"
        if differing:
            result["problems"].append(f"{text}, and differ in {', '.join(differing)}")
        else:
            result["notes"].append(text)


def examples(values) -> str:
    values = sorted(map(str, values))
    return ", ".join(values[:SHOWN]) + (", …" if len(values) > SHOWN else "")


def report_text(result: dict) -> str:
    """The result in lines: what is there, then the problems, then the notes."""
    lines = [f"{result['kind']} in {result['root']}: {'ok' if result['ok'] else 'NOT OK'}"]
    width = max(map(len, result["videos"]), default=0)
    lines += [f"  {key:{width}}  {number}" for key, number in result["videos"].items()]
    if result["identities"]:
        lines.append("  identities: " + ", ".join(f"{n} in {split}" for split, n in result["identities"].items()))
    lines += [f"problem: {text}" for text in result["problems"]]
    lines += [f"note: {text}" for text in result["notes"]]
    return "\n".join(lines)
