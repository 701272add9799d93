"""Work files -> ArrayRecord, index, list of what was set aside, page to look at, and last of all the summary."""

from __future__ import annotations

import collections
import functools
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cpml_jax import schema
from cpml_jax.data.records import EXCLUDED, INDEX, SUMMARY
from cpml_jax.errors import UserError
from cpml_jax.files import write_whole
from data_prep.page import document
from data_prep.records import builder
from data_prep.records.work_file import Entry, describe, stream

SHOWN = 48  # clips on the page


def pack(directory: Path, files: list[Path], num_frames: int, parameters: dict, progress: bool, pipelines=None) -> dict:
    """Work files -> ArrayRecord, index, excluded, the page, and last of all the summary.

    Records keep the order of the files: a clip's compressions lie together, and a work file is read once.

    Args:
      pipelines: beam.Pipelines that made the work files and write the shards; None: here.
    """
    name = directory.name
    shutil.rmtree(directory / builder.DATASET, ignore_errors=True)  # of a packing that was interrupted
    rows, excluded, by_split = {}, [], collections.defaultdict(list)
    pulses, digests = collections.defaultdict(list), {}
    for file in files:
        found = pipelines.describe(name, file) if pipelines else describe(name, file)
        excluded += found.excluded
        for place, row in enumerate(found.rows):
            clip_id, entries = row["clip_id"], by_split[row["split"]]
            if clip_id in rows:
                raise UserError(f"{directory}: two videos give the clip {clip_id!r}: give one of them another name")
            rows[clip_id], digests[clip_id] = row | {"position": len(entries)}, found.digests[place]
            entries.append(Entry(clip_id, str(file), place, found.sizes[place]))
            if found.agreements[place] is not None:
                pulses[f"{row['method']}/{row['compression']}"].append(found.agreements[place])
    if by_split:
        builder.write(
            directory, {split: by_split[split] for split in sorted(by_split)}, functools.partial(stream, name),
            num_frames, progress=progress, download_config=pipelines.download_config() if pipelines else None,
        )  # fmt: skip
    ordered = sorted(rows.values(), key=lambda row: (row["split"], row["position"]))
    excluded.sort(key=lambda row: (row["path"], row.get("window", -1)))
    write_whole(directory / INDEX, "".join(json.dumps(row) + "\n" for row in ordered).encode())
    write_whole(directory / EXCLUDED, "".join(json.dumps(row) + "\n" for row in excluded).encode())
    summary = {
        "schema": schema.SCHEMA_VERSION,
        "dataset": name,
        "parameters": json.loads(json.dumps(parameters)),
        "sha256": hashlib.sha256(b"".join(i.encode() + digests[i] for i in sorted(digests))).hexdigest(),
        "clips": counts(ordered),
        "pulse_correlation": {key: [float(np.mean(r)), float(np.std(r)), len(r)] for key, r in sorted(pulses.items())},
        "excluded": dict(collections.Counter(row["reason"] for row in excluded)),
    }
    shown = set(document.choose(ordered, SHOWN))
    document.write(directory / document.PAGE, name, summary, excluded, chosen(name, by_split, shown))
    write_whole(directory / SUMMARY, json.dumps(summary, indent=1).encode())
    return summary


def chosen(name: str, by_split, ids: set[str]) -> Iterator[dict]:
    entries = [entry for split in by_split.values() for entry in split if entry.clip_id in ids]
    return stream(name, sorted(entries, key=lambda entry: entry.file))


def counts(rows: list[dict]) -> dict:
    tally = collections.Counter((r["split"], r["method"], r["compression"]) for r in rows)
    return {"/".join(key): number for key, number in sorted(tally.items())} | {"total": len(rows)}


def summary_text(name: str, summary: dict) -> str:
    """A table of counts and the reasons of what was set aside."""
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
