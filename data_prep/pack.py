"""Work files -> ArrayRecord, index, list of what was set aside, page to look at, and last of all the summary."""

from __future__ import annotations

import collections
import hashlib
import json
import math
import pickle
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cpml_jax import schema
from cpml_jax.files import write_whole
from cpml_jax.records import EXCLUDED, INDEX, SUMMARY
from data_prep import builder, page

SHOWN = 48  # clips on the page


def pack(directory: Path, files: list[Path], num_frames: int, parameters: dict, progress: bool) -> dict:
    """Work files -> ArrayRecord, index, excluded, the page, and last of all the summary."""
    name = directory.name
    shutil.rmtree(directory / builder.DATASET, ignore_errors=True)  # of a packing that was interrupted
    index, excluded, by_split = {}, [], collections.defaultdict(list)
    pulses = collections.defaultdict(list)
    for file in files:
        records, set_aside = pickle.loads(file.read_bytes())
        excluded += [{"dataset": name, **row} for row in set_aside]
        for place, row in enumerate(records):
            row = complete(name, row)
            index[row["clip_id"]] = {key: plain(row[key]) for key in schema.INDEX_FIELDS}
            by_split[row["split"]].append((row["clip_id"], file, place))
            if np.isfinite(row["pulse_truth"]).all():
                agreement = np.corrcoef(row["pulse_pos"], row["pulse_truth"])[0, 1]
                pulses[f"{row['method']}/{row['compression']}"].append(float(np.nan_to_num(agreement)))
    order: dict[str, list[str]] = {}
    digest = hashlib.sha256()
    if by_split:
        total = sum(len(rows) for rows in by_split.values())
        with tqdm(
            total=total, desc=f"pack {name}", unit="clip", file=sys.stderr, disable=not progress, dynamic_ncols=True
        ) as bar:
            splits = {split: stream(name, sorted(by_split[split]), bar, digest) for split in sorted(by_split)}
            order = builder.write(directory, splits, num_frames)
    rows = [index[i] | {"position": p} for split in sorted(order) for p, i in enumerate(order[split])]
    excluded.sort(key=lambda row: (row["path"], row.get("window", -1)))
    write_whole(directory / INDEX, "".join(json.dumps(row) + "\n" for row in rows).encode())
    write_whole(directory / EXCLUDED, "".join(json.dumps(row) + "\n" for row in excluded).encode())
    summary = {
        "schema": schema.SCHEMA_VERSION,
        "dataset": name,
        "parameters": json.loads(json.dumps(parameters)),
        "sha256": digest.hexdigest(),
        "clips": counts(rows),
        "pulse_correlation": {key: [float(np.mean(r)), float(np.std(r)), len(r)] for key, r in sorted(pulses.items())},
        "excluded": dict(collections.Counter(row["reason"] for row in excluded)),
    }
    shown = set(page.choose(rows, SHOWN))
    page.write(directory / page.PAGE, name, summary, excluded, chosen(name, by_split, shown))
    write_whole(directory / SUMMARY, json.dumps(summary, indent=1).encode())
    return summary


def plain(value):
    """A NumPy or Python scalar as JSON has it; NaN becomes null."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def complete(name: str, row: dict) -> dict:
    keys = (name, row["method"], row["compression"], row["video"])
    return row | dict(
        dataset=name,
        clip_id=schema.clip_id(*keys, row["window"]),
        clip_key=schema.clip_key(name, row["method"], row["video"], row["window"]),
        video_key=schema.video_key(*keys),
    )


def stream(name: str, rows: list[tuple[str, Path, int]], bar, digest) -> Iterator[dict]:
    """Records in order of their ids, a work file in memory at a time."""
    held, loaded = None, []
    for clip_id, file, place in rows:
        if file != held:
            held, loaded = file, pickle.loads(file.read_bytes())[0]
        digest.update(clip_id.encode() + b"".join(loaded[place]["frames"]))
        yield complete(name, loaded[place])
        bar.update()


def chosen(name: str, by_split, ids: set[str]) -> list[dict]:
    entries = sorted(entry for rows in by_split.values() for entry in rows if entry[0] in ids)
    return [complete(name, pickle.loads(file.read_bytes())[0][place]) for _, file, place in entries]


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
