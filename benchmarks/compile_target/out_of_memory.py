"""The TPU compiler's refusal of a program that does not fit: what it asks for, and its largest allocations."""

from __future__ import annotations

import re
from typing import Any

from benchmarks.compile_target.hlo import module_of

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = r"([\d.]+)([KMGT]?)(?:i?B)?"
_USED = re.compile(rf"Used {_SIZE} of {_SIZE} hbm")


def refused(message: str) -> dict[str, Any] | None:
    """{needs, limit, largest} of the compiler's message, bytes; None where it is about something else.

    largest: [{bytes, unpadded, shape, operation, module}], largest first.
    """
    used = _USED.search(message)
    if "RESOURCE_EXHAUSTED" not in message or used is None:
        return None
    blocks = re.split(r"\n\s*\d+\. Size: ", message)[1:]
    return {
        "needs": _bytes(used[1], used[2]),
        "limit": _bytes(used[3], used[4]),
        "largest": [_allocation(block) for block in blocks],
    }


def _allocation(block: str) -> dict[str, Any]:
    size = re.match(_SIZE, block.strip())
    unpadded = re.search(rf"Unpadded size: {_SIZE}", block)
    place = re.search(r'op_name="((?:[^"\\]|\\.)*)"', block)
    shape = re.search(r"Shape: (\S+?)(?:\{|\s)", block)
    label = re.search(r"XLA label: (\S+)", block)
    taken = _bytes(size[1], size[2]) if size else 0
    return {
        "bytes": taken,
        "unpadded": _bytes(unpadded[1], unpadded[2]) if unpadded else taken,
        "shape": shape[1] if shape else "",
        "operation": label[1] if label else "",
        "module": module_of(place[1]) if place else "",
    }


def _bytes(number: str, unit: str) -> int:
    return int(float(number) * _UNITS[unit])
