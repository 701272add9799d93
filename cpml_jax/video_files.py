"""Video files by name: the paths given to `predict`, with folders searched at any depth."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

VIDEO_SUFFIXES = tuple(".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv".split())


def expand(paths: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """(path, problem) of every video: files as given, folders searched at any depth, in order of name.

    In folders, video files are recognised by their suffix; a file that is given itself is tried whatever its name.
    Links are followed, but each folder is entered once, so a loop of links ends.
    """
    for path in map(str, paths):
        if not os.path.exists(path):
            yield path, "no such file or folder"
        elif os.path.isdir(path):
            videos = list(_search(path))
            if not videos:
                yield path, f"no video files in this folder ({', '.join(VIDEO_SUFFIXES)})"
            yield from videos
        else:
            yield path, None


def _search(folder: str) -> Iterator[tuple[str, str | None]]:
    entered: set[tuple[int, int]] = set()  # device and inode
    problems: list[OSError] = []
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=problems.append):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders.sort()
        for name in sorted(files):
            if name.lower().endswith(VIDEO_SUFFIXES) and not name.startswith("."):
                yield os.path.join(parent, name), None
    for problem in problems:
        yield str(problem.filename), f"folder not readable ({problem.strerror})"
