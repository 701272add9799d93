"""How long training runs may take, from the speed in metrics.jsonl of earlier runs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path

from ml_collections import ConfigDict

from cpml_jax.files import parse_json
from cpml_jax.training.journal import METRICS


def measured(folder: Path) -> tuple[float | None, int]:
    """(clips per second, last step) of a run; (None, 0) if it has not trained. The median: the first steps compile."""
    speeds, last = [], 0
    try:
        lines = (folder / METRICS).read_text().splitlines()
    except OSError:
        return None, 0
    for line in lines:
        try:
            row = parse_json(line)
            if row["kind"] == "train":
                speeds.append(row["clips_per_s"])
                last = row["step"]
        except (ValueError, KeyError, TypeError):
            continue  # a line that a kill cut short
    return (statistics.median(speeds) if speeds else None), last


def forecast(workdir: Path, sweep: Path, waiting: Mapping[str, ConfigDict]) -> tuple[dict[str, str], str]:
    """How long each run may train, in words by name, and a line on all of them.

    Args:
      workdir: of the base configuration, whose run may have been timed too.
      sweep: folder of the sweep's runs.
      waiting: name of the run -> its configuration.
    """
    if not waiting:
        return {}, "Nothing is to be trained."
    tried = [*sorted(path for path in sweep.glob("*") if path.is_dir()), workdir]
    speeds = {path: measured(path)[0] for path in tried}
    known = {path: speed for path, speed in speeds.items() if speed}
    if not known:
        return {}, "Time: unknown until the first run has begun; its progress line will show it."
    words, total = {}, 0.0
    for name, config in waiting.items():
        # Runs differ in their number of views: the speed of the run's earlier steps if it has any, or else the median.
        speed = known.get(sweep / name) or statistics.median(known.values())
        left = max(0, config.train.steps - measured(sweep / name)[1])
        seconds = left * config.train.batch_size / speed
        total += seconds
        words[name] = f"{left} of {config.train.steps} steps, about {duration(seconds)}"
    shown = ", ".join(str(path.name if path == workdir else path.relative_to(workdir)) for path in list(known)[:3])
    more = f" and {len(known) - 3} more" if len(known) > 3 else ""
    return words, (
        f"Training: about {duration(total)} in all at the speed of {shown}{more} "
        f"({statistics.median(known.values()):.1f} clips/s), and the time to compile and to evaluate."
    )


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever reads best."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
