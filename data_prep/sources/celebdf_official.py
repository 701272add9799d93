"""Celeb-DF as the field uses it: the list is the test set, every other video is for training. Identities recur.

The celebrities of the test are seen in training, so its in-dataset figures say less than they seem to; `celebdf` splits
by identity. Train and val are told apart by the hash of the target (sources.hashed_split).
"""

from __future__ import annotations

import os

from data_prep.sources import Video, celebdf

originals = celebdf.originals
official = celebdf.official
known_overlap = "the field's convention for Celeb-DF; the kind celebdf splits by identity"


def videos(root, *, compressions, methods, splits) -> list[Video]:
    """Files that lie on the disk; see data_prep.sources.list_videos."""
    chosen = expected(root, compressions=compressions, methods=methods, splits=splits)
    return [v for v in chosen if os.path.exists(v.path)]


def expected(root, *, compressions, methods, splits) -> list[Video]:
    wanted = dict(compressions=compressions, methods=methods, splits=splits)
    return celebdf.expected(root, **wanted, by_identity=False)
