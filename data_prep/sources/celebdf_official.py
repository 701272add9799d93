"""Celeb-DF as the field uses it: the list is the test set, every other video is for training. Identities recur.

The celebrities of the test are seen in training, so its in-dataset figures are optimistic; `celebdf` splits by
identity. The hash of the target's identity divides the rest into train and val (sources.hashed_split).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_prep.sources import Video, celebdf

originals = celebdf.originals
official = celebdf.official
TEST_VIDEOS = celebdf.TEST_VIDEOS
known_overlap = "the field's convention for Celeb-DF; the kind celebdf splits by identity"


def expected(
    root: str | Path, *, compressions: Sequence[str], methods: Sequence[str], splits: Sequence[str]
) -> list[Video]:
    """As celebdf.expected, with the field's splits."""
    return celebdf.expected(root, compressions=compressions, methods=methods, splits=splits, by_identity=False)
