"""Figures as text, for the columns of the tables; None for what is missing or no figure of that kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence


def decimals(value: object) -> str | None:
    """Three decimals."""
    return f"{value:.3f}" if is_number(value) else None


def interval(value: object) -> str | None:
    """Two ends, two decimals."""
    if not isinstance(value, Sequence) or len(value) != 2 or not all(map(is_number, value)):
        return None
    return f"{value[0]:.2f}-{value[1]:.2f}"


def entry(name: str) -> Callable[[object], str | None]:
    """Of a value that is an object: one of its numbers."""
    return lambda value: decimals(value.get(name)) if isinstance(value, Mapping) else None


def is_number(value: object) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
