"""Files that are there whole or not at all, and JSON without NaN."""

from __future__ import annotations

import contextlib
import glob
import json
import math
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes the place of `path` when the block ends without an error."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_left(folder: Path, name: str = "") -> None:
    """Delete what a killed process half wrote (`replacing`) in a folder and those in it, where nobody else writes; or
    of one file in it."""
    for pattern in (f".{glob.escape(name)}.*.tmp",) if name else (".*.tmp", "*/.*.tmp"):
        for path in folder.glob(pattern):
            if re.fullmatch(r"\.(?!lock\.).+\.[0-9a-f]{32}\.tmp", path.name):
                path.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes | memoryview | str) -> None:
    """Whoever reads the file, or kills us, sees the old one or the new one. Text is UTF-8."""
    try:
        with replacing(path) as temporary, open(temporary, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno is not None:
            error.filename = str(path)  # a full disk names none, and nobody knows the temporary one
        raise


def parse_json(text: str | bytes) -> Any:
    """A file's JSON.

    Raises:
      ValueError: it is none, or is nested so deeply that Python gives up.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def finite(value: Any) -> Any:
    """Plain JSON values of nested dicts and sequences; NaN and infinities, which JSON has not, become None."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [finite(item) for item in value]
    if isinstance(value, (np.generic,)):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_text(value: dict) -> str:
    """As `write_json` writes it."""
    return json.dumps(finite(value), indent=1, allow_nan=False) + "\n"


def write_json(path: Path, value: dict) -> None:
    write_whole(path, json_text(value))


def write_json_lines(path: Path, values: Iterable[dict]) -> None:
    write_whole(path, "".join(json.dumps(finite(value), allow_nan=False) + "\n" for value in values))
