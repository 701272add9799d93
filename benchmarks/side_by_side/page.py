"""The measured rows as lines to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.compile_target.page import amount

COLUMNS = ("seconds", "clips/s", "ours is", "CPU s", "ours is", "peak", "to build")
WIDTHS = (10, 10, 13, 10, 13, 10, 10)
HEADER = " " * 11 + "".join(f"{name:>{width}}" for name, width in zip(COLUMNS, WIDTHS, strict=True))


def lines(row: dict[str, Any]) -> Iterator[str]:
    """Of one row of train.described."""
    yield f"{row['row']}: {row['text']}, {row['size']}, {row['precision']}; medians of {row['rounds']} turns"
    for side in row["contestants"]:
        ours = side is row["contestants"][0]
        cells = (
            f"{side['seconds']:.3f}",
            f"{side['clips_per_s']:.3g}",
            "" if ours else f"{side['ours_over']:.2f} times",
            f"{side['cpu_seconds']:.3f}",
            "" if ours or side["ours_over_cpu"] is None else f"{side['ours_over_cpu']:.2f} times",
            f"{amount(side['peak_bytes'])}B",
            f"{side['seconds_to_build']:.0f} s",
        )
        yield f"  {side['contestant']:9}" + "".join(f"{c:>{w}}" for c, w in zip(cells, WIDTHS, strict=True))
    if row["roofline"] is not None:
        yield f"  {row['roofline']:.0%} of the roofline of {row['device']}"
    elif row["device_class"] == "gpu":
        yield f"  no roofline: the peaks of {row['device']} are not known here"
