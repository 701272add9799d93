"""DeepFakeDetection (Google, Jigsaw): actors' scenes, and fakes named <target>_<source>__<scene>__<8 characters>.

It has no official split and is used as a test set; training on part of it and testing on the rest would mix its 28
actors. The root may be that of FaceForensics++, whose tree it shares. Its masks are left alone: at test time nobody has
one, and faces of fakes alone would be chosen by it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cpml_jax.errors import UserError
from cpml_jax.schema import FAKE, REAL, REAL_METHOD
from data_prep.sources import Official, Video, ffpp, select

ORIGINAL = "original_sequences/actors"
METHOD = "DeepFakeDetection"
MANIPULATED = f"manipulated_sequences/{METHOD}"
REAL_NAME = re.compile(r"(\d+)__(.+)")
FAKE_NAME = re.compile(r"(\d+)_(\d+)__(.+)__(\w{8})")
TEST_VIDEOS = {REAL_METHOD: 363, METHOD: 3068}  # table 1 of Celeb-DF, arXiv 1909.12962


def videos(
    root: str | Path, *, compressions: Sequence[str], methods: Sequence[str], splits: Sequence[str]
) -> list[Video]:
    """Every real and fake file, all of split `test`."""
    root = Path(root)
    if set(splits) - {"test"}:
        raise UserError(
            f"{root}: DFD is a test set, it has no {' or '.join(s for s in splits if s != 'test')} split; "
            "set splits=('test',)"
        )
    for folder in (ORIGINAL, MANIPULATED):
        if not (root / folder).is_dir():
            raise UserError(f"{root}: not a root of DeepFakeDetection, {folder} is missing")
    videos = []
    for compression in compressions or ffpp.compression_folders(root, (ORIGINAL, MANIPULATED)):
        for path in sorted((root / ORIGINAL / compression / "videos").glob("*.mp4")):
            name = REAL_NAME.fullmatch(path.stem)
            if name and not path.name.startswith("."):
                videos.append(_video(path, REAL, REAL_METHOD, compression, name[1], "", ""))
        for path in sorted((root / MANIPULATED / compression / "videos").glob("*.mp4")):
            name = FAKE_NAME.fullmatch(path.stem)
            if name:
                target, source, scene, _ = name.groups()
                videos.append(_video(path, FAKE, METHOD, compression, target, source, f"{target}__{scene}"))
    return select(videos, (), methods, ())


def official(root: str | Path) -> list[Official]:
    """Counts of a complete download."""
    source = "table 1 of Celeb-DF, arXiv 1909.12962"
    return [
        Official("real", TEST_VIDEOS[REAL_METHOD], source, dict(label=REAL, split="test")),
        Official(METHOD, TEST_VIDEOS[METHOD], source, dict(method=METHOD, split="test")),
    ]


def _video(path, label, method, compression, target, source, original) -> Video:
    # That the fakes begin with the frame with which their originals begin is written nowhere: each has its own track.
    return Video(
        path=str(path),
        label=label,
        method=method,
        compression=compression,
        video=path.stem,
        identity=target,
        source_identity=source,
        target_video=original,
        split="test",
        track_key=f"{method}/{path.stem}",
    )
