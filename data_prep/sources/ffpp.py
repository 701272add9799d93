"""FaceForensics++: original_sequences, manipulated_sequences, and splits of id pairs. The drawn benchmark has its form.

Both ids of a pair are real videos; the fakes are `a_b` and `b_a`, named target_source, frame-aligned with the target.
"""

from __future__ import annotations

import json
from pathlib import Path

from cpml_jax.errors import UserError
from cpml_jax.schema import FAKE, REAL, REAL_METHOD
from data_prep.sources import Listed

ORIGINAL = "original_sequences/youtube"
SPLIT_FOLDERS = (".", "dataset/splits", "splits")


def read_split(root: Path, split: str) -> list[tuple[str, str]]:
    """Pairs of ids of a split: the official files' form, [["071", "054"], ...]."""
    for folder in SPLIT_FOLDERS:
        path = root / folder / f"{split}.json"
        if not path.is_file():
            continue
        try:
            return [(str(a), str(b)) for a, b in json.loads(path.read_text())]
        except (ValueError, TypeError):
            raise UserError(f'{path}: not a split file; it holds pairs of ids as [["071", "054"], ...]') from None
    raise UserError(f"{root}: the split file {split}.json is missing (looked in the root, dataset/splits and splits)")


def videos(root, *, compressions, methods, splits) -> list[Listed]:
    """Listed files of the wanted splits that lie on the disk; see data_prep.sources.list_videos."""
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; give the root of FaceForensics++")
    if not (root / ORIGINAL).is_dir():
        raise UserError(f"{root}: not a FaceForensics++ root, {ORIGINAL} is missing")
    pairs = {split: read_split(root, split) for split in splits}
    check_disjoint(root, pairs)
    found = []
    for split, ids in pairs.items():
        for a, b in ids:
            for target, source in ((a, b), (b, a)):
                found += _files(root, ORIGINAL, REAL_METHOD, target, target, "", split, compressions)
                for method in methods:
                    sequence = f"manipulated_sequences/{method}"
                    found += _files(root, sequence, method, f"{target}_{source}", target, source, split, compressions)
    missing = [method for method in methods if not any(v.method == method for v in found)]
    if missing:
        raise UserError(f"{root}: no video of {', '.join(missing)} in manipulated_sequences; leave it out of methods")
    return list(dict.fromkeys(found))  # a pair that is written twice, or both ways round, is one


def check_disjoint(root: Path, pairs: dict[str, list[tuple[str, str]]]) -> None:
    seen: dict[str, str] = {}
    for split, ids in pairs.items():
        for identity in {i for pair in ids for i in pair}:
            if seen.setdefault(identity, split) != split:
                raise UserError(
                    f"{root}: identity {identity} is in the splits {seen[identity]} and {split}; an identity has one"
                )


def _files(root, sequence, method, video, target, source, split, compressions) -> list[Listed]:
    real = method == REAL_METHOD
    truth = root / "truth" / sequence / f"{video}.npz"
    found = []
    for compression in compressions:
        path = root / sequence / compression / "videos" / f"{video}.mp4"
        if path.exists():
            found.append(
                Listed(
                    path=str(path), label=REAL if real else FAKE, method=method, compression=compression, video=video,
                    identity=target, source_identity=source, target_video="" if real else target, split=split,
                    track_key=f"{method}/{video}", truth=str(truth) if truth.is_file() else "",
                )
            )  # fmt: skip
    return found
