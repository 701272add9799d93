"""Work files -> ArrayRecord, index, exclusions, a page to look at, and last of all the summary."""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cpml_jax import schema, sums
from cpml_jax.data.records import DATASET, EXCLUDED, INDEX, SUMMARY, SUMS
from cpml_jax.errors import UserError
from cpml_jax.files import json_text, write_json_lines, write_whole
from data_prep.page import document
from data_prep.records import recipe, shards
from data_prep.records.beam import Pipelines
from data_prep.records.work_file import Description, Entry, describe, stream

SHOWN = 48  # clips on the page


@dataclasses.dataclass
class Contents:
    """What the work files of a data set hold, without arrays.

    Attributes:
      directory: of the records, for messages.
      rows: clip id -> its line of clips.jsonl. digests: clip id -> SHA-256 of its frames and other arrays.
      entries: split -> its records, in the order of the files.
      excluded: lines of excluded.jsonl.
      agreements: "method/compression" -> correlations of POS with the true pulse, where known.
    """

    directory: Path
    rows: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    digests: dict[str, bytes] = dataclasses.field(default_factory=dict)
    entries: dict[str, list[Entry]] = dataclasses.field(default_factory=dict)
    excluded: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    agreements: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    def add(self, file: Path, description: Description) -> None:
        """Raises UserError if one of its clips is present already."""
        self.excluded += description.excluded
        for place, row in enumerate(description.rows):
            clip_id, entries = row["clip_id"], self.entries.setdefault(row["split"], [])
            if clip_id in self.rows:
                raise UserError(f"{self.directory}: two videos give the clip {clip_id!r}; rename one of them")
            self.rows[clip_id] = row | {"position": len(entries)}
            self.digests[clip_id] = description.digests[place]
            entries.append(Entry(clip_id, str(file), place, description.sizes[place]))
            agreement = description.agreements[place]
            if agreement is not None:
                self.agreements.setdefault(f"{row['method']}/{row['compression']}", []).append(agreement)

    def sha256(self) -> str:
        """Of all frames and arrays, in the order of the clips' ids."""
        return hashlib.sha256(b"".join(i.encode() + self.digests[i] for i in sorted(self.digests))).hexdigest()

    def read(self, ids: set[str]) -> Iterator[dict[str, Any]]:
        """The records of these clips, one work file after another."""
        entries = [entry for split in self.entries.values() for entry in split if entry.clip_id in ids]
        return stream(self.directory.name, sorted(entries, key=lambda entry: entry.file))


def pack(
    directory: Path,
    files: list[Path],
    num_frames: int,
    parameters: dict[str, Any],
    progress: bool,
    pipelines: Pipelines | None = None,
) -> dict[str, Any]:
    """Work files -> ArrayRecord, index, excluded, the page, and last of all the summary.

    Records keep the order of the files: a clip's compressions lie together, and a work file is read once.

    Args:
      parameters: what the records depend on, as JSON has it.
      pipelines: where the work files were made and the shards are written; None: here.

    Returns:
      The summary, as in prepare.json.
    """
    name = directory.name
    shutil.rmtree(directory / DATASET, ignore_errors=True)  # of a packing that was interrupted
    contents = Contents(directory)
    for file in files:
        contents.add(file, pipelines.describe(file) if pipelines else describe(name, file))
    if contents.entries:
        shards.write(
            directory,
            dict(sorted(contents.entries.items())),
            functools.partial(stream, name),
            num_frames,
            progress=progress,
            pipelines=pipelines,
        )
    rows = sorted(contents.rows.values(), key=lambda row: (row["split"], row["position"]))
    excluded = sorted(contents.excluded, key=lambda row: (row["path"], row.get("window", -1)))
    write_json_lines(directory / INDEX, rows)
    write_json_lines(directory / EXCLUDED, excluded)
    summary = {
        "schema": schema.SCHEMA_VERSION,
        "dataset": name,
        "parameters": parameters,
        "made_with": recipe.software(),
        "sha256": contents.sha256(),
        "clips": counts(rows),
        "pulse_correlation": {
            key: [float(np.mean(r)), float(np.std(r)), len(r)] for key, r in sorted(contents.agreements.items())
        },
        "excluded": dict(collections.Counter(row["reason"] for row in excluded)),
    }
    shown = set(document.choose(rows, SHOWN))
    document.write(directory / document.PAGE, name, summary, excluded, contents.read(shown))
    described = [path.relative_to(directory).as_posix() for path in (directory / DATASET).rglob("*.json")]
    text = json_text(summary)
    sums.write(directory / SUMS, [INDEX, EXCLUDED, *described], {SUMMARY: text})
    write_whole(directory / SUMMARY, text)
    return summary


def counts(rows: list[dict[str, Any]]) -> dict[str, int]:
    """{"split/method/compression": clips}, and their total."""
    tally = collections.Counter((r["split"], r["method"], r["compression"]) for r in rows)
    return {"/".join(key): number for key, number in sorted(tally.items())} | {"total": len(rows)}


def summary_text(name: str, summary: dict[str, Any]) -> str:
    """A table of counts, and the reasons for exclusions."""
    tally = {tuple(key.split("/")): n for key, n in summary["clips"].items() if key != "total"}
    columns = sorted({key[2] for key in tally}, key=lambda c: (schema.compression_rank(c), c))
    lines = [
        f"{name}: {summary['clips']['total']} clips",
        f"  {'split':6} {'method':18}" + "".join(f"{c:>9}" for c in columns),
    ]
    for split, method in sorted({key[:2] for key in tally}):
        lines.append(f"  {split:6} {method:18}" + "".join(f"{tally.get((split, method, c), 0):9}" for c in columns))
    for key, (mean, deviation, number) in summary["pulse_correlation"].items():
        lines.append(f"  POS against the true pulse, {key}: {mean:.2f} ± {deviation:.2f} ({number} clips)")
    for reason, number in sorted(summary["excluded"].items(), key=lambda item: -item[1]):
        lines.append(f"  excluded {number}: {reason}")
    return "\n".join(lines)
