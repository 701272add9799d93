"""Files of one content under several names."""

from __future__ import annotations

import collections
import hashlib
import os
import sys
from collections.abc import Iterable

from tqdm import tqdm


def groups(paths: Iterable[str], progress: bool = True) -> list[list[str]]:
    """Groups of two or more files with the same bytes, each sorted, the list sorted.

    Only files of equal size are read: next to none in a data set of videos. Empty files, folders and unreadable files
    belong to no group.

    Args:
      paths: of files. progress: a bar on stderr.
    """
    of_size = collections.defaultdict(list)
    for path in paths:
        try:
            if os.path.isfile(path) and os.path.getsize(path):
                of_size[os.path.getsize(path)].append(path)
        except OSError:
            continue
    suspects = [path for same in of_size.values() if len(same) > 1 for path in same]
    of_content = collections.defaultdict(list)
    hidden = not (progress and suspects)
    for path in tqdm(suspects, desc="compare", unit="file", file=sys.stderr, disable=hidden, dynamic_ncols=True):
        try:
            with open(path, "rb") as file:
                of_content[os.path.getsize(path), hashlib.file_digest(file, "sha256").digest()].append(path)
        except OSError:
            continue  # preparation says why
    return sorted(sorted(same) for same in of_content.values() if len(same) > 1)
