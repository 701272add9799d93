"""Work files: what one track of a source became, pickled as ([records], [excluded]), until it is packed."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cpml_jax import schema


class Entry(NamedTuple):
    """Where a record lies until it is packed: the work file, its place in that, and the bytes of its frames."""

    clip_id: str
    file: str
    place: int
    size: int


@dataclasses.dataclass(frozen=True)
class Description:
    """What packing needs of a work file, without its arrays. Lists have one item per record, in the file's order."""

    rows: list[dict]  # schema.INDEX_FIELDS
    sizes: list[int]  # bytes of the frames
    digests: list[bytes]  # of the frames and every other array
    agreements: list[float | None]  # correlation of POS with the true pulse, where known
    excluded: list[dict]


def describe(name: str, file: Path) -> Description:
    """Read a work file of the data set `name`."""
    records, excluded = pickle.loads(file.read_bytes())
    rows = [complete(name, record) for record in records]
    return Description(
        rows=[{key: plain(row[key]) for key in schema.INDEX_FIELDS} for row in rows],
        sizes=[sum(map(len, row["frames"])) for row in rows],
        digests=[digest(row) for row in rows],
        agreements=[agreement(row) for row in rows],
        excluded=[{"dataset": name, **row} for row in excluded],
    )


def digest(row: dict[str, Any]) -> bytes:
    """SHA-256 of what a record holds beside its line of the index: the coded frames and every other array."""
    made = hashlib.sha256(b"".join(row["frames"]))
    for field in schema.RECORD:
        if field.shape and field.name != "frames":
            made.update(np.ascontiguousarray(row[field.name], field.dtype).tobytes())
    return made.digest()


def agreement(row: dict[str, Any]) -> float | None:
    """Correlation of the POS trace with the true pulse; None where that is not known."""
    if not np.isfinite(row["pulse_truth"]).all():
        return None
    return float(np.nan_to_num(np.corrcoef(row["pulse_pos"], row["pulse_truth"])[0, 1]))


def plain(value: Any) -> Any:
    """A NumPy or Python scalar as JSON has it; NaN becomes null."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def complete(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """A record of a work file with the data set's name and the keys made from it."""
    keys = (name, row["method"], row["compression"], row["video"])
    return row | dict(
        dataset=name,
        clip_id=schema.clip_id(*keys, row["window"]),
        clip_key=schema.clip_key(name, row["method"], row["video"], row["window"]),
        video_key=schema.video_key(*keys),
    )


def stream(name: str, entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """The entries' records, one work file in memory at a time."""
    held, loaded = None, []
    for entry in entries:
        if entry.file != held:
            held, loaded = entry.file, pickle.loads(Path(entry.file).read_bytes())[0]
        yield complete(name, loaded[entry.place])
