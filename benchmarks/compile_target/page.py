"""Figures of a compiled step as lines to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def lines(row: dict[str, Any]) -> Iterator[str]:
    """Of one step; row: figures.of_compiled's or of_refused's, with what compile_for.py adds."""
    place = f"{row['devices']} x {row['device']}" + (f" on {row['hosts']} hosts" if row["hosts"] > 1 else "")
    yield f"{row['target']} ({place}), {row['step']} step of {row['config']}: " + ("fits" if row["fits"] else "FAILS")
    if row["memory"]:
        yield "  memory        " + memory(row["memory"])
    if row["flops"] is not None:
        yield f"  work          {amount(row['flops'])}flop, {amount(row['bytes_moved'])}B moved"
        yield "  time          " + time(row)
    if row["collectives"] is not None:
        each = [f"{c['count']} {c['kind']} of {amount(c['bytes'])}B" for c in row["collectives"]]
        yield "  collectives   " + (", ".join(each) or "none")
    seconds = f"{row['seconds_to_compile']:.0f} s, {row['cpu_seconds_to_compile']:.0f} s of CPU"
    yield f"  to compile    {seconds}; traced in {row['seconds_to_lower']:.0f} s"
    if row["largest"]:
        yield "  largest temporaries at the fullest moment (without padding)"
        for t in row["largest"]:
            where = t["module"] or t["operation"]
            yield f"    {amount(t['bytes']):>7}B ({amount(t['unpadded'])}B)  {t['shape']}  {where}"


def memory(sizes: dict[str, int]) -> str:
    """Of memory_of, or of refused_memory."""
    if "limit" in sizes:
        return f"temporaries {amount(sizes['temporaries'])}B a device, of {amount(sizes['limit'])}B"
    parts = ", ".join(f"{name} {amount(sizes[name])}B" for name in ("arguments", "temporaries", "peak"))
    return f"{amount(sizes['total'])}B a device: {parts}"


def time(row: dict[str, Any]) -> str:
    least = (
        f"at least {1e3 * row['arithmetic_seconds']:.3g} ms of arithmetic, {1e3 * row['memory_seconds']:.3g} of memory"
    )
    if row["estimate_seconds"] is None:
        return f"{least}; this compiler estimates none"
    return f"{1e3 * row['estimate_seconds']:.3g} ms estimated, {row['share_of_peak']:.1%} of the peak; {least}"


def amount(value: float) -> str:
    """1234567 -> "1.23 M": three figures, and a decimal prefix."""
    for prefix in ("", "k", "M", "G", "T"):
        if abs(value) < 999.5 or prefix == "T":
            return f"{value:.3g} {prefix}"
        value /= 1000
    raise AssertionError
