"""Heart rate by pretrained PhysFormer weights on records, without training: one row per compression and method.

    python -m benchmarks.heart_rate --records=runs/synthetic/records/synthetic --weights=open-rppg:rlap

On real clips whose heart rate is known (`heart_rate_truth` of the index): the rate at the peak of the spectrum
(cpml_jax.signal.heart_rate) of PhysFormer's wave at the crops' full size and, for comparison, of the classical POS
trace. Errors in beats/min.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cpml_jax import signal
from cpml_jax.configs import base
from cpml_jax.data.records import RecordSet
from cpml_jax.errors import UserError
from cpml_jax.models.physformer import PhysFormer
from cpml_jax.pretrained import open_rppg
from cpml_jax.schema import CROP_SIZE, FRAME_RATE, REAL

CLOSE = 3.0  # beats/min


def reader(weights: str, frames: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function: crops (T, S, S, 3) uint8 -> pulse wave (T,) float32; T: `frames`."""
    settings: dict[str, Any] = base.get_config().model.rppg.to_dict()
    del settings["weights"]
    settings.update(open_rppg.SETTINGS, frame_size=CROP_SIZE)
    model = PhysFormer(**settings)
    clip = jax.ShapeDtypeStruct((1, frames, CROP_SIZE, CROP_SIZE, 3), jnp.uint8)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), clip)
    loaded = open_rppg.load(weights, variables)
    trained = jax.device_put({"params": loaded.params, "batch_stats": loaded.batch_stats})
    wave = jax.jit(lambda v, x: model.apply(v, x, train=False)[0])
    return lambda clip: np.asarray(wave(trained, clip[None]))[0]


def errors(estimate: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    """Mean absolute error, the share within 3 beats/min, and Pearson's correlation over clips (None: undefined)."""
    wrong = np.abs(estimate - truth)
    varied = len(estimate) > 2 and np.ptp(estimate) > 0 and np.ptp(truth) > 0
    return {
        "mae": float(wrong.mean()),
        "median": float(np.median(wrong)),
        "within_3": float((wrong <= CLOSE).mean()),
        "pearson": float(np.corrcoef(estimate, truth)[0, 1]) if varied else None,
    }


def known(records: RecordSet, split: str, limit: int) -> list[dict]:
    """Rows of real clips with a known rate, the first `limit` of every compression (0: all)."""
    # Real ones alone: drawn forgeries that keep the target's pulse have a known rate, too.
    real = [row for row in records.rows if row["label"] == REAL and split in ("all", row["split"])]
    rows = [row for row in real if row["heart_rate_truth"] is not None]
    if not rows:
        raise UserError(f"{records.directory}: no real clip of the split {split!r} has a known heart rate")
    counts: dict[str, int] = {}
    chosen = []
    for row in sorted(rows, key=lambda row: row["clip_id"]):
        counts[row["compression"]] = counts.get(row["compression"], 0) + 1
        if not limit or counts[row["compression"]] <= limit:
            chosen.append(row)
    return chosen


def measure(records: RecordSet, weights: str, split: str, limit: int) -> list[dict]:
    """One dictionary per clip: its compression, its true rate, and the two estimates."""
    rows, wave, estimates = known(records, split, limit), None, []
    for row in rows:
        record = records.read(row)
        wave = wave or reader(weights, len(record["frames"]))
        predicted = wave(record["frames"])
        estimates.append(
            {
                "clip_id": row["clip_id"],
                "compression": row["compression"],
                "truth": row["heart_rate_truth"],
                "physformer": float(signal.heart_rate(jnp.asarray(predicted), FRAME_RATE)),
                "pos": float(signal.heart_rate(jnp.asarray(record["pulse_pos"]), FRAME_RATE)),
            }
        )
    return estimates


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", required=True, help="folder of one source's records")
    parser.add_argument("--weights", default="open-rppg:rlap", help="as model.rppg.weights")
    parser.add_argument("--split", default="test", help="train, val, test or all")
    parser.add_argument("--limit", type=int, default=0, help="clips per compression; 0: all")
    parser.add_argument("--out", default="", help="also write the estimates to this JSON file")
    options = parser.parse_args(argv)
    start = time.monotonic()
    try:
        estimates = measure(RecordSet(Path(options.records)), options.weights, options.split, options.limit)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.weights}, {options.split} split; errors in beats/min; {time.monotonic() - start:.0f} s")
    print("| compression | clips | estimate | mean absolute error | median | within 3 | Pearson |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for compression in dict.fromkeys(row["compression"] for row in estimates):
        rows = [row for row in estimates if row["compression"] == compression]
        for name in ("physformer", "pos"):
            e = errors(np.array([r[name] for r in rows]), np.array([r["truth"] for r in rows]))
            pearson = "–" if e["pearson"] is None else f"{e['pearson']:.2f}"
            print(
                f"| {compression} | {len(rows)} | {name} | {e['mae']:.2f} | {e['median']:.2f} | {e['within_3']:.2f} "
                f"| {pearson} |"
            )
    if options.out:
        Path(options.out).write_text(json.dumps(estimates, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
