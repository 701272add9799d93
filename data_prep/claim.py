"""A folder of made videos belongs to the parameters that it was begun with; what a killed run half wrote goes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cpml_jax.errors import UserError
from cpml_jax.files import parse_json, write_whole

HALF_WRITTEN = (".part", ".tmp")


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
