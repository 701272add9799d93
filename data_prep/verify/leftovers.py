"""Files in a root that belong to no video of the data set; links that lead nowhere or in circles."""

from __future__ import annotations

import collections
import errno
import os
from pathlib import Path

from data_prep.sources import Video

LISTS = (".json", ".txt", ".csv", ".md", ".pdf", ".npz", ".sha256")  # lists and sidecars: nobody takes them for videos
SHOWN = 3  # examples per note


def notes(root: str | Path, videos: list[Video]) -> list[str]:
    """One line per folder and suffix with unused files, and one per kind of broken link.

    Args:
      root: folder; a CSV file has nothing to walk through.
      videos: all of the data set.
    """
    if not os.path.isdir(root):
        return []
    root = str(Path(root))
    used = {path for v in videos for path in (v.path, v.mask, v.truth, v.crop_landmarks) if path}
    unused, links = collections.defaultdict(list), collections.defaultdict(list)
    for folder, folders, files in os.walk(root):  # does not follow links to folders: no loops
        for name in sorted(folders + files):
            path = os.path.join(folder, name)
            trouble = link_trouble(path)
            if trouble:
                links[trouble].append(path)
            elif name in files and path not in used and not name.lower().endswith(LISTS):
                place = os.sep.join(os.path.relpath(folder, root).split(os.sep)[:2])
                unused[place, os.path.splitext(name)[1] or "no suffix"].append(name)
        # A folder of crops is one video: its images are not looked at one by one.
        folders[:] = sorted(name for name in folders if os.path.join(folder, name) not in used)
    return [f"{len(paths)} links {trouble} ({abbreviated(paths)})" for trouble, paths in sorted(links.items())] + [
        f"{place}: {len(names)} files that this data set does not use, {suffix} ({abbreviated(names)})"
        for (place, suffix), names in sorted(unused.items())
    ]


def link_trouble(path: str) -> str:
    """What is wrong with a link; "" for a sound one, and for what is not a link."""
    if not os.path.islink(path):
        return ""
    try:
        os.stat(path)
    except OSError as error:
        return "lead in circles" if error.errno == errno.ELOOP else "lead nowhere"
    real, inside = os.path.realpath(path), os.path.realpath(os.path.dirname(path))
    circle = os.path.isdir(real) and os.path.commonpath([real, inside]) == real
    return "lead in circles" if circle else ""


def abbreviated(names: list[str]) -> str:
    """The first SHOWN of the names."""
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
