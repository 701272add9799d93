"""Work files: what one track of a source became, records and exclusions, as plain_file keeps them until packing."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cpml_jax import schema
from cpml_jax.errors import UserError
from data_prep.records import plain_file

SUFFIX = ".npz"
EARLIER = (".pickle", ".plan", ".index")  # of versions up to 0.2.0: pickles, which nothing opens any more
MADE_HERE = ("dataset", "clip_id", "clip_key", "video_key")  # fields of a record that `complete` adds


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


def write(file: Path, records: Sequence[dict[str, Any]], excluded: Sequence[dict[str, Any]]) -> None:
    """Records (schema.RECORD but for MADE_HERE) and lines of excluded.jsonl but for the data set's name."""
    plain_file.write(file, {"records": list(records), "excluded": list(excluded)})


def read(file: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Records and exclusions, as `write` got them.

    Raises:
      UserError: a file of another kind, a damaged one, or one whose records are none.
    """
    held = plain_file.read(file)
    try:
        for record in held["records"]:
            check(record)
        texts = [row[key] for row in held["excluded"] for key in ("method", "compression", "split", "path", "reason")]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("an exclusion without its reason")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{file}: no work file of this version ({error}); delete it, and the same command makes it anew"
        ) from None
    return held["records"], held["excluded"]


def check(record: dict[str, Any]) -> None:
    """Raise ValueError unless a record has the fields of schema.RECORD, each of its kind and shape."""
    length = len(record["frames"])
    if record["split"] not in schema.SPLITS:  # it becomes part of a path
        raise ValueError(f"split {str(record['split'])[:40]!r}")
    fields = [field for field in schema.RECORD if field.name not in MADE_HERE]
    if record.keys() != {field.name for field in fields}:
        raise ValueError("other fields")
    for field in fields:
        value = record[field.name]
        shape = tuple(length if size is None else size for size in field.shape)
        if field.name == "frames":
            right = all(isinstance(frame, bytes) for frame in value)
        elif field.dtype == "str":
            right = isinstance(value, str)
        else:
            right = np.shape(value) == shape and np.asarray(value).dtype.kind in (
                "b" if field.dtype == "bool" else "iuf"
            )
        if not right:
            raise ValueError(f"field {field.name}")


def left_by_earlier(work: Path) -> list[Path]:
    """Work files of an earlier version in a work folder; they are made anew."""
    return sorted(path for path in work.iterdir() if path.suffix in EARLIER)


def describe(name: str, file: Path) -> Description:
    """Read a work file of the data set `name`. Raises UserError as `read` does."""
    records, excluded = read(file)
    rows = [complete(name, record) for record in records]
    return Description(
        rows=[{key: plain(row[key]) for key in schema.INDEX_FIELDS} for row in rows],
        sizes=[sum(map(len, row["frames"])) for row in rows],
        digests=[digest(row) for row in rows],
        agreements=[agreement(row) for row in rows],
        excluded=[{"dataset": name, **row} for row in excluded],
    )


def write_description(file: Path, description: Description) -> None:
    """What a worker leaves for packing."""
    fields = {field.name: getattr(description, field.name) for field in dataclasses.fields(description)}
    plain_file.write(file, fields | {"digests": [digest.hex() for digest in description.digests]})


def read_description(file: Path) -> Description:
    """As written. Raises UserError as `read` does."""
    held = plain_file.read(file)
    try:
        made = Description(**held | {"digests": [bytes.fromhex(digest) for digest in held["digests"]]})
        if {len(part) for part in (made.rows, made.sizes, made.digests, made.agreements)} != {len(made.rows)}:
            raise ValueError("lists of other lengths")
        for row in made.rows:
            if row.keys() != {*schema.INDEX_FIELDS} or row["split"] not in schema.SPLITS:
                raise ValueError("a row that is none of the index")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{file}: no description of this version ({error}); delete it, and the same command makes it anew"
        ) from None
    return made


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
            held, loaded = entry.file, read(Path(entry.file))[0]
        yield complete(name, loaded[entry.place])
