"""Which model answers, and with which settings: kept with answers, so that those of two are never mixed in one file."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

# Raise it whenever the code would give another answer of the same clips. What finds and measures faces has a version of
# its own (data_prep/records/recipe.py).
VERSION = 1


class Identity(NamedTuple):
    """As a line of answers has it, "sha256:...".

    model: of the parameters. settings: of all else that an answer depends on: threshold, calibration, what doubt goes
    by, limits of decoding, how faces are found and measured. Not of eval.batch_size, which moves last bits.
    """

    model: str
    settings: str


def of(parameters_sha256: str, *settings: Any) -> Identity:
    """settings: dataclasses, mappings, sequences, arrays, texts and numbers, nested."""
    digest = hashlib.sha256()
    _update(digest, (VERSION, settings))
    return Identity(_shown(parameters_sha256), _shown(digest.hexdigest()))


def _shown(sha256: str) -> str:
    return f"sha256:{sha256[:16]}"


def _update(digest: Any, value: Any) -> None:
    """The value with the kind of its parts, so that no two values are taken for one."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        value = sorted(value.items())
    if isinstance(value, np.ndarray):
        digest.update(f"array {value.dtype} {value.shape};".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, (list, tuple)):
        digest.update(f"{len(value)} of;".encode())
        for item in value:
            _update(digest, item)
    else:
        digest.update(f"{type(value).__name__} {value!r};".encode("utf-8", "surrogatepass"))
