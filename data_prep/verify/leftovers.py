"""What lies in a root and belongs to no video of the data set; links that lead nowhere or in circles."""

from __future__ import annotations

import collections
import errno
import os
from pathlib import Path

from data_prep.sources import Video

LISTS = (".json", ".txt", ".csv", ".md", ".pdf", ".npz")  # lists, licences, sidecars: nobody took them for videos
SHOWN = 3


def notes(root, videos: list[Video]) -> list[str]:
    """A line for every folder and ending with files of no use, and one for each kind of broken link.

    Args:
      root: folder; for a CSV file there is nothing to walk.
      videos: all of the data set.
    """
    if not os.path.isdir(root):
        return []
    root = str(Path(root))
    used = {path for v in videos for path in (v.path, v.mask, v.truth, v.crop_landmarks) if path}
    useless, links = collections.defaultdict(list), collections.defaultdict(list)
    for folder, folders, files in os.walk(root):  # does not follow links to folders: no loops
        for name in sorted(folders + files):
            path = os.path.join(folder, name)
            trouble = link_trouble(path)
            if trouble:
                links[trouble].append(path)
            elif name in files and path not in used and not name.lower().endswith(LISTS):
                place = os.sep.join(os.path.relpath(folder, root).split(os.sep)[:2])
                useless[place, os.path.splitext(name)[1] or "no ending"].append(name)
        # A folder of crops is one video: its images are not looked at one by one.
        folders[:] = sorted(name for name in folders if os.path.join(folder, name) not in used)
    return [f"{len(paths)} links {trouble} ({some(paths)})" for trouble, paths in sorted(links.items())] + [
        f"{place}: {len(names)} files of no use to this data set, {ending} ({some(names)})"
        for (place, ending), names in sorted(useless.items())
    ]


def link_trouble(path: str) -> str:
    """What is wrong with a link: "" if nothing is, or if it is none."""
    if not os.path.islink(path):
        return ""
    try:
        os.stat(path)
    except OSError as error:
        return "lead in circles" if error.errno == errno.ELOOP else "lead nowhere"
    real, inside = os.path.realpath(path), os.path.realpath(os.path.dirname(path))
    circle = os.path.isdir(real) and os.path.commonpath([real, inside]) == real
    return "lead in circles" if circle else ""


def some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
