"""A folder of made videos belongs to the parameters that it was begun with; what a killed run half wrote goes.

Once it is finished, videos.sha256 has the checksums of its files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cpml_jax import sums
from cpml_jax.errors import UserError
from cpml_jax.files import parse_json, write_whole

HALF_WRITTEN = (".part", ".tmp")
SUMS = "videos" + sums.SUFFIX


def claim(path: str | os.PathLike[str], parameters: Mapping[str, Any], what: str) -> None:
    """Mark the folder of `path` as made with these parameters.

    Args:
      path: of the JSON file that says so. what: the folder holds, as "a benchmark drawn".

    Raises:
      UserError: it was made with others; the first that differs is named.
    """
    path = Path(path)
    if path.exists():
        try:
            made = parse_json(path.read_text())
        except ValueError:
            raise UserError(f"{path}: not readable; delete {path.parent} to make it anew") from None
        differ = sorted(key for key in parameters.keys() | made.keys() if parameters.get(key) != made.get(key))
        if differ:
            key = differ[0]
            raise UserError(
                f"{path.parent} holds {what} with other parameters ({key}: {made.get(key)!r}, now "
                f"{parameters.get(key)!r}); name another folder or delete this one"
            )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(parameters, indent=1))


def remove_half_written(root: str | os.PathLike[str]) -> None:
    """Delete what a killed run left half-written."""
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith(HALF_WRITTEN):
                os.remove(os.path.join(folder, name))


def write_sums(root: str | os.PathLike[str], paths: Iterable[str]) -> None:
    """Write the checksums of these files of a finished folder; paths in it, or relative to it."""
    sums.write(Path(root) / SUMS, [os.path.relpath(os.path.join(root, path), root) for path in paths])


def check_sums(root: str | os.PathLike[str]) -> None:
    """Raise UserError, naming the file, where one of a finished folder is no longer as it was made.

    Then the list goes until `write_sums`: what a run that is killed on the way has written would not fit it.
    """
    listed = Path(root) / SUMS
    if damaged := sums.damage(listed, gone=False):
        raise UserError(f"{damaged} since it was made; delete that file, and the same command makes it anew")
    listed.unlink(missing_ok=True)
